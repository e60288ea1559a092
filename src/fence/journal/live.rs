//! A journal on disk, in the hands of the process that works on it.

use super::{Journal, JournalCapture, Step};
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A journal whose lock this process holds.
///
/// Once [abandoned](Self::abandon) it belongs to whoever claims it next, and nothing is
/// written to it any more.
#[derive(Debug)]
pub struct LiveJournal {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    journal: Journal,
    lock: Option<File>,
}

impl LiveJournal {
    /// The journal at `path`, whose lock is held by `lock`.
    pub(super) fn held(path: &Path, journal: Journal, lock: File) -> Self {
        Self { path: path.to_path_buf(), inner: Mutex::new(Inner { journal, lock: Some(lock) }) }
    }

    /// Writes `journal` below a state directory, durably.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin; [`Code::Locked`] when its id is in use.
    pub fn create(state_dir: &Path, journal: Journal) -> Result<Self> {
        let reserved = Self::reserve(state_dir, journal)?;
        reserved.write()?;
        Ok(reserved)
    }

    /// Takes the lock of a journal that is not written yet: a guardian can be posted before
    /// there is anything to guard, so that no death finds a journal without one.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn reserve(state_dir: &Path, journal: Journal) -> Result<Self> {
        let dir = state_dir.join("journal");
        let path = dir.join(format!("{}.json", journal.id));
        let failed = |e| Error::io("write journal", &path, e);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        let lock = open_lock(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Code::Locked, "write journal", path.display())
                    .cause("another backstop works under this id"));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        lock.set_len(0).map_err(failed)?;
        Ok(Self::held(&path, journal, lock))
    }

    /// Writes a reserved journal, durably.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin; [`Code::NotResumed`] once abandoned.
    pub fn write(&self) -> Result<()> {
        let inner = self.inner();
        if inner.lock.is_none() {
            return Err(self.abandoned());
        }
        replace(&self.path, &inner.journal)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says now.
    pub fn journal(&self) -> Journal {
        self.inner().journal.clone()
    }

    /// How far each container has come, by id.
    pub fn steps(&self) -> BTreeMap<String, Step> {
        let lines = fs::read_to_string(self.path.with_extension("lock"));
        Step::read(&lines.unwrap_or_default())
    }

    /// Takes note of how far a container has come.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin; [`Code::NotResumed`] once abandoned.
    pub fn note(&self, step: Step, container: &str) -> Result<()> {
        let inner = self.inner();
        let lock = inner.lock.as_ref().ok_or_else(|| self.abandoned())?;
        let line = format!("{} {container}\n", step.as_str());
        (&*lock).write_all(line.as_bytes()).map_err(|e| Error::io("write journal", &self.path, e))
    }

    /// Registers a capture, durably, before it is made. One that is registered already
    /// costs nothing.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin; [`Code::NotResumed`] once abandoned.
    pub fn register(&self, capture: &JournalCapture) -> Result<()> {
        let known = self.inner().journal.captures.contains(capture);
        if known { Ok(()) } else { self.update(|j| j.captures.push(capture.clone())) }
    }

    /// Forgets a capture that is removed.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin; [`Code::NotResumed`] once abandoned.
    pub fn forget(&self, capture: &JournalCapture) -> Result<()> {
        self.update(|j| j.captures.retain(|c| c != capture))
    }

    /// Forgets the containers: all of them run again.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin; [`Code::NotResumed`] once abandoned.
    pub fn forget_containers(&self) -> Result<()> {
        self.update(|j| j.containers.clear())
    }

    /// Forgets the containers, which run, and the restore, which must not be undone any more,
    /// both at once.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin; [`Code::NotResumed`] once abandoned.
    pub fn settle(&self) -> Result<()> {
        self.update(|j| {
            j.containers.clear();
            j.restore = None;
        })
    }

    /// Names the restore that must be undone before the containers are resumed, or that
    /// there is none any more, durably.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin; [`Code::NotResumed`] once abandoned.
    pub fn set_restore(&self, restore: Option<String>) -> Result<()> {
        self.update(|j| j.restore = restore)
    }

    /// Removes it: nothing is left to undo.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin.
    pub fn remove(&self) -> Result<()> {
        let mut inner = self.inner();
        if inner.lock.is_none() {
            return Ok(());
        }
        let failed = |e| Error::io("remove journal", &self.path, e);
        remove_if_there(&self.path).map_err(failed)?;
        sync_parent(&self.path).map_err(failed)?;
        remove_if_there(&self.path.with_extension("lock")).map_err(failed)?;
        inner.lock = None;
        Ok(())
    }

    /// Leaves it to whoever claims it next.
    pub fn abandon(&self) {
        let lock = self.inner().lock.take();
        // Unlocked by name: a child between fork and exec may share the open file.
        if let Some(lock) = lock {
            drop(lock.unlock());
        }
    }

    /// Keeps only what is left to undo, durably; removes it when that is nothing.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin; [`Code::NotResumed`] once abandoned.
    pub(in crate::fence) fn keep(&self, left: Journal) -> Result<()> {
        if left.is_settled() { self.remove() } else { self.update(|j| *j = left) }
    }

    fn update(&self, change: impl FnOnce(&mut Journal)) -> Result<()> {
        let mut inner = self.inner();
        if inner.lock.is_none() {
            return Err(self.abandoned());
        }
        let mut journal = inner.journal.clone();
        change(&mut journal);
        if journal != inner.journal {
            replace(&self.path, &journal)?;
            inner.journal = journal;
        }
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abandoned(&self) -> Error {
        Error::new(Code::NotResumed, "write journal", self.path.display())
            .cause("it was left to the guardian")
    }
}

/// Opens the lock file of the journal at `path`. One that is deleted between opening and
/// locking locks nothing; the journal itself is gone then, which is looked at afterwards.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path.with_extension("lock"))
}

/// Replaces the journal atomically; it is durable when this returns.
fn replace(path: &Path, journal: &Journal) -> Result<()> {
    let failed = |e| Error::io("write journal", path, e);
    let new = path.with_extension("new");
    let text = serde_json::to_vec_pretty(journal).map_err(io::Error::from).map_err(failed)?;
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_parent(path)
    };
    write().map_err(failed)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
