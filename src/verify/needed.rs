//! Which backups need a file that is damaged.

use crate::catalog::BackupRecord;
use crate::repository::manifest::{Component, MANIFEST};
use crate::repository::{Damage, Repository};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Names in each damage of the backup of `record` the other backups among `all` that need the
/// damaged file: those whose trees have contents in the archive, and those whose dumps share
/// the file by a hard link.
pub(super) fn name(
    repository: &Repository,
    record: &BackupRecord,
    all: &[BackupRecord],
    damages: &mut [Damage],
) {
    let others: Vec<&BackupRecord> =
        all.iter().filter(|other| other.is_published() && other.id != record.id).collect();
    for damage in damages {
        let mut needing: Vec<&BackupRecord> =
            others.iter().copied().filter(|other| points_to(other, record, damage)).collect();
        needing.extend(sharing(repository, record, &others, &damage.object));
        needing.sort_by_key(|other| other.sequence);
        damage.needed_by = needing.into_iter().map(|other| other.name.clone()).collect();
        damage.needed_by.dedup();
    }
}

/// Whether `other` has contents in the damaged object of `record`, or in the archive of a
/// third backup that a damage of `record` names.
fn points_to(other: &BackupRecord, record: &BackupRecord, damage: &Damage) -> bool {
    let mut elsewhere = other.components.iter().flat_map(Component::elsewhere);
    elsewhere.any(|earlier| match earlier.backup == record.id {
        // Without its manifest nothing in a backup can be found.
        true => damage.concerns(&earlier.object) || damage.object == MANIFEST,
        false => earlier.shown() == damage.object,
    })
}

/// The backups that have the same file under another name.
fn sharing<'a>(
    repository: &Repository,
    record: &BackupRecord,
    others: &[&'a BackupRecord],
    object: &str,
) -> Vec<&'a BackupRecord> {
    let inode = |path: &Path| {
        let found = std::fs::symlink_metadata(path).ok()?;
        (found.is_file() && found.nlink() > 1).then(|| (found.dev(), found.ino()))
    };
    // On a store nothing is shared.
    let inode_of = |name: &str, object: &str| inode(&repository.backup_path(name)?.join(object));
    let Some(ours) = inode_of(&record.name, object) else { return Vec::new() };
    let has_it = |other: &&&BackupRecord| {
        let Ok(backup) = repository.backup(&other.name) else { return false };
        let objects = &backup.manifest().objects;
        let name = &backup.manifest().name;
        objects.iter().any(|object| inode_of(name, &object.path) == Some(ours))
    };
    others.iter().filter(has_it).copied().collect()
}
