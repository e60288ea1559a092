//! One file tree as an earlier backup has it, compared file by file with what is there now.

use super::entry::{Entry, Kind, tree_order};
use super::index::{IndexReader, Row};
use crate::error::Result;
use jiff::Timestamp;
use std::cmp::Ordering;
use std::path::Path;

/// A file whose metadata changed less than this before the earlier backup began may have
/// changed again without a trace: the clock that stamps files moves in steps, and FAT's are
/// of two seconds.
const COARSEST_CLOCK_NS: i64 = 2_000_000_000;

/// What the earlier backup has in the place of a file of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// It is held as it is now.
    Held(Held),
    /// It may be another one: the row that has its path.
    Other(Row),
    /// Nothing has its path.
    New,
}

/// A file that an earlier backup holds as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its row there, with the metadata of now.
    pub row: Row,
    /// Whether these are what they were, as far as [`Entry::tells_the_same`] says.
    pub is_as_before: bool,
}

/// The rows of one component in an earlier backup's index. Some hundreds are in memory at a time.
pub struct Base {
    rows: Box<dyn Iterator<Item = Result<Row>> + Send>,
    next: Option<Row>,
    trusted_before_ns: i64,
}

impl Base {
    /// Compares with `component` in the index of a backup that began at `started_at`.
    pub fn new(index: &IndexReader, component: &str, started_at: Timestamp) -> Self {
        let nanos = started_at.as_nanosecond();
        let started_ns =
            i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX });
        Self {
            rows: index.rows_ahead(component),
            next: None,
            trusted_before_ns: started_ns.saturating_sub(COARSEST_CLOCK_NS),
        }
    }

    /// The next row before `path`, in tree order: a file that is not there any more, where
    /// `path` is what a walk through the tree comes to next.
    ///
    /// # Errors
    /// [`Code::BackupDamaged`](crate::error::Code) when the index cannot be read on.
    pub fn passed(&mut self, path: &Path) -> Result<Option<Row>> {
        self.fill()?;
        let is_before = |row: &mut Row| tree_order(&row.entry.path, path) == Ordering::Less;
        Ok(self.next.take_if(is_before))
    }

    /// The next row, whatever it is of: a file that is gone, where the tree has come to its end.
    ///
    /// # Errors
    /// As [`Self::passed`].
    pub fn rest(&mut self) -> Result<Option<Row>> {
        self.fill()?;
        Ok(self.next.take())
    }

    /// What stands for `entry`: its row, with the metadata of now, when it is certain that the
    /// earlier backup holds the file as it is. Must be asked in tree order; what comes out of
    /// order is not found, which costs storage, not correctness.
    ///
    /// A regular file is unchanged when size, modification time, inode and change time are, and
    /// the last `is_proof`, on the file system that it is on: there the kernel sets it with every
    /// change of content or metadata, and no call sets it back (inode(7)); for stores through a
    /// mapping see [`settle_mappings`](super::settle_mappings). The device number is not
    /// compared: it may be another one after every mount. Hard links never count: their row
    /// follows that of their file.
    ///
    /// # Errors
    /// [`Code::BackupDamaged`](crate::error::Code) when the index cannot be read on.
    pub fn meet(&mut self, entry: &Entry, is_proof: bool) -> Result<Met> {
        let Some(row) = self.find(&entry.path)? else { return Ok(Met::New) };
        let known = &row.entry;
        let is_same = match entry.kind {
            Kind::File => {
                is_proof
                    && row.place.is_some()
                    && row.sha256.is_some()
                    && !row.changed
                    && known.kind == Kind::File
                    && (known.size, known.mtime_ns, known.ctime_ns, known.inode)
                        == (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode)
                    && entry.inode != 0
                    && entry.ctime_ns != 0
                    && entry.ctime_ns < self.trusted_before_ns
            }
            Kind::Hardlink => false,
            _ => {
                (known.kind, known.mode, known.uid, known.gid, known.mtime_ns)
                    == (entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_ns)
                    && known.user == entry.user
                    && known.group == entry.group
                    && known.link_target == entry.link_target
                    && known.xattrs == entry.xattrs
                    && known.rdev == entry.rdev
            }
        };
        if !is_same {
            return Ok(Met::Other(row));
        }
        // A scan leaves the attributes of a regular file to whoever opens it.
        let entry = Entry { xattrs: row.entry.xattrs.clone(), ..entry.clone() };
        let is_as_before = row.entry.tells_the_same(&entry);
        Ok(Met::Held(Held { row: Row { entry, ..row }, is_as_before }))
    }

    /// The row of `path`, if there is one. To be asked in tree order.
    ///
    /// # Errors
    /// As [`Self::passed`].
    pub fn find(&mut self, path: &Path) -> Result<Option<Row>> {
        loop {
            self.fill()?;
            let Some(row) = &self.next else { return Ok(None) };
            match tree_order(&row.entry.path, path) {
                Ordering::Less => self.next = None,
                Ordering::Equal => return Ok(self.next.take()),
                Ordering::Greater => return Ok(None),
            }
        }
    }

    fn fill(&mut self) -> Result<()> {
        if self.next.is_none() {
            self.next = self.rows.next().transpose()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
