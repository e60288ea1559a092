//! Walks a tree in [`tree_order`](super::entry::tree_order), without following symlinks.
//!
//! Every step goes through open directories, so a directory that somebody replaces by a
//! symlink meanwhile leads nowhere. Memory holds the names of the directories on the way
//! down and one record for each hard-linked file whose other names are still to come.

mod exclude;
mod link;
mod names;
mod own;
mod total;
mod xattr;

pub use exclude::Excludes;
pub use own::Own;
pub use total::{Totals, total};

use super::base::Held;
use super::entry::{Entry, Kind, Owners};
use super::fault::{Fault, Trouble};
use super::index::Row;
use super::proof::Proofs;
use crate::error::{Error, Result};
use link::Links;
use names::Names;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use xattr::XattrReader;

/// One thing that a scan came across.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    /// A file with its metadata.
    Entry(Entry),
    /// A file that could not be looked at, or was left out.
    Fault(Fault),
    /// A file that an earlier backup holds as it is now. Only a source that compares returns it.
    Held(Box<Held>),
    /// A file that an earlier backup has and the tree has not, with its row there; likewise.
    Gone(Box<Row>),
    /// The row that an earlier backup has of the file that comes next and has to be read, or of
    /// what was in its place; likewise.
    Known(Box<Row>),
}

/// A walk through a tree, as an iterator. The first entry is the tree's own directory.
///
/// Regular files come without their extended attributes: whoever opens one gets them.
pub struct Scan {
    excludes: Excludes,
    owners: Owners,
    links: Links,
    proofs: Proofs,
    xattrs: Option<XattrReader>,
    levels: Vec<Level>,
    waiting: VecDeque<Scanned>,
}

struct Level {
    directory: OwnedFd,
    path: PathBuf,
    names: Names,
}

enum Met {
    Entry(Entry),
    Nothing,
}

impl Scan {
    /// Begins at the directory `root`.
    ///
    /// # Errors
    /// When `root` itself cannot be read; all later trouble is reported as [`Fault`]s.
    pub fn open(root: &Path, excludes: Excludes) -> Result<Self> {
        Self::new(root, excludes, true)
    }

    fn new(root: &Path, excludes: Excludes, with_xattrs: bool) -> Result<Self> {
        let failed = |e: Errno| Error::io("read directory", root, e.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(root, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&directory).map_err(failed)?;
        let mut scan = Self {
            excludes,
            owners: Owners::of_this_system(),
            links: Links::default(),
            proofs: Proofs::default(),
            xattrs: with_xattrs.then(XattrReader::default),
            levels: Vec::new(),
            waiting: VecDeque::new(),
        };
        let xattrs = match &mut scan.xattrs {
            Some(reader) => reader.of_open(directory.as_fd()),
            None => Vec::new(),
        };
        let entry = Entry::from_stat(PathBuf::new(), &stat, &scan.owners, xattrs);
        scan.waiting.extend(entry.map(Scanned::Entry));
        let names = Names::read(&directory).map_err(failed)?;
        scan.levels.push(Level { directory, path: PathBuf::new(), names });
        Ok(scan)
    }

    /// Opens the file that was just returned, as far as permitted without changing its
    /// access time, and completes its entry. A symlink in its place is not followed, a fifo
    /// not waited for.
    pub(crate) fn open_file(&mut self, entry: &mut Entry) -> std::io::Result<(File, Stat)> {
        let level = self.levels.last().ok_or(Errno::BADF)?;
        let name = entry.path.file_name().ok_or(Errno::INVAL)?;
        let file = File::from(open_untouched(&level.directory, name, OFlags::NONBLOCK)?);
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(std::io::Error::other("is no regular file any more"));
        }
        if let Some(reader) = &mut self.xattrs {
            entry.xattrs = reader.of_open(file.as_fd());
        }
        Ok((file, stat))
    }

    /// Says that `entry` was not archived, so that no later name may be a link to it.
    pub(crate) fn forget(&mut self, entry: &Entry) {
        self.links.forget(entry);
    }

    /// What the change times of the files so far are worth.
    pub(crate) fn proofs(&self) -> &Proofs {
        &self.proofs
    }

    fn meet(&mut self, name: &OsStr) -> Result<Met, Fault> {
        let Some(level) = self.levels.last() else { return Ok(Met::Nothing) };
        let path = level.path.join(name);
        let stat = statat(&level.directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| missed(&path, e))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_directory = kind == FileType::Directory;
        if self.excludes.covers(&path, is_directory) {
            return Ok(Met::Nothing);
        }
        if is_directory
            && self.levels.len() == 1
            && let Some(own) = Own::of(name)
        {
            return Err(Fault::new(&path, Trouble::Skipped, own.shown()));
        }
        if kind == FileType::Socket {
            return Err(Fault::new(&path, Trouble::Skipped, "socket"));
        }
        if kind == FileType::RegularFile {
            self.proofs.ask(stat.st_dev, &level.directory, name);
        }
        let xattrs = match &mut self.xattrs {
            // A file's are read when it is open, which costs less.
            Some(reader) if kind != FileType::RegularFile => {
                reader.of_name(level.directory.as_fd(), name)
            }
            _ => Vec::new(),
        };
        let entry = Entry::from_stat(path.clone(), &stat, &self.owners, xattrs);
        let Some(mut entry) = entry else {
            return Err(Fault::new(&path, Trouble::Skipped, "unknown kind of file"));
        };
        if entry.kind == Kind::Symlink {
            let target = readlinkat(&level.directory, name, Vec::new());
            let target = target.map_err(|e| missed(&path, e))?;
            entry.link_target = Some(OsString::from_vec(target.into_bytes()));
        }
        if is_directory {
            self.descend(name, path);
        } else {
            self.links.resolve(&mut entry);
        }
        Ok(Met::Entry(entry))
    }

    /// Goes on inside the directory `name`; one that cannot be read is a fault, and its
    /// own entry is kept.
    fn descend(&mut self, name: &OsStr, path: PathBuf) {
        let Some(level) = self.levels.last() else { return };
        let opened = open_untouched(&level.directory, name, OFlags::DIRECTORY);
        match opened.and_then(|directory| Ok((Names::read(&directory)?, directory))) {
            Ok((names, directory)) => self.levels.push(Level { directory, path, names }),
            Err(error) => self.waiting.push_back(Scanned::Fault(missed(&path, error))),
        }
    }
}

impl Iterator for Scan {
    type Item = Scanned;

    fn next(&mut self) -> Option<Scanned> {
        if let Some(waiting) = self.waiting.pop_front() {
            return Some(waiting);
        }
        loop {
            let Some(name) = self.levels.last_mut()?.names.next() else {
                self.levels.pop();
                continue;
            };
            match self.meet(&name) {
                Ok(Met::Entry(entry)) => return Some(Scanned::Entry(entry)),
                Ok(Met::Nothing) => {}
                Err(fault) => return Some(Scanned::Fault(fault)),
            }
        }
    }
}

fn missed(path: &Path, error: Errno) -> Fault {
    let trouble = if error == Errno::NOENT { Trouble::Vanished } else { Trouble::Unreadable };
    Fault::new(path, trouble, std::io::Error::from(error))
}

/// Opens for reading without touching the access time; only a file's owner and root may
/// ask for that.
fn open_untouched(directory: impl AsFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
    match openat(&directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(&directory, name, flags, Mode::empty()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
