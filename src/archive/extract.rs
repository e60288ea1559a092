//! Unpacks an archive into a directory, or only reads and verifies it.
//!
//! Archives are untrusted: a path is refused unless it stays below the target, and no
//! symlink that the archive brings is ever walked through.

mod archives;
mod content;
mod crew;
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
use crate::progress::{Event, Progress, Silent};
use crate::storage::Blob;
pub use archives::Locate;
pub(super) use archives::{Archives, OpenArchive};
use content::{Reading, Sink};
use selection::{Borrowed, Selection};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use target::Target;
use tokio_util::sync::CancellationToken;

/// How many lost files are named.
const MOST_LOST: usize = 1000;

/// Which archive is unpacked, and where to.
#[derive(Clone, Copy)]
pub struct Extraction<'a> {
    /// The archive that the backup itself holds.
    pub archive: &'a Blob,
    /// Finds every archive that holds contents of the tree, where an incremental backup
    /// points into earlier ones. Needs an index. Without it all lies in `archive`.
    pub locate: Option<Locate<'a>>,
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
    /// Files whose content is damaged: the first thousand. Only [`salvage`] goes on after one.
    pub lost: Vec<Fault>,
    /// How many files those are in all.
    pub lost_count: u64,
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
    let mut target = Target::open(what.target)?;
    let own = |_: &str, _: &str| Ok(what.archive.clone());
    let mut work = Work::new(what.archive.name(), what.task, progress, cancel);
    match (what.index, what.select, what.locate) {
        (Some((index, component)), select, Some(locate)) => {
            work.begin(None);
            let select = select.unwrap_or(&|_| true);
            let archives = Archives::new(locate);
            work.by_index(index, component, select, archives, &mut Some(&mut target))?;
        }
        (Some((index, component)), Some(select), None) => {
            work.begin(None);
            let archives = Archives::new(&own);
            work.by_index(index, component, select, archives, &mut Some(&mut target))?;
        }
        (index, select, _) => {
            let frames = FrameReader::open(what.archive)?;
            let check = Check::new(what.archive.name(), index);
            work.begin(Some(frames.table().length()));
            work.all(&frames, check, select, Some(&mut target))?;
        }
    }
    let mut extracted = work.finish();
    (extracted.incomplete, extracted.incomplete_count) = target.finish()?;
    Ok(extracted)
}

/// As [`extract`], out of archives that may be damaged: every file whose bytes are whole comes
/// back, the others are named in what is returned. Without `target` they are only looked for,
/// and nothing is written. Needs the index, which must be whole.
///
/// # Errors
/// As [`extract`], but for damage to archives.
pub fn salvage(
    what: &Extraction<'_>,
    into_target: bool,
    progress: &Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<Extracted> {
    let Some((index, component)) = what.index else {
        return Err(Error::new(Code::BackupDamaged, "salvage", what.archive.name())
            .cause("without its index nobody knows what it held"));
    };
    let own = |_: &str, _: &str| Ok(what.archive.clone());
    // One after the other, so that a file whose bytes are damaged can be taken away again.
    let mut target = into_target.then(|| Target::open_alone(what.target)).transpose()?;
    let mut work = Work::new(what.archive.name(), what.task, progress, cancel);
    work.begin(None);
    let archives = Archives::salvaging(what.locate.unwrap_or(&own));
    let select = what.select.unwrap_or(&|_| true);
    work.by_index(index, component, select, archives, &mut target.as_mut())?;
    let mut extracted = work.finish();
    if let Some(target) = target {
        (extracted.incomplete, extracted.incomplete_count) = target.finish()?;
    }
    Ok(extracted)
}

/// Writes the content of one regular file to `output` and compares it with its hash. Reads only
/// the frames that hold it.
///
/// # Errors
/// [`Code::BackupDamaged`], after what could be read was put out; [`Code::Io`] when `output`
/// fails.
pub fn write_row(
    row: &Row,
    locate: Locate<'_>,
    output: &mut dyn Write,
    cancel: &CancellationToken,
) -> Result<()> {
    let mut archives = Archives::new(locate);
    let Some((archive, map)) = archives.seek(row)? else {
        return Err(Error::new(Code::BackupDamaged, "read", row.entry.shown())
            .cause("the index does not say where it lies"));
    };
    let name = archive.name().to_owned();
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    let mut reading = Reading::new("read", &silent, cancel);
    let mut sink = Sink::Stream(output);
    let hash = reading.copy(&name, &row.entry, map.as_ref(), &mut archive.cursor, &mut sink)?;
    Check::new(&name, None).content(row, hash)
}

/// Reads a whole archive and compares every file with those rows of the index whose bytes lie
/// in the backup `stored_in`, without writing.
///
/// # Errors
/// As [`extract`].
pub fn verify(
    archive: &Blob,
    index: &IndexReader,
    (component, stored_in): (&str, &str),
    progress: &Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<Extracted> {
    let frames = FrameReader::open(archive)?;
    let task = format!("verify {component}");
    let mut work = Work::new(archive.name(), &task, progress, cancel);
    let check = Check::of_backup(archive.name(), index, component, stored_in);
    work.begin(Some(frames.table().length()));
    work.all(&frames, check, None, None)?;
    Ok(work.finish())
}

struct Work<'a> {
    archive: &'a str,
    task: &'a str,
    progress: &'a Arc<dyn Progress>,
    reading: Reading<'a>,
    cancel: &'a CancellationToken,
    done: Extracted,
}

impl<'a> Work<'a> {
    fn new(
        archive: &'a str,
        task: &'a str,
        progress: &'a Arc<dyn Progress>,
        cancel: &'a CancellationToken,
    ) -> Self {
        let reading = Reading::new(task, progress, cancel);
        Self { archive, task, progress, reading, cancel, done: Extracted::default() }
    }

    fn begin(&self, total_bytes: Option<u64>) {
        self.progress.report(Event::Started { task: self.task.to_owned(), total_bytes });
    }

    /// Reads the archive from front to back.
    fn all(
        &mut self,
        frames: &FrameReader,
        mut check: Check<'_>,
        select: Option<&dyn Fn(&Path) -> bool>,
        mut target: Option<&mut Target>,
    ) -> Result<()> {
        let name = frames.name();
        let mut selection = select.map(Selection::new);
        let mut tar = TarReader::new(frames.stream()?);
        while let Some(member) = tar.next_member().map_err(|e| read_error(name, e))? {
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
            let data = (name, member.map.as_ref(), &mut tar);
            let hash = self.member(&entry, Some(data), target.as_deref_mut())?;
            if let (Some(row), Some(hash)) = (&row, hash) {
                check.content(row, hash)?;
            }
        }
        check.end()?;
        tar.drain().map_err(|e| read_error(name, e))
    }

    /// Goes by the index and reads only what was selected, from wherever it lies. Of archives
    /// that may be damaged, it goes on after what is lost.
    fn by_index(
        &mut self,
        index: &IndexReader,
        component: &str,
        select: &dyn Fn(&Path) -> bool,
        mut archives: Archives<'_>,
        target: &mut Option<&mut Target>,
    ) -> Result<()> {
        let mut borrowed = Borrowed::find(index, component, select)?;
        let mut selection = Selection::new(select);
        let mut lost = HashSet::new();
        for row in index.rows(Some(component)) {
            self.go_on()?;
            let mut row = row?;
            super::check::is_safe(self.archive, &row.entry)?;
            let Some(above) = selection.want(&row.entry) else { continue };
            if let Some(target) = target {
                above.iter().try_for_each(|directory| target.add(directory))?;
            }
            borrowed.resolve(&mut row);
            let link = row.entry.link_target.as_deref().map(Path::new);
            if row.entry.kind == Kind::Hardlink && link.is_some_and(|to| lost.contains(to)) {
                self.lose(&row.entry.path, "it is a link to a file that is lost");
                continue;
            }
            match self.row(&row, &mut archives, target.as_deref_mut()) {
                Err(e) if archives.are_salvaged() && is_loss(&e) => {
                    self.lose(&row.entry.path, e);
                    lost.insert(row.entry.path);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Restores what one row lists. A file that turns out to be damaged is not left behind
    /// where that is to be salvaged.
    fn row(
        &mut self,
        row: &Row,
        archives: &mut Archives<'_>,
        mut target: Option<&mut Target>,
    ) -> Result<()> {
        if row.place.is_none() || row.entry.kind != Kind::File {
            return self.member::<std::io::Empty>(&row.entry, None, target).map(drop);
        }
        let salvage = archives.are_salvaged();
        if salvage && row.entry.size == 0 {
            let mut nothing = std::io::empty();
            let data = (self.archive, None, &mut nothing);
            return self.member(&row.entry, Some(data), target).map(drop);
        }
        let Some((archive, map)) = archives.seek(row)? else { return Ok(()) };
        let name = archive.name().to_owned();
        let data = (name.as_str(), map.as_ref(), &mut archive.cursor);
        let read = self.member(&row.entry, Some(data), target.as_deref_mut());
        let checked = read.and_then(|hash| match hash {
            Some(hash) => Check::new(&name, None).content(row, hash),
            None => Ok(()),
        });
        match (&checked, target) {
            (Err(e), Some(target)) if salvage && is_loss(e) => {
                target.discard(&row.entry)?;
            }
            _ => {}
        }
        if salvage && checked.is_err() {
            self.done.file_count -= 1;
            self.done.bytes -= row.entry.size;
        }
        checked
    }

    fn lose(&mut self, path: &Path, cause: impl std::fmt::Display) {
        self.done.lost_count += 1;
        if self.done.lost.len() < MOST_LOST {
            self.done.lost.push(Fault::new(path, Trouble::Lost, cause));
        }
    }

    /// Restores one file, or only reads it without a target; returns its content's hash. The
    /// data of a regular file come with their archive's path and, for a sparse file, its map.
    fn member<R: Read>(
        &mut self,
        entry: &Entry,
        data: Option<(&str, Option<&SparseMap>, &mut R)>,
        target: Option<&mut Target>,
    ) -> Result<Option<[u8; 32]>> {
        self.done.file_count += u64::from(!entry.path.as_os_str().is_empty());
        if entry.kind != Kind::File {
            target.map_or(Ok(()), |target| target.add(entry))?;
            return Ok(None);
        }
        let Some((archive, map, data)) = data else {
            return Err(Error::new(Code::BackupDamaged, "read", self.archive)
                .cause(format!("the index does not say where {} lies", entry.shown())));
        };
        self.done.bytes += entry.size;
        let Some(target) = target else {
            return self.reading.copy(archive, entry, map, data, &mut Sink::Nothing).map(Some);
        };
        if map.is_none() && target.takes(entry) {
            let mut content = Vec::with_capacity(entry.size as usize);
            let mut sink = Sink::Stream(&mut content);
            let hash = self.reading.copy(archive, entry, None, data, &mut sink)?;
            target.put(entry, content)?;
            return Ok(Some(hash));
        }
        let file = target.create(entry)?;
        let shown = target.path().join(&entry.path);
        let mut sink = Sink::File(&file, &shown);
        let hash = self.reading.copy(archive, entry, map, data, &mut sink)?;
        target.complete(&file, entry)?;
        Ok(Some(hash))
    }

    fn go_on(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(Code::Interrupted, "read", self.archive));
        }
        Ok(())
    }

    fn finish(mut self) -> Extracted {
        self.reading.finish();
        self.done
    }
}

/// Whether a failure concerns one content only.
fn is_loss(error: &Error) -> bool {
    matches!(error.code(), Code::BackupDamaged | Code::BackupNotFound)
}

#[cfg(test)]
mod tests;
