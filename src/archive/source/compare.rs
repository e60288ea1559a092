//! A tree that is compared with an earlier backup while it is read: what that backup holds
//! is not even opened.

use super::{Content, Files, Opened, Source};
use crate::archive::base::Base;
use crate::archive::entry::Entry;
use crate::archive::scan::Scanned;
use crate::error::Result;
use std::io;

/// The files of `S`, those that are unchanged as [`Scanned::Held`].
pub struct Compared<S> {
    source: S,
    base: Option<Base>,
}

impl<S: Files> Compared<S> {
    /// Compares with `base`; without one, every file comes as it is.
    pub fn new(source: S, base: Option<Base>) -> Self {
        Self { source, base }
    }
}

impl<S: Files> Source for Compared<S> {
    fn next(&mut self) -> Result<Option<Scanned>> {
        let scanned = self.source.next()?;
        let (Some(base), Some(Scanned::Entry(entry))) = (&mut self.base, &scanned) else {
            return Ok(scanned);
        };
        Ok(match base.held(entry)? {
            Some(row) => Some(Scanned::Held(Box::new(row))),
            None => scanned,
        })
    }

    fn open(&mut self, entry: &mut Entry) -> io::Result<Content<'_>> {
        self.source.open(entry)
    }

    fn forget(&mut self, entry: &Entry) {
        self.source.forget(entry);
    }
}

impl<S: Files> Files for Compared<S> {
    fn open_file(&mut self, entry: &mut Entry) -> io::Result<Opened> {
        self.source.open_file(entry)
    }
}
