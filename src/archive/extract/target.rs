//! The directory that an archive is unpacked into.
//!
//! The directories from the target down to the current file are held open, each opened
//! inside the one above it without following a symlink. So nothing that the archive brings,
//! and nothing that somebody puts there meanwhile, leads outside.

use super::crew::{Crew, SMALL, open_new};
use super::metadata::{Metadata, Subject};
use crate::archive::entry::{Entry, Kind};
use crate::archive::fault::{Fault, Trouble};
use crate::error::{Code, Error, Result};
use rustix::fs::{
    AtFlags, Dev, FileType, Mode, OFlags, linkat, makedev, mkdirat, mknodat, openat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that is being filled. Its metadata follow when nothing more is put into it,
/// because that would change its time, and because it may be read-only.
struct Held {
    name: OsString,
    directory: Arc<OwnedFd>,
    entry: Option<Entry>,
}

/// A directory into which nothing more is put, but for what the threads still do.
struct Left {
    directory: Arc<OwnedFd>,
    entry: Entry,
}

/// How many directories wait for the threads before they are completed.
const MOST_LEFT: usize = 32;

/// The directory that an archive is unpacked into.
pub(super) struct Target {
    path: PathBuf,
    top: Arc<OwnedFd>,
    top_entry: Option<Entry>,
    held: Vec<Held>,
    left: VecDeque<Left>,
    metadata: Arc<Metadata>,
    crew: Option<Crew>,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Target {
    /// Opens the directory at `path`, or creates it (mode 0700). Small files are written by
    /// threads.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut target = Self::open_alone(path)?;
        target.crew = Some(Crew::start(path, &target.metadata)?);
        Ok(target)
    }

    /// The same without threads.
    pub(super) fn open_alone(path: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io("restore into", path, e);
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error.into())),
        }
        if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(Error::new(Code::RestoreFailed, "restore into", path.display())
                .cause("the directory is not empty")
                .hint("name a new or empty directory"));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        Ok(Self {
            path: path.to_owned(),
            top: Arc::new(top),
            top_entry: None,
            held: Vec::new(),
            left: VecDeque::new(),
            metadata: Arc::new(Metadata::new()),
            crew: None,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Records what could not be restored.
    pub(super) fn note(&mut self, fault: Fault) {
        self.metadata.note(fault);
    }

    /// Creates the empty file of `entry` for its content.
    pub(super) fn create(&mut self, entry: &Entry) -> Result<File> {
        self.enter_parent(entry)?;
        open_new(self.current(), entry).map_err(|e| self.failed(entry, e))
    }

    /// Whether the content of `entry` may be given to [`put`](Self::put) as a whole.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        self.crew.is_some() && entry.size <= SMALL
    }

    /// Leaves a file with its content and metadata to the threads.
    pub(super) fn put(&mut self, entry: &Entry, content: Vec<u8>) -> Result<()> {
        self.enter_parent(entry)?;
        let directory = self.held.last().map_or(&self.top, |held| &held.directory);
        self.crew.as_ref().map_or(Ok(()), |crew| crew.create(directory, entry, content))
    }

    /// Takes the file of `entry`, just created, away again.
    pub(super) fn discard(&mut self, entry: &Entry) -> Result<()> {
        let name = self.enter_parent(entry)?;
        unlinkat(self.current(), name, AtFlags::empty()).map_err(|e| self.failed(entry, e))
    }

    /// Gives a file that has its content its metadata.
    pub(super) fn complete(&mut self, file: &File, entry: &Entry) -> Result<()> {
        let done = self.metadata.apply(&Subject::Open(file.as_fd()), entry);
        done.map_err(|e| self.failed(entry, e))
    }

    /// Restores what has no content: a directory, a link, a fifo, a device.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<()> {
        if entry.path.as_os_str().is_empty() {
            self.top_entry = Some(entry.clone());
            return Ok(());
        }
        let name = self.enter_parent(entry)?;
        let target = entry.link_target.as_deref().unwrap_or_default();
        let made = match entry.kind {
            Kind::Directory => return self.descend(name, entry),
            Kind::Hardlink => {
                self.crew.as_ref().map_or(Ok(()), Crew::wait)?;
                return self.link(name, Path::new(target), entry);
            }
            Kind::Symlink => symlinkat(target, self.current(), name),
            Kind::Fifo => self.make_node(name, FileType::Fifo, 0),
            Kind::CharDevice => self.make_node(name, FileType::CharacterDevice, device(entry)),
            Kind::BlockDevice => self.make_node(name, FileType::BlockDevice, device(entry)),
            Kind::File => return self.create(entry).map(drop),
        };
        if let (Err(error @ Errno::PERM), Some(_)) = (made, entry.rdev) {
            let cause = format!("device could not be made: {error}");
            self.note(Fault::new(&entry.path, Trouble::Incomplete, cause));
            return Ok(());
        }
        made.map_err(|e| self.failed(entry, e))?;
        let done = self.metadata.apply(&Subject::Named(self.current(), name), entry);
        done.map_err(|e| self.failed(entry, e))
    }

    /// Completes the directories, syncs, and returns what could not be restored (the first
    /// thousand, and how many in all).
    pub(super) fn finish(mut self) -> Result<(Vec<Fault>, u64)> {
        self.leave_to(0)?;
        self.complete_left(0)?;
        self.crew.as_ref().map_or(Ok(()), Crew::wait)?;
        if let Some(entry) = self.top_entry.take() {
            let done = self.metadata.apply(&Subject::Open(self.top.as_fd()), &entry);
            done.map_err(|e| self.failed(&entry, e))?;
        }
        let synced = rustix::fs::syncfs(&self.top);
        synced.map_err(|e| Error::io("sync", &self.path, e.into()))?;
        Ok(self.metadata.faults())
    }

    fn make_node(&self, name: &OsStr, kind: FileType, device: Dev) -> Result<(), Errno> {
        mknodat(self.current(), name, kind, Mode::RUSR | Mode::WUSR, device)
    }

    fn descend(&mut self, name: &OsStr, entry: &Entry) -> Result<()> {
        let directory = open_or_make(self.current(), name).map_err(|e| self.failed(entry, e))?;
        let entry = Some(entry.clone());
        self.held.push(Held { name: name.to_owned(), directory: Arc::new(directory), entry });
        Ok(())
    }

    fn link(&mut self, name: &OsStr, target: &Path, entry: &Entry) -> Result<()> {
        let mut directory: Option<OwnedFd> = None;
        for part in target.parent().unwrap_or(Path::new("")) {
            let above = directory.as_ref().map_or(self.top.as_fd(), AsFd::as_fd);
            let opened = openat(above, part, DIRECTORY | OFlags::PATH, Mode::empty());
            directory = Some(opened.map_err(|e| self.link_failed(entry, e))?);
        }
        let above = directory.as_ref().map_or(self.top.as_fd(), AsFd::as_fd);
        let target = target.file_name().unwrap_or_default();
        linkat(above, target, self.current(), name, AtFlags::empty())
            .map_err(|e| self.link_failed(entry, e))
    }

    fn link_failed(&self, entry: &Entry, error: Errno) -> Error {
        if error == Errno::NOENT {
            return Error::new(Code::BackupDamaged, "restore", self.shown(entry))
                .cause("it is a hard link to a file that the archive does not hold");
        }
        self.failed(entry, error)
    }

    fn current(&self) -> BorrowedFd<'_> {
        self.held.last().map_or(self.top.as_fd(), |held| held.directory.as_fd())
    }

    /// Holds the directory that `entry` lies in and returns its name there. Directories
    /// that the archive does not hold are made.
    fn enter_parent<'e>(&mut self, entry: &'e Entry) -> Result<&'e OsStr> {
        let parent = entry.path.parent().unwrap_or(Path::new(""));
        let same = |(held, part): &(&Held, &OsStr)| held.name == **part;
        let common = self.held.iter().zip(parent).take_while(same).count();
        self.leave_to(common)?;
        for part in parent.iter().skip(common) {
            let opened = open_or_make(self.current(), part);
            let directory = opened.map_err(|e| self.failed(entry, e))?;
            let directory = Arc::new(directory);
            self.held.push(Held { name: part.to_owned(), directory, entry: None });
        }
        Ok(entry.path.file_name().unwrap_or_default())
    }

    fn leave_to(&mut self, depth: usize) -> Result<()> {
        while self.held.len() > depth {
            let Some(Held { directory, entry, .. }) = self.held.pop() else { break };
            if let Some(entry) = entry {
                self.left.push_back(Left { directory, entry });
            }
        }
        self.complete_left(if self.crew.is_some() { MOST_LEFT } else { 0 })
    }

    /// Completes directories until at most so many are left, those below first.
    fn complete_left(&mut self, most: usize) -> Result<()> {
        while self.left.len() > most {
            let Some(Left { directory, entry }) = self.left.pop_front() else { break };
            self.crew.as_ref().map_or(Ok(()), |crew| crew.wait_for(&directory))?;
            let done = self.metadata.apply(&Subject::Open(directory.as_fd()), &entry);
            done.map_err(|e| self.failed(&entry, e))?;
        }
        Ok(())
    }

    fn shown(&self, entry: &Entry) -> String {
        self.path.join(&entry.path).display().to_string()
    }

    fn failed(&self, entry: &Entry, error: Errno) -> Error {
        failed(&self.path, entry, error)
    }
}

/// The target was empty: something in the way was put there by the archive itself, and a path
/// through something else than a directory leads astray.
pub(super) fn failed(target: &Path, entry: &Entry, error: Errno) -> Error {
    let path = target.join(&entry.path);
    if matches!(error, Errno::EXIST | Errno::LOOP | Errno::NOTDIR) {
        return Error::new(Code::UnsafePath, "restore", path.display())
            .cause(format!("another file of the archive is in the way: {error}"));
    }
    Error::io("restore", &path, error.into())
}

fn device(entry: &Entry) -> Dev {
    let (major, minor) = entry.rdev.unwrap_or_default();
    makedev(major, minor)
}

fn open_or_make(above: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    match mkdirat(above, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => openat(above, name, DIRECTORY, Mode::empty()),
        Err(error) => Err(error),
    }
}
