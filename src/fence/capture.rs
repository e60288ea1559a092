//! Taking a directory at the instant: as a btrfs snapshot, as reflink copies, or by
//! reading it while the containers are held.
//!
//! [`Plan`] decides before anything is held; [`Plan::take`] is what happens at the instant.
//! What it makes lies in `.backstop-capture-ID-NAME`, beside the source where that is the
//! same mount, else inside it; it is registered in the journal before it exists, and
//! removed after use, by the guardian or by `recover`.

mod btrfs;
mod guard;
mod mounts;
mod plan;
mod staging;

pub(super) use guard::discard;
pub use plan::{Plan, detect};
pub use staging::{Copied, Staging};

use crate::error::{Error, Result};
use guard::Guard;
use std::path::{Path, PathBuf};

/// How the name of everything that a capture makes begins ([`Own::Capture`]); nothing else is
/// removed for a journal.
///
/// [`Own::Capture`]: crate::archive::scan::Own::Capture
pub const PREFIX: &str = ".backstop-capture-";

/// A mount point strictly below the directory `path`; none where it does not exist.
///
/// # Errors
/// [`Code::Io`](crate::error::Code::Io) when the mounts cannot be read.
pub fn mounted_below(path: &Path) -> Result<Option<PathBuf>> {
    Ok(mounts_below(path)?.into_iter().next())
}

/// Every mount point strictly below the directory `path`; none where it does not exist.
///
/// # Errors
/// As [`mounted_below`].
pub fn mounts_below(path: &Path) -> Result<Vec<PathBuf>> {
    let Ok(path) = path.canonicalize() else { return Ok(Vec::new()) };
    let mounts =
        mounts::Mounts::read().map_err(|e| Error::io("read the mounts below", &path, e))?;
    Ok(mounts.all_below(&path).map(Path::to_path_buf).collect())
}

/// How a directory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A read-only snapshot of the btrfs subvolume it lies in.
    Snapshot,
    /// A copy of every file that shares its blocks.
    Reflink,
    /// It is read while the containers are held.
    Archive,
}

impl Method {
    /// As the manifest names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Reflink => "reflink",
            Self::Archive => "archive",
        }
    }
}

/// What was taken. Dropping it removes what lies on disk; [`remove`](Self::remove) says
/// whether that worked.
#[derive(Debug)]
pub enum Captured {
    /// Nothing: read the source itself, before the containers are resumed.
    Live,
    /// A frozen copy of the whole directory, to be read at leisure.
    Directory(Directory),
    /// An empty place: reflink every file into it before the containers are resumed.
    Staging(Staging),
}

impl Captured {
    /// How it was taken, after all.
    pub fn method(&self) -> Method {
        match self {
            Self::Live => Method::Archive,
            Self::Directory(_) => Method::Snapshot,
            Self::Staging(_) => Method::Reflink,
        }
    }

    /// Removes what lies on disk. Blocking.
    ///
    /// # Errors
    /// [`CaptureFailed`](crate::error::Code::CaptureFailed), [`Io`](crate::error::Code::Io) and
    /// its kin; it then stays in the journal, and the guardian tries again.
    pub fn remove(self) -> Result<()> {
        match self {
            Self::Live => Ok(()),
            Self::Directory(directory) => directory.guard.remove(),
            Self::Staging(staging) => staging.remove(),
        }
    }
}

/// A frozen copy of a directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    guard: Guard,
}

impl Directory {
    /// What to read instead of the source.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
