//! Deletion: out of sight by one rename, then removed at leisure.

use super::durable::{create_dir, sync_dir};
use super::{BACKUPS, PublishedBackup, TRASH};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Moves a backup to `trash/` and removes it there.
pub(super) fn delete(repository: &Path, backup: PublishedBackup) -> Result<()> {
    let trash = repository.join(TRASH);
    create_dir(&trash)?;
    let target = trash.join(backup.manifest().id.as_str());
    std::fs::rename(backup.path(), &target)
        .map_err(|e| Error::io("delete backup", backup.path(), e))?;
    sync_dir(&repository.join(BACKUPS))?;
    remove(&target)
}

/// Removes everything in the given directories and returns what was there.
pub(super) fn clear(dirs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for dir in dirs {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("list", dir, e)),
        };
        for entry in entries {
            let path = entry.map_err(|e| Error::io("list", dir, e))?.path();
            remove(&path)?;
            removed.push(path);
        }
    }
    Ok(removed)
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() && !path.is_symlink() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    removed.map_err(|e| Error::io("remove", path, e))
}
