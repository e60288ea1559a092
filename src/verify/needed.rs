//! Which other backups need a file that is damaged, and what the damage is to them.

use crate::catalog::BackupRecord;
use crate::repository::manifest::{Component, Elsewhere, MANIFEST};
use crate::repository::{Damage, Repository, is_no_damage};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Another backup, and what a damage is as that one names things.
pub(super) type Concerned<'a> = (&'a BackupRecord, Vec<Damage>);

/// Names in a damage of the backup of `record` the other backups among `all` that need the damaged
/// file: those whose trees have contents in the archive, and those whose dumps share the file by a
/// hard link. Returns what the damage is to each of them, and to the one that it is a file of.
pub(super) fn concerned<'a>(
    repository: &Repository,
    record: &'a BackupRecord,
    all: &'a [BackupRecord],
    damage: &mut Damage,
) -> Vec<Concerned<'a>> {
    let others: Vec<&BackupRecord> =
        all.iter().filter(|other| other.is_published() && other.id != record.id).collect();
    let mut concerned = sharing(repository, record, &others, damage);
    let is_shared = !concerned.is_empty();
    concerned.extend(depending(record, &others, damage));
    let mut needing: Vec<&BackupRecord> = concerned.iter().map(|(other, _)| *other).collect();
    let is_it = |archive: &&Elsewhere| archive.shown() == damage.object;
    let archives: Vec<&Elsewhere> = elsewhere(record).filter(is_it).collect();
    for archive in &archives {
        let holder = others.iter().find(|other| other.id == archive.backup);
        let theirs = holder.and_then(|holder| at_home(repository, holder, archive, &damage.fault));
        concerned.extend(holder.copied().zip(theirs.map(|theirs| vec![theirs])));
    }
    damage.needed_by = names(&mut needing);
    if is_shared || !archives.is_empty() {
        needing.push(record);
    }
    let needing = names(&mut needing);
    for (other, damages) in &mut concerned {
        let but_itself = needing.iter().filter(|name| **name != other.name);
        let needed_by: Vec<String> = but_itself.cloned().collect();
        damages.iter_mut().for_each(|damage| damage.needed_by.clone_from(&needed_by));
    }
    concerned
}

/// The names of backups, oldest first, each once.
fn names(records: &mut [&BackupRecord]) -> Vec<String> {
    records.sort_by_key(|record| record.sequence);
    let mut names: Vec<String> = records.iter().map(|record| record.name.clone()).collect();
    names.dedup();
    names
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

/// Those that have contents in the damaged archive.
fn depending<'a>(
    record: &BackupRecord,
    others: &[&'a BackupRecord],
    damage: &Damage,
) -> Vec<Concerned<'a>> {
    // In one of the backup of `record`, or in that of a third one that its damage names.
    let is_hit = |archive: &&Elsewhere| match archive.backup == record.id {
        true => lies_in(damage, archive),
        false => archive.shown() == damage.object,
    };
    let hits = |other: &&'a BackupRecord| {
        let hits = elsewhere(other).filter(is_hit);
        let mut damages: Vec<Damage> =
            hits.map(|archive| Damage::new(&archive.shown(), &damage.fault)).collect();
        damages.dedup();
        (!damages.is_empty()).then_some((*other, damages))
    };
    others.iter().filter_map(hits).collect()
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
