//! Writes one file tree: its archive and its rows of the index.

mod content;

use super::entry::{Entry, Kind};
use super::fault::{Fault, Trouble};
use super::frame::{FRAME_SIZE, FrameWriter, StoredArchive};
use super::index::{IndexWriter, Place, Row};
use super::scan::{Scanned, Totals};
use super::source::Source;
use super::tar::TarWriter;
use crate::error::{Code, Error, Result};
use crate::progress::{Event, Progress};
use content::{Copying, Stored};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Which tree is written, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Tree<'a> {
    /// The component's name.
    pub component: &'a str,
    /// The archive that is created.
    pub archive: &'a Path,
    /// The archive's path in the backup, for the index.
    pub object: &'a str,
    /// The backup's id, for the index.
    pub stored_in: &'a str,
    /// zstd's compression level.
    pub level: i32,
    /// Bytes of the source, for the progress, where they are known.
    pub total_bytes: Option<u64>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTree {
    /// The archive.
    pub stored: StoredArchive,
    /// The contents of all files; a file with several names counts once.
    pub source_bytes: u64,
    /// Files and directories below the tree's own directory.
    pub file_count: u64,
    /// Files that changed or vanished while they were read, relative to the tree.
    pub changed: Vec<String>,
    /// Files that could not be read, relative to the tree. Each was also reported as a
    /// warning with its cause.
    pub unreadable: Vec<String>,
    /// Files that mean nothing in an archive, such as sockets; also reported as notes.
    pub skipped: Vec<String>,
}

/// Writes the files of `source` into a new archive and their rows into `index`.
///
/// A file that shrinks while it is read is filled up with zeros, one that grows is cut at
/// the size it had; both are recorded as changed. A file that cannot be read to its end is
/// recorded as unreadable and filled up with zeros. The archive is not synced to disk.
///
/// # Errors
/// [`Code::Interrupted`] when cancelled; the unfinished archive is then left to the caller.
pub fn write_tree(
    tree: &Tree<'_>,
    source: &mut dyn Source,
    index: &mut IndexWriter,
    progress: &Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<WrittenTree> {
    let task = format!("files {}", tree.component);
    progress.report(Event::Started { task: task.clone(), total_bytes: tree.total_bytes });
    let frames = FrameWriter::create(tree.archive, tree.level)?;
    let mut writing = Writing {
        tree,
        tar: TarWriter::new(frames),
        index,
        progress,
        copying: Copying::new(task.clone(), progress, cancel),
        cancel,
        totals: Totals::default(),
        changed: Vec::new(),
        unreadable: Vec::new(),
        skipped: Vec::new(),
    };
    while let Some(scanned) = source.next()? {
        if cancel.is_cancelled() {
            return Err(Error::new(Code::Interrupted, "archive", tree.component));
        }
        match scanned {
            Scanned::Fault(fault) => writing.record(&fault),
            Scanned::Entry(entry) => writing.add(source, entry)?,
        }
    }
    let written = writing.finish()?;
    progress.report(Event::Finished { task });
    Ok(written)
}

struct Writing<'a> {
    tree: &'a Tree<'a>,
    tar: TarWriter<FrameWriter<File>>,
    index: &'a mut IndexWriter,
    progress: &'a Arc<dyn Progress>,
    copying: Copying<'a>,
    cancel: &'a CancellationToken,
    totals: Totals,
    changed: Vec<String>,
    unreadable: Vec<String>,
    skipped: Vec<String>,
}

impl Writing<'_> {
    fn add(&mut self, source: &mut dyn Source, mut entry: Entry) -> Result<()> {
        let mut stored = Stored::default();
        if entry.kind == Kind::File {
            match source.open(&mut entry) {
                Ok(content) => {
                    let copied = self.copying.copy(&mut self.tar, &mut entry, content);
                    stored = copied.map_err(|e| self.failed(e))?;
                }
                Err(error) => {
                    source.forget(&entry);
                    let trouble = match error.kind() {
                        io::ErrorKind::NotFound => Trouble::Vanished,
                        _ => Trouble::Unreadable,
                    };
                    self.record(&Fault::new(&entry.path, trouble, error));
                    return Ok(());
                }
            }
        } else {
            self.tar.member(&entry, None).map_err(|e| self.failed(e))?;
        }
        for fault in &stored.faults {
            self.record(fault);
        }
        self.totals.add(&entry.path, entry.kind, entry.size);
        let place = |(offset, sparse)| Place { frame: offset / FRAME_SIZE as u64, offset, sparse };
        self.index.append(&Row {
            component: self.tree.component.to_owned(),
            sha256: stored.sha256,
            changed: !stored.faults.is_empty(),
            stored_in: self.tree.stored_in.to_owned(),
            archive: self.tree.object.to_owned(),
            place: stored.place.map(place),
            entry,
        })
    }

    fn record(&mut self, fault: &Fault) {
        let path = super::entry::shown(&fault.path);
        let message = format!("{}: {fault}", self.tree.component);
        match fault.trouble {
            Trouble::Changed | Trouble::Vanished => self.changed.push(path),
            Trouble::Skipped => {
                self.progress.note(format!("left out {message}"));
                self.skipped.push(path);
            }
            Trouble::Unreadable | Trouble::Incomplete => {
                self.progress.warn(Code::Degraded, format!("cannot read {message}"));
                self.unreadable.push(path);
            }
        }
    }

    /// What a failed write means.
    fn failed(&self, error: io::Error) -> Error {
        if self.cancel.is_cancelled() {
            return Error::new(Code::Interrupted, "archive", self.tree.component);
        }
        Error::io("write archive", self.tree.archive, error)
    }

    fn finish(mut self) -> Result<WrittenTree> {
        self.copying.report();
        let tree = self.tree;
        let frames = self.tar.finish();
        let frames = frames.map_err(|e| Error::io("write archive", tree.archive, e))?;
        Ok(WrittenTree {
            stored: frames.finish()?,
            source_bytes: self.totals.source_bytes,
            file_count: self.totals.file_count,
            changed: self.changed,
            unreadable: self.unreadable,
            skipped: self.skipped,
        })
    }
}

#[cfg(test)]
mod tests;
