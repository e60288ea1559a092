//! Deleting backups, once it is certain that nobody needs them.

use super::lease::{Deleter, Pace};
use super::{BackupId, delete, pin};
use crate::error::Result;
use crate::storage::Storage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What was known when backups were chosen for deletion: whatever came since was not decided upon.
#[derive(Clone, Copy)]
pub struct Considered<'a> {
    /// Whether the needs of the backup of this name were.
    pub needs: &'a dyn Fn(&str) -> bool,
    /// Whether it was that this backup is kept by hand.
    pub pin: &'a dyn Fn(&BackupId) -> bool,
}

/// Backups that may be deleted now.
#[derive(Debug)]
pub struct Deletion(Way);

#[derive(Debug)]
enum Way {
    /// The lock keeps everybody else away.
    Directory { repository: PathBuf, targets: BTreeMap<BackupId, String> },
    /// A lease was taken.
    Store { storage: Arc<dyn Storage>, deleter: Deleter },
}

impl Deletion {
    pub(super) fn in_directory(repository: &Path, targets: BTreeMap<BackupId, String>) -> Self {
        Self(Way::Directory { repository: repository.to_path_buf(), targets })
    }

    pub(super) fn on_store(
        storage: &Arc<dyn Storage>,
        pace: Pace,
        targets: BTreeMap<BackupId, String>,
        considered: Considered<'_>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let storage = storage.clone();
        let deleter = Deleter::take(&storage, pace, targets, considered, cancel)?;
        Ok(Self(Way::Store { storage, deleter }))
    }

    /// Why a backup stays although it was to be deleted: another host needs it.
    pub fn spares(&self, id: &BackupId) -> Option<&str> {
        match &self.0 {
            Way::Directory { .. } => None,
            Way::Store { deleter, .. } => deleter.spares(id),
        }
    }

    /// Deletes one of the backups and its pin. A damaged one is deleted as well as any other.
    /// In a directory it is out of sight by one rename; on a store when its manifest is gone.
    ///
    /// # Errors
    /// `backup_needed` for one that is spared, `locked` where the lease was lost.
    pub fn delete(&mut self, id: &BackupId) -> Result<()> {
        match &mut self.0 {
            Way::Directory { repository, targets } => {
                let Some(name) = targets.get(id) else { return Ok(()) };
                delete::delete(repository, name, id)?;
                pin::remove(repository, id).map(drop)
            }
            Way::Store { storage, deleter } => {
                deleter.delete(id)?;
                pin::remove_from(storage.as_ref(), id).map(drop)
            }
        }
    }

    /// Says that it is over.
    ///
    /// # Errors
    /// When the store does not answer; the lease becomes stale by itself then.
    pub fn finish(self) -> Result<()> {
        match self.0 {
            Way::Directory { .. } => Ok(()),
            Way::Store { deleter, .. } => deleter.give_back(),
        }
    }
}
