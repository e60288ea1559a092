//! When each part of each backup was read last: one small file a backup in
//! `coverage/` beside the catalog, so that samples go round. Losing it costs a round, nothing else.

use crate::error::{Code, Error, Result};
use crate::repository::{BackupId, create_dir, write_replacing};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What was read of one backup, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Coverage {
    /// When all of it was read at once.
    whole: Option<Timestamp>,
    /// When parts of it were read, by their names.
    parts: BTreeMap<String, Timestamp>,
}

impl Coverage {
    /// Of a backup that was read whole.
    pub(super) fn whole(at: Timestamp) -> Self {
        Self { whole: Some(at), parts: BTreeMap::new() }
    }

    /// What is known of a backup; nothing where the file is missing or cannot be read.
    pub(super) fn read(state_dir: &Path, id: &BackupId) -> Self {
        let text = std::fs::read(file(state_dir, id)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// When the part of this name was read last.
    pub(super) fn of(&self, part: &str) -> Option<Timestamp> {
        self.parts.get(part).copied().max(self.whole)
    }

    /// Records that a part was read now.
    pub(super) fn note(&mut self, part: &str, at: Timestamp) {
        self.parts.insert(part.to_owned(), at);
    }

    /// Keeps it.
    pub(super) fn save(&self, state_dir: &Path, id: &BackupId) -> Result<()> {
        let path = file(state_dir, id);
        create_dir(&directory(state_dir))?;
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::new(Code::Io, "write", path.display()).source(e))?;
        write_replacing(&path, &text)
    }
}

/// Forgets the backups that are none of `known` any more.
pub(super) fn forget_others(state_dir: &Path, known: &BTreeSet<&str>) {
    for entry in std::fs::read_dir(directory(state_dir)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_suffix(".json").is_some_and(|id| !known.contains(id)) {
            // What stays costs a few bytes.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("coverage")
}

fn file(state_dir: &Path, id: &BackupId) -> PathBuf {
    directory(state_dir).join(format!("{id}.json"))
}
