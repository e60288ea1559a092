//! An archived file tree, and what it has in earlier backups.

use super::{Component, Detail};
use crate::repository::BackupId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// An archived file tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilesDetail {
    /// Where it was.
    pub path: Option<PathBuf>,
    /// The Docker volume it was.
    pub volume: Option<String>,
    /// The archive, relative to the backup's directory.
    pub object: String,
    /// Archives of earlier backups that hold contents of the tree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Elsewhere>,
    /// The backup since which `files/changes.parquet` tells what changed in the tree. None where
    /// there is no such file, or where it lists the whole tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_since: Option<BackupId>,
    /// How it was captured: `snapshot`, `reflink`, `archive` or `docker`.
    pub capture: String,
    /// The patterns that were left out.
    pub exclude: Vec<String>,
    /// Files that could not be read, relative to the tree.
    pub unreadable: Vec<String>,
}

impl FilesDetail {
    /// What the live tree may hold and the archive does not: the patterns that were left out, and
    /// the files that could not be read.
    pub fn left_out(&self) -> Vec<String> {
        self.exclude.iter().chain(&self.unreadable).cloned().collect()
    }
}

/// An archive of an earlier backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// The backup's id.
    pub backup: BackupId,
    /// The archive, relative to that backup's directory.
    pub object: String,
}

impl Component {
    /// The archives of earlier backups that it needs.
    pub fn elsewhere(&self) -> &[Elsewhere] {
        match &self.detail {
            Detail::Files(files) => &files.elsewhere,
            _ => &[],
        }
    }

    /// The backup since which its changes are told.
    pub fn changes_since(&self) -> Option<&BackupId> {
        match &self.detail {
            Detail::Files(files) => files.changes_since.as_ref(),
            _ => None,
        }
    }
}
