//! Unpacks an archive into a directory, or only reads and verifies it.
//!
//! Archives are untrusted: a path is refused unless it stays below the target, and no
//! symlink that the archive brings is ever walked through.

mod content;
mod metadata;
mod selection;
mod target;

use super::check::Check;
use super::entry::{Entry, Kind};
use super::fault::{Fault, Trouble};
use super::frame::{FrameReader, read_error};
use super::index::{IndexReader, Row};
use super::tar::{SparseMap, TarReader};
use crate::error::{Code, Error, Result};
use crate::progress::{Event, Progress};
use content::Reading;
use selection::{Borrowed, Selection};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use target::Target;
use tokio_util::sync::CancellationToken;

/// Which archive is unpacked, and where to.
#[derive(Clone, Copy)]
pub struct Extraction<'a> {
    /// The archive.
    pub archive: &'a Path,
    /// The directory: created if it is missing, empty otherwise.
    pub target: &'a Path,
    /// The index and the component's name in it. With it every content is compared with
    /// its hash, and a selection is read without decompressing the rest.
    pub index: Option<(&'a IndexReader, &'a str)>,
    /// Which paths are wanted; all of them without it. Directories above them are restored
    /// with their metadata.
    pub select: Option<&'a dyn Fn(&Path) -> bool>,
    /// The name of the work in the progress.
    pub task: &'a str,
}

/// What was unpacked or verified.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// Files and directories below the tree's own directory.
    pub file_count: u64,
    /// Bytes of their contents, holes included.
    pub bytes: u64,
    /// Files whose metadata could not all be restored: the first thousand.
    pub incomplete: Vec<Fault>,
    /// How many files those are in all.
    pub incomplete_count: u64,
}

/// Unpacks an archive and syncs what was written.
///
/// Without root's rights files belong to the user who restores, device files are left out,
/// and setuid and setgid of foreign files are not set; all of it is recorded.
///
/// # Errors
/// [`Code::BackupDamaged`] when bytes are missing or wrong, [`Code::UnsafePath`] when a path
/// leads outside, [`Code::RestoreFailed`] when the target is not empty. What was unpacked
/// until then stays in the target.
pub fn extract(
    what: &Extraction<'_>,
    progress: &Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<Extracted> {
    let frames = FrameReader::open(what.archive)?;
    let mut target = Target::open(what.target)?;
    let mut work = Work::new(&frames, what.task, progress, cancel);
    match (what.index, what.select) {
        (Some((index, component)), Some(select)) => {
            work.selected(index, component, select, &mut target)?;
        }
        (index, select) => work.all(index, select, Some(&mut target))?,
    }
    let mut extracted = work.finish();
    (extracted.incomplete, extracted.incomplete_count) = target.finish()?;
    Ok(extracted)
}

/// Reads a whole archive and compares every file with the index, without writing.
///
/// # Errors
/// As [`extract`].
pub fn verify(
    archive: &Path,
    index: &IndexReader,
    component: &str,
    progress: &Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<Extracted> {
    let frames = FrameReader::open(archive)?;
    let task = format!("verify {component}");
    let mut work = Work::new(&frames, &task, progress, cancel);
    work.all(Some((index, component)), None, None)?;
    Ok(work.finish())
}

struct Work<'a> {
    frames: &'a FrameReader,
    reading: Reading<'a>,
    cancel: &'a CancellationToken,
    done: Extracted,
}

impl<'a> Work<'a> {
    fn new(
        frames: &'a FrameReader,
        task: &'a str,
        progress: &'a Arc<dyn Progress>,
        cancel: &'a CancellationToken,
    ) -> Self {
        let total_bytes = Some(frames.table().length());
        progress.report(Event::Started { task: task.to_owned(), total_bytes });
        let reading = Reading::new(task, frames.path(), progress, cancel);
        Self { frames, reading, cancel, done: Extracted::default() }
    }

    /// Reads the archive from front to back.
    fn all(
        &mut self,
        index: Option<(&IndexReader, &str)>,
        select: Option<&dyn Fn(&Path) -> bool>,
        mut target: Option<&mut Target>,
    ) -> Result<()> {
        let path = self.frames.path();
        let mut check = Check::new(path, index);
        let mut selection = select.map(Selection::new);
        let mut tar = TarReader::new(self.frames.stream()?);
        while let Some(member) = tar.next_member().map_err(|e| read_error(path, e))? {
            self.go_on()?;
            let entry = member.entry;
            let row = check.member(&entry)?;
            if let (Some(selection), Some(target)) = (&mut selection, target.as_deref_mut()) {
                let Some(above) = selection.want(&entry) else { continue };
                above.iter().try_for_each(|directory| target.add(directory))?;
                if entry.kind == Kind::Hardlink && !selection.has_link_target(&entry) {
                    let cause = "is a link to a file that was not selected";
                    target.note(Fault::new(&entry.path, Trouble::Incomplete, cause));
                    continue;
                }
            }
            let hash = self.member(&entry, member.map.as_ref(), &mut tar, target.as_deref_mut())?;
            if let (Some(row), Some(hash)) = (&row, hash) {
                check.content(row, hash)?;
            }
        }
        check.end()?;
        tar.drain().map_err(|e| read_error(path, e))
    }

    /// Goes by the index and reads only what was selected.
    fn selected(
        &mut self,
        index: &IndexReader,
        component: &str,
        select: &dyn Fn(&Path) -> bool,
        target: &mut Target,
    ) -> Result<()> {
        let check = Check::new(self.frames.path(), None);
        let mut borrowed = Borrowed::find(index, component, select)?;
        let mut selection = Selection::new(select);
        let mut cursor = self.frames.read_at(0);
        for row in index.rows(Some(component)) {
            self.go_on()?;
            let mut row = row?;
            super::check::is_safe(self.frames.path(), &row.entry)?;
            let Some(above) = selection.want(&row.entry) else { continue };
            above.iter().try_for_each(|directory| target.add(directory))?;
            borrowed.resolve(&mut row);
            let map = self.seek(&row, &mut cursor)?;
            let hash = self.member(&row.entry, map.as_ref(), &mut cursor, Some(target))?;
            if let Some(hash) = hash {
                check.content(&row, hash)?;
            }
        }
        Ok(())
    }

    /// Puts `cursor` where the file's data begins.
    fn seek(&self, row: &Row, cursor: &mut (impl Read + Seek)) -> Result<Option<SparseMap>> {
        let Some(place) = row.place else { return Ok(None) };
        let read = |cursor: &mut _| SparseMap::read(cursor, row.entry.size).map(|(map, _)| map);
        let sought = cursor.seek(SeekFrom::Start(place.offset));
        let map = sought.and_then(|_| place.sparse.then(|| read(cursor)).transpose());
        map.map_err(|e| read_error(self.frames.path(), e))
    }

    /// Restores one file, or only reads it without a target; returns its content's hash.
    fn member(
        &mut self,
        entry: &Entry,
        map: Option<&SparseMap>,
        data: &mut impl Read,
        target: Option<&mut Target>,
    ) -> Result<Option<[u8; 32]>> {
        self.done.file_count += u64::from(!entry.path.as_os_str().is_empty());
        if entry.kind != Kind::File {
            target.map_or(Ok(()), |target| target.add(entry))?;
            return Ok(None);
        }
        self.done.bytes += entry.size;
        let Some(target) = target else {
            return self.reading.copy(entry, map, data, None).map(Some);
        };
        let file = target.create(entry)?;
        let shown = target.path().join(&entry.path);
        let hash = self.reading.copy(entry, map, data, Some((&file, &shown)))?;
        target.complete(&file, entry)?;
        Ok(Some(hash))
    }

    fn go_on(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(Code::Interrupted, "read", self.frames.path().display()));
        }
        Ok(())
    }

    fn finish(mut self) -> Extracted {
        self.reading.finish();
        self.done
    }
}

#[cfg(test)]
mod tests;
