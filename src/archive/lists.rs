//! What a backup lists of its trees: every file in the index, and beside it, where it builds upon
//! another backup, what differs from that one.

use super::base::Base;
use super::index::{IndexWriter, Row, StoredIndex};
use crate::error::Result;

/// The lists of one backup, being written.
pub struct Lists {
    index: IndexWriter,
    changes: Option<IndexWriter>,
    /// What the rows are compared with here, because their source did not.
    base: Option<Base>,
    /// What the earlier backup has in the place of the next file.
    known: Option<Row>,
}

impl Lists {
    /// Writes into `index`, and into `changes` where there is an earlier backup to compare with.
    pub fn new(index: IndexWriter, changes: Option<IndexWriter>) -> Self {
        Self { index, changes, base: None, known: None }
    }

    /// Says that the source of the next tree does not compare its files: its rows are, with
    /// `base`.
    pub fn compare(&mut self, base: Option<Base>) {
        self.base = base.filter(|_| self.changes.is_some());
    }

    /// Says what the earlier backup has in the place of the next file.
    pub fn know(&mut self, row: Row) {
        self.known = Some(row);
    }

    /// Lists a file.
    ///
    /// # Errors
    /// `io`; `backup_damaged` where the earlier index cannot be read.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        if !self.is_as_before(row)?
            && let Some(changes) = &mut self.changes
        {
            changes.append(row)?;
        }
        self.index.append(row)
    }

    /// Lists a file of which its source found that it is what it was.
    pub fn add_unchanged(&mut self, row: &Row) -> Result<()> {
        self.index.append(row)
    }

    /// Says that the file of `row` is not there. It may be listed all the same in the end,
    /// which then counts.
    pub fn add_gone(&mut self, row: &Row) -> Result<()> {
        match &mut self.changes {
            Some(changes) => changes.append_gone(row),
            None => Ok(()),
        }
    }

    /// The tree has no more files.
    pub fn end_tree(&mut self) -> Result<()> {
        let Some(mut base) = self.base.take() else { return Ok(()) };
        while let Some(row) = base.rest()? {
            self.add_gone(&row)?;
        }
        Ok(())
    }

    /// Writes both to their ends. Nothing is synced to disk.
    ///
    /// # Errors
    /// `io`.
    pub fn finish(self) -> Result<(StoredIndex, Option<StoredIndex>)> {
        let changes = self.changes.map(IndexWriter::finish).transpose()?;
        Ok((self.index.finish()?, changes))
    }

    fn is_as_before(&mut self, row: &Row) -> Result<bool> {
        let known = match self.base.take() {
            None => self.known.take(),
            Some(mut base) => {
                while let Some(gone) = base.passed(&row.entry.path)? {
                    self.add_gone(&gone)?;
                }
                let known = base.find(&row.entry.path)?;
                self.base = Some(base);
                known
            }
        };
        Ok(known.is_some_and(|known| known.tells_the_same(row)))
    }
}
