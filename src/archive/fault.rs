//! What went wrong with single files while the rest went on.

use super::entry::shown;
use std::fmt;
use std::path::{Path, PathBuf};

/// What went wrong with one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It could not be read: it is missing, or holds zeros where reading failed.
    Unreadable,
    /// It changed while it was read: what was stored may be a mixture.
    Changed,
    /// It was gone before it could be read.
    Vanished,
    /// It was left out on purpose: a socket, a directory of backstop's own.
    Skipped,
    /// It was restored, but not all of its metadata could be.
    Incomplete,
    /// Its content is damaged: it could not be restored.
    Lost,
}

/// One file with which something went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to the tree.
    pub path: PathBuf,
    /// What went wrong.
    pub trouble: Trouble,
    /// Why, as the system said it.
    pub cause: String,
}

impl Fault {
    /// A fault of the file at `path`.
    pub fn new(path: &Path, trouble: Trouble, cause: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), trouble, cause: cause.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", shown(&self.path), self.cause)
    }
}
