//! How much a tree holds, for an estimate.

use super::{Excludes, Scan, Scanned};
use crate::archive::entry::Kind;
use crate::error::{Code, Error, Result};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// How much a tree holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// The contents of all files; a file with several names counts once.
    pub source_bytes: u64,
    /// Files and directories of every kind below the tree's own directory.
    pub file_count: u64,
    /// What could not be looked at.
    pub faults: u64,
}

impl Totals {
    /// Counts what a scan came across.
    pub(crate) fn add(&mut self, path: &Path, kind: Kind, size: u64) {
        if !path.as_os_str().is_empty() {
            self.file_count += 1;
        }
        if kind == Kind::File {
            self.source_bytes += size;
        }
    }
}

/// Walks the tree at `root` and adds up what a backup of it would read.
pub fn total(root: &Path, excludes: Excludes, cancel: &CancellationToken) -> Result<Totals> {
    let mut totals = Totals::default();
    for scanned in Scan::new(root, excludes, false)? {
        if cancel.is_cancelled() {
            return Err(Error::new(Code::Interrupted, "estimate", root.display()));
        }
        match scanned {
            Scanned::Entry(entry) => totals.add(&entry.path, entry.kind, entry.size),
            Scanned::Held(held) => {
                let entry = &held.row.entry;
                totals.add(&entry.path, entry.kind, entry.size);
            }
            Scanned::Gone(_) | Scanned::Known(_) => {}
            Scanned::Fault(_) => totals.faults += 1,
        }
    }
    Ok(totals)
}
