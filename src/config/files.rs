//! A file tree or a Docker volume in the config.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One file tree: a directory, or a Docker volume.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileTree {
    /// The component's name.
    pub name: String,
    /// The directory; either this or `volume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The Docker volume; either this or `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// What is left out, as gitignore-style patterns relative to the tree:
    /// `*.tmp` anywhere, `cache/` directories of that name, `/top` only at the top.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// How the tree is taken at the fence.
    #[serde(default)]
    pub capture: Capture,
}

/// How a file tree is taken at the fence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// The fastest way that the file system offers.
    #[default]
    Auto,
    /// A read-only btrfs subvolume snapshot.
    Snapshot,
    /// A copy of every file that shares its blocks (XFS, btrfs).
    Reflink,
    /// The archive itself is written while the containers are held.
    Archive,
}
