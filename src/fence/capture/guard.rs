//! Removing captures.

use super::{PREFIX, btrfs};
use crate::error::{Code, Error, Result};
use crate::fence::journal::{CaptureKind, JournalCapture, LiveJournal};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// Removes a capture and forgets it in the journal.
#[derive(Debug)]
pub(super) struct Guard {
    entry: Option<JournalCapture>,
    journal: Arc<LiveJournal>,
}

impl Guard {
    /// Watches over a capture that the journal names.
    pub(super) fn new(entry: JournalCapture, journal: &Arc<LiveJournal>) -> Self {
        Self { entry: Some(entry), journal: Arc::clone(journal) }
    }

    pub(super) fn remove(mut self) -> Result<()> {
        let Some(entry) = self.entry.take() else { return Ok(()) };
        discard(&entry)?;
        self.journal.forget(&entry)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What fails here stays in the journal, and the guardian tries again.
        if let Some(entry) = self.entry.take()
            && discard(&entry).is_ok()
        {
            drop(self.journal.forget(&entry));
        }
    }
}

/// Removes a capture that a journal names; one that does not exist is fine. Blocking.
///
/// # Errors
/// [`Code::CaptureFailed`]; [`Code::Io`] and its kin. A path that is not a capture's is
/// refused.
pub(in crate::fence) fn discard(entry: &JournalCapture) -> Result<()> {
    let path = &entry.path;
    let refused = |cause: &str| {
        Error::new(Code::CaptureFailed, "remove capture", path.display()).cause(cause)
    };
    let named =
        path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    if !named || !path.is_absolute() {
        return Err(refused("this is no capture of backstop's"));
    }
    let meta = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(|e| Error::io("remove capture", path, e))?,
    };
    if !meta.is_dir() {
        return Err(refused("it is not a directory"));
    }
    if entry.kind == CaptureKind::Snapshot && meta.ino() == btrfs::SUBVOLUME_INODE {
        return btrfs::delete(path);
    }
    fs::remove_dir_all(path).map_err(|e| Error::io("remove capture", path, e))
}
