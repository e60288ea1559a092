//! A directory that is scanned and read now.

use super::{Content, Files, Opened, Source};
use crate::archive::entry::Entry;
use crate::archive::scan::{Excludes, Scan, Scanned};
use crate::error::Result;
use std::io;
use std::path::Path;

/// A directory that is scanned and read at the same time.
pub struct LiveSource(Scan);

impl LiveSource {
    /// The tree at `root`, without what the patterns exclude.
    pub fn open(root: &Path, excludes: Excludes) -> Result<Self> {
        Scan::open(root, excludes).map(Self)
    }
}

impl Source for LiveSource {
    fn next(&mut self) -> Result<Option<Scanned>> {
        Ok(self.0.next())
    }

    fn open(&mut self, entry: &mut Entry) -> io::Result<Content<'_>> {
        self.open_file(entry).map(Content::File)
    }

    fn forget(&mut self, entry: &Entry) {
        self.0.forget(entry);
    }
}

impl Files for LiveSource {
    fn open_file(&mut self, entry: &mut Entry) -> io::Result<Opened> {
        self.0.open_file(entry).map(|(file, stat)| Opened::Live { file, stat })
    }

    fn is_proven(&self, entry: &Entry) -> bool {
        self.0.proofs().cover(entry)
    }
}
