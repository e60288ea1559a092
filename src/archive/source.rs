//! Where the files of a tree come from: a live directory, copies made earlier, or a tar
//! that somebody else writes.

mod ahead;
mod compare;
mod live;
mod spool;
mod stream;

pub use ahead::ReadAhead;
pub use compare::Compared;
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

/// A source whose files can be opened.
pub trait Files: Source {
    /// As [`Source::open`], for whoever reads the file elsewhere.
    ///
    /// # Errors
    /// As [`Source::open`].
    fn open_file(&mut self, entry: &mut Entry) -> io::Result<Opened>;

    /// Whether an unchanged change time proves that the file that was returned last was not
    /// changed.
    fn is_proven(&self, entry: &Entry) -> bool;
}

/// A file that was opened to be read.
pub enum Opened {
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
}

/// The content of one file.
pub enum Content<'a> {
    /// An open file, to be read from its beginning.
    File(Opened),
    /// All of it, as it was between two looks at a file that did not change. The entry is
    /// complete.
    Loaded(&'a [u8]),
    /// Bytes from a stream, without the holes of the map.
    Stream {
        /// The bytes.
        reader: &'a mut dyn Read,
        /// Where the file has data, if it is sparse.
        map: Option<SparseMap>,
    },
}
