//! Deletion: out of sight by one rename, then removed at leisure.

use super::durable::{create_dir, sync_dir};
use super::{BACKUPS, BackupId, TRASH};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Moves the backup in `backups/NAME` to `trash/ID` and removes it there. It need not be
/// readable any more.
pub(super) fn delete(repository: &Path, name: &str, id: &BackupId) -> Result<()> {
    let trash = repository.join(TRASH);
    create_dir(&trash)?;
    let path = repository.join(BACKUPS).join(name);
    let target = trash.join(id.as_str());
    std::fs::rename(&path, &target).map_err(|e| Error::io("delete backup", &path, e))?;
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
