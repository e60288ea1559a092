//! Where the files of a tree come from: a live directory, copies made earlier, or a tar
//! that somebody else writes.

mod live;
mod spool;
mod stream;

pub use live::LiveSource;
pub use spool::{Spool, SpoolSource};
pub use stream::StreamSource;

use super::entry::Entry;
use super::scan::Scanned;
use super::tar::SparseMap;
use crate::error::Result;
use rustix::fs::Stat;
use std::fs::File;
use std::io::{self, Read};

/// The files of one tree, one after the other.
pub trait Source {
    /// The next file, or what went wrong with it; nothing at the end.
    ///
    /// # Errors
    /// What makes it impossible to go on.
    fn next(&mut self) -> Result<Option<Scanned>>;

    /// The content of the file that was returned last; completes its entry.
    ///
    /// # Errors
    /// `NotFound` when it vanished; anything else makes it unreadable.
    fn open(&mut self, entry: &mut Entry) -> io::Result<Content<'_>>;

    /// Says that `entry` was not archived: a further name of it must not be a link to it.
    fn forget(&mut self, entry: &Entry);
}

/// The content of one file.
pub enum Content<'a> {
    /// The file itself: its metadata are taken again, and it is watched for changes.
    Live {
        /// The file.
        file: File,
        /// What it was when it was opened.
        stat: Stat,
    },
    /// A copy of it.
    Copy {
        /// The copy, of the size to be archived.
        file: File,
        /// Whether the file changed while it was copied.
        changed: bool,
    },
    /// Bytes from a stream, without the holes of the map.
    Stream {
        /// The bytes.
        reader: &'a mut dyn Read,
        /// Where the file has data, if it is sparse.
        map: Option<SparseMap>,
    },
}
