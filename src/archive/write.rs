//! Writes one file tree: its archive and its rows of the index.

mod content;
mod lookup;

use super::contents::{Contents, Location};
use super::entry::{Entry, Kind};
use super::fault::{Fault, Trouble};
use super::frame::{FRAME_SIZE, FrameWriter, StoredArchive};
use super::index::{Place, Row};
use super::lists::Lists;
use super::scan::{Scanned, Totals};
use super::source::{Content, Source};
use super::tar::TarWriter;
use crate::encryption::{NewObject, Recipients};
use crate::error::{Code, Error, Result};
use crate::progress::{Event, Progress};
use content::{Copying, Stored};
use lookup::{Looked, look_up};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
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
    /// Whom it is encrypted for.
    pub recipients: &'a Recipients,
    /// The backup's id, for the index.
    pub stored_in: &'a str,
    /// zstd's compression level.
    pub level: i32,
    /// What earlier backups hold and is not stored again; nothing for a full backup.
    pub contents: Option<&'a Contents>,
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
    /// Earlier archives that hold contents of the tree: the backup's id and the archive's
    /// path in it.
    pub elsewhere: BTreeSet<(String, String)>,
    /// Files that changed or vanished while they were read, relative to the tree.
    pub changed: Vec<String>,
    /// Files that could not be read, relative to the tree. Each was also reported as a
    /// warning with its cause.
    pub unreadable: Vec<String>,
    /// Files that mean nothing in an archive, such as sockets; also reported as notes.
    pub skipped: Vec<String>,
}

/// Writes the files of `source` into a new archive and their rows into `lists`.
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
    lists: &mut Lists,
    progress: &Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<WrittenTree> {
    let task = format!("files {}", tree.component);
    progress.report(Event::Started { task: task.clone(), total_bytes: tree.total_bytes });
    let frames = FrameWriter::create_for(tree.recipients, tree.archive, tree.level)?;
    let mut writing = Writing {
        tree,
        tar: TarWriter::new(frames),
        lists,
        progress,
        copying: Copying::new(task.clone(), progress, cancel),
        cancel,
        linked: HashMap::new(),
        elsewhere: BTreeSet::new(),
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
            Scanned::Held(held) => {
                writing.copying.advance(held.row.entry.size);
                writing.refer(&held.row, held.is_as_before)?;
            }
            Scanned::Gone(row) => writing.lists.add_gone(&row)?,
            Scanned::Known(row) => writing.lists.know(*row),
            Scanned::Entry(entry) => writing.add(source, entry)?,
        }
    }
    let written = writing.finish()?;
    progress.report(Event::Finished { task });
    Ok(written)
}

struct Writing<'a> {
    tree: &'a Tree<'a>,
    tar: TarWriter<FrameWriter<NewObject>>,
    lists: &'a mut Lists,
    progress: &'a Arc<dyn Progress>,
    copying: Copying<'a>,
    cancel: &'a CancellationToken,
    /// Files with further names to come whose content lies elsewhere.
    linked: HashMap<PathBuf, Linked>,
    elsewhere: BTreeSet<(String, String)>,
    totals: Totals,
    changed: Vec<String>,
    unreadable: Vec<String>,
    skipped: Vec<String>,
}

/// What became of a content.
enum Kept {
    Here(Stored),
    Elsewhere([u8; 32], Location),
}

/// A file with further names, whose content lies in an earlier archive.
struct Linked {
    names_left: u64,
    stored_in: String,
    archive: String,
}

impl Writing<'_> {
    fn add(&mut self, source: &mut dyn Source, mut entry: Entry) -> Result<()> {
        let mut stored = Stored::default();
        if entry.kind == Kind::File {
            match source.open(&mut entry) {
                Ok(content) => match self.store(&mut entry, content) {
                    Ok(Kept::Here(kept)) => stored = kept,
                    Ok(Kept::Elsewhere(sha256, location)) => {
                        return self.refer(&self.row_of(entry, sha256, location), false);
                    }
                    Err(error) => return Err(self.failed(error)),
                },
                Err(error) => {
                    source.forget(&entry);
                    let trouble = match error.kind() {
                        io::ErrorKind::NotFound => Trouble::Vanished,
                        _ => Trouble::Unreadable,
                    };
                    self.record(&Fault::new(&entry.path, trouble, error));
                    return self.lists.add_gone(&self.own_row(entry, Stored::default()));
                }
            }
        } else if let Some(row) = self.link_elsewhere(&entry) {
            return self.refer(&row, false);
        } else {
            self.tar.member(&entry, None).map_err(|e| self.failed(e))?;
        }
        for fault in &stored.faults {
            self.record(fault);
        }
        self.totals.add(&entry.path, entry.kind, entry.size);
        self.lists.add(&self.own_row(entry, stored))
    }

    /// The row of a file that is stored in this archive.
    fn own_row(&self, entry: Entry, stored: Stored) -> Row {
        let place = |(offset, sparse)| Place { frame: offset / FRAME_SIZE as u64, offset, sparse };
        Row {
            component: self.tree.component.to_owned(),
            sha256: stored.sha256,
            changed: !stored.faults.is_empty(),
            stored_in: self.tree.stored_in.to_owned(),
            archive: self.tree.object.to_owned(),
            place: stored.place.map(place),
            entry,
        }
    }

    /// Stores a content, unless an earlier backup holds it.
    fn store(&mut self, entry: &mut Entry, content: Content<'_>) -> io::Result<Kept> {
        let scratch = self.tree.archive.parent().unwrap_or(self.tree.archive);
        let looked = match self.tree.contents {
            Some(contents) => look_up(&mut self.copying, contents, entry, content, scratch)?,
            None => Looked::Missing(content),
        };
        let stored = match looked {
            Looked::Held(sha256, location) => return Ok(Kept::Elsewhere(sha256, location)),
            Looked::Missing(content) => self.copying.copy(&mut self.tar, entry, content),
            Looked::Spooled(mut file, map) => {
                let content = Content::Stream { reader: &mut file, map };
                self.copying.copy(&mut self.tar, entry, content)
            }
        };
        stored.map(Kept::Here)
    }

    /// The row of a file whose content lies at `location`.
    fn row_of(&self, entry: Entry, sha256: [u8; 32], location: Location) -> Row {
        Row {
            component: self.tree.component.to_owned(),
            entry,
            sha256: Some(sha256),
            changed: false,
            stored_in: location.stored_in,
            archive: location.archive,
            place: Some(location.place),
        }
    }

    /// The row of a hard link to a file whose content lies elsewhere. In the archive it would
    /// be a link to a member that is not there.
    fn link_elsewhere(&mut self, entry: &Entry) -> Option<Row> {
        if entry.kind != Kind::Hardlink {
            return None;
        }
        let target = PathBuf::from(entry.link_target.clone()?);
        let linked = self.linked.get_mut(&target)?;
        let (stored_in, archive) = (linked.stored_in.clone(), linked.archive.clone());
        linked.names_left -= 1;
        if linked.names_left == 0 {
            self.linked.remove(&target);
        }
        Some(Row {
            component: self.tree.component.to_owned(),
            entry: entry.clone(),
            sha256: None,
            changed: false,
            stored_in,
            archive,
            place: None,
        })
    }

    /// Lists a file that is not stored in this archive.
    fn refer(&mut self, row: &Row, is_as_before: bool) -> Result<()> {
        let Row { entry, stored_in, archive, .. } = row;
        self.totals.add(&entry.path, entry.kind, entry.size);
        if entry.kind == Kind::File {
            let names_left = entry.nlink.saturating_sub(1);
            if names_left > 0 {
                let (stored_in, archive) = (stored_in.clone(), archive.clone());
                let linked = Linked { names_left, stored_in, archive };
                self.linked.insert(entry.path.clone(), linked);
            }
            // Only contents are read there: what has none comes out of the index alone.
            let place = (stored_in.clone(), archive.clone());
            if !self.elsewhere.contains(&place) {
                self.elsewhere.insert(place);
            }
        }
        if is_as_before { self.lists.add_unchanged(row) } else { self.lists.add(row) }
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
            Trouble::Unreadable | Trouble::Incomplete | Trouble::Lost => {
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
        self.lists.end_tree()?;
        let tree = self.tree;
        let frames = self.tar.finish();
        let frames = frames.map_err(|e| Error::io("write archive", tree.archive, e))?;
        Ok(WrittenTree {
            stored: frames.finish()?,
            source_bytes: self.totals.source_bytes,
            file_count: self.totals.file_count,
            elsewhere: self.elsewhere,
            changed: self.changed,
            unreadable: self.unreadable,
            skipped: self.skipped,
        })
    }
}

#[cfg(test)]
mod tests;
