//! A tree that is compared with an earlier backup while it is read: what that backup holds
//! is not even opened.

use super::{Content, Files, Opened, Source};
use crate::archive::base::{Base, Met};
use crate::archive::entry::Entry;
use crate::archive::scan::Scanned;
use crate::error::Result;
use std::io;

/// The files of `S`, those that are unchanged as [`Scanned::Held`], and those that only the
/// earlier backup has as [`Scanned::Gone`]; before each other one comes what is
/// [`Scanned::Known`] of it.
pub struct Compared<S> {
    source: S,
    base: Option<Base>,
    /// What `source` came to, while something else is told before it.
    waiting: Option<Waiting>,
    has_ended: bool,
}

enum Waiting {
    /// It is to be compared yet.
    New(Entry),
    /// It is not held.
    Met(Entry),
}

impl<S: Files> Compared<S> {
    /// Compares with `base`; without one, every file comes as it is.
    pub fn new(source: S, base: Option<Base>) -> Self {
        Self { source, base, waiting: None, has_ended: false }
    }

    fn scan(&mut self) -> Result<Option<Scanned>> {
        if self.has_ended {
            return Ok(None);
        }
        let scanned = self.source.next()?;
        self.has_ended = scanned.is_none();
        Ok(scanned)
    }
}

impl<S: Files> Source for Compared<S> {
    fn next(&mut self) -> Result<Option<Scanned>> {
        let scanned = match self.waiting.take() {
            Some(Waiting::Met(entry)) => return Ok(Some(Scanned::Entry(entry))),
            Some(Waiting::New(entry)) => Some(Scanned::Entry(entry)),
            None => self.scan()?,
        };
        let Some(base) = &mut self.base else { return Ok(scanned) };
        let gone = |row| Some(Scanned::Gone(Box::new(row)));
        let entry = match scanned {
            None => return Ok(base.rest()?.and_then(gone)),
            Some(Scanned::Entry(entry)) => entry,
            other => return Ok(other),
        };
        if let Some(row) = base.passed(&entry.path)? {
            self.waiting = Some(Waiting::New(entry));
            return Ok(gone(row));
        }
        Ok(Some(match base.meet(&entry, self.source.is_proven(&entry))? {
            Met::Held(held) => Scanned::Held(Box::new(held)),
            Met::Other(row) => {
                self.waiting = Some(Waiting::Met(entry));
                Scanned::Known(Box::new(row))
            }
            Met::New => Scanned::Entry(entry),
        }))
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

    fn is_proven(&self, entry: &Entry) -> bool {
        self.source.is_proven(entry)
    }
}
