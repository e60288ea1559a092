//! Which other backups need a file that is damaged, and what the damage is to them.

use crate::catalog::BackupRecord;
use crate::repository::manifest::{Component, Elsewhere, MANIFEST};
use crate::repository::{Damage, Repository, is_no_damage};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Another backup, and what a damage is as that one names things.
pub(super) type Concerned<'a> = (&'a BackupRecord, Vec<Damage>);

/// Names in each damage of the backup of `record` the other backups among `all` that need the
/// damaged file: those whose trees have contents in the archive, and those whose dumps share
/// the file by a hard link.
pub(super) fn name(
    repository: &Repository,
    record: &BackupRecord,
    all: &[BackupRecord],
    damages: &mut [Damage],
) {
    for damage in damages {
        let needing = needing(repository, record, all, damage);
        damage.needed_by = needing.into_iter().map(|(other, _)| other.name.clone()).collect();
        damage.needed_by.dedup();
    }
}

/// The other backups that a damage of the backup of `record` concerns: those that need the damaged
/// file, and the one that it is a file of.
pub(super) fn concerned<'a>(
    repository: &Repository,
    record: &BackupRecord,
    all: &'a [BackupRecord],
    damage: &Damage,
) -> Vec<Concerned<'a>> {
    let mut concerned = needing(repository, record, all, damage);
    let holder = |archive: &Elsewhere| all.iter().find(|other| other.id == archive.backup);
    for archive in elsewhere(record).filter(|archive| archive.shown() == damage.object) {
        let Some(holder) = holder(archive).filter(|holder| holder.is_published()) else { continue };
        let damage = at_home(repository, holder, archive, &damage.fault);
        concerned.extend(damage.map(|damage| (holder, vec![damage])));
    }
    concerned
}

/// What is known to be damaged of that which the backup of `record` needs of others.
pub(super) fn known(record: &BackupRecord, all: &[BackupRecord]) -> Vec<Damage> {
    let mut known = Vec::new();
    for archive in elsewhere(record) {
        let holder = all.iter().find(|other| other.id == archive.backup && other.is_damaged());
        let damages = holder.and_then(|holder| holder.last_verification.as_ref());
        let is_it = |damage: &&Damage| lies_in(damage, archive);
        let damage = damages.and_then(|found| found.damages.iter().find(is_it));
        known.extend(damage.map(|damage| Damage::new(&archive.shown(), &damage.fault)));
    }
    known
}

fn elsewhere(record: &BackupRecord) -> impl Iterator<Item = &Elsewhere> {
    record.components.iter().flat_map(Component::elsewhere)
}

/// Whether a damage of the backup that holds `archive` is one of that archive. Without its manifest
/// nothing in a backup can be found.
fn lies_in(damage: &Damage, archive: &Elsewhere) -> bool {
    damage.concerns(&archive.object) || damage.object == MANIFEST
}

/// Those that need the damaged file, oldest first.
fn needing<'a>(
    repository: &Repository,
    record: &BackupRecord,
    all: &'a [BackupRecord],
    damage: &Damage,
) -> Vec<Concerned<'a>> {
    let others: Vec<&BackupRecord> =
        all.iter().filter(|other| other.is_published() && other.id != record.id).collect();
    // In an archive of the backup of `record`, or in that of a third one that its damage names.
    let is_hit = |archive: &&Elsewhere| match archive.backup == record.id {
        true => lies_in(damage, archive),
        false => archive.shown() == damage.object,
    };
    let mut needing = sharing(repository, record, &others, damage);
    for other in others {
        let hit = elsewhere(other).filter(is_hit);
        let mut damages: Vec<Damage> =
            hit.map(|archive| Damage::new(&archive.shown(), &damage.fault)).collect();
        damages.dedup();
        if !damages.is_empty() {
            needing.push((other, damages));
        }
    }
    needing.sort_by_key(|(other, _)| other.sequence);
    needing
}

/// The damage of an archive as the backup that holds it names it.
fn at_home(
    repository: &Repository,
    holder: &BackupRecord,
    archive: &Elsewhere,
    fault: &str,
) -> Option<Damage> {
    match repository.backup(&holder.name) {
        Ok(backup) => Some(Damage::new(&backup.manifest().stored_name(&archive.object), fault)),
        Err(e) if is_no_damage(&e) => None,
        Err(e) => Some(Damage::new(MANIFEST, &e.to_string())),
    }
}

/// The backups that have the same file under another name.
fn sharing<'a>(
    repository: &Repository,
    record: &BackupRecord,
    others: &[&'a BackupRecord],
    damage: &Damage,
) -> Vec<Concerned<'a>> {
    let inode = |path: &Path| {
        let found = std::fs::symlink_metadata(path).ok()?;
        (found.is_file() && found.nlink() > 1).then(|| (found.dev(), found.ino()))
    };
    // On a store nothing is shared.
    let inode_of = |name: &str, object: &str| inode(&repository.backup_path(name)?.join(object));
    let Some(ours) = inode_of(&record.name, &damage.object) else { return Vec::new() };
    let theirs = |other: &&'a BackupRecord| {
        let backup = repository.backup(&other.name).ok()?;
        let mut objects = backup.manifest().objects.iter();
        let object = objects.find(|it| inode_of(&other.name, &it.path) == Some(ours))?;
        Some((*other, vec![Damage::new(&object.path, &damage.fault)]))
    };
    others.iter().filter_map(theirs).collect()
}
