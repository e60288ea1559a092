//! Threads that create small files while the archive is read on: most of the time of a tree of
//! many files is the kernel's, and goes by with waiting for one call after the other.

use super::metadata::{Metadata, Subject};
use crate::archive::entry::Entry;
use crate::error::{Code, Error, Result};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// The largest content that a thread is given.
pub(super) const SMALL: u64 = 128 << 10;
/// How many files wait for a thread; with [`SMALL`] it bounds the memory.
const WAITING: usize = 64;
const MOST_THREADS: usize = 4;

/// A small file that is to be created.
struct Job {
    directory: Arc<OwnedFd>,
    entry: Entry,
    content: Vec<u8>,
}

/// The threads, and what they have done.
pub(super) struct Crew {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    state: Arc<State>,
}

/// What the threads share.
struct State {
    /// The directory that is filled, for errors.
    target: PathBuf,
    metadata: Arc<Metadata>,
    left: Mutex<Left>,
    changed: Condvar,
}

#[derive(Default)]
struct Left {
    jobs: usize,
    /// Whether a file could not be created; nothing is written from then on.
    has_failed: bool,
    /// Why, until somebody was told.
    failure: Option<Error>,
}

impl Crew {
    /// Starts the threads. Dropping it ends them, after the files that wait.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(target: &Path, metadata: &Arc<Metadata>) -> Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let state = Arc::new(State {
            target: target.to_owned(),
            metadata: Arc::clone(metadata),
            left: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut crew = Self { jobs: Some(jobs), threads: Vec::new(), state };
        let count = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        for _ in 0..count {
            let (waiting, state) = (Arc::clone(&waiting), Arc::clone(&crew.state));
            let thread = thread::Builder::new().name("restore".into());
            let thread = thread.spawn(move || state.work(&waiting)).map_err(|e| {
                Error::new(Code::Io, "start a thread for", "writing files").source(e)
            })?;
            crew.threads.push(thread);
        }
        Ok(crew)
    }

    /// Leaves the creation of the file of `entry` in `directory` to a thread.
    ///
    /// # Errors
    /// What creating an earlier file has met.
    pub(super) fn create(
        &self,
        directory: &Arc<OwnedFd>,
        entry: &Entry,
        content: Vec<u8>,
    ) -> Result<()> {
        let mut left = self.state.left();
        left.fail()?;
        left.jobs += 1;
        drop(left);
        let job = Job { directory: Arc::clone(directory), entry: entry.clone(), content };
        // The threads live as long as the channel.
        match self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok()) {
            true => Ok(()),
            false => Err(Error::new(Code::Io, "restore", self.state.target.display())
                .cause("the threads that write have ended")),
        }
    }

    /// Waits until every file that was left to the threads is there.
    ///
    /// # Errors
    /// What creating one has met.
    pub(super) fn wait(&self) -> Result<()> {
        self.wait_until(&|left| left.jobs == 0)
    }

    /// The same for the files of one directory.
    pub(super) fn wait_for(&self, directory: &Arc<OwnedFd>) -> Result<()> {
        self.wait_until(&|_| Arc::strong_count(directory) == 1)
    }

    fn wait_until(&self, done: &dyn Fn(&Left) -> bool) -> Result<()> {
        let mut left = self.state.left();
        while !left.has_failed && !done(&left) {
            left = self.state.changed.wait(left).unwrap_or_else(PoisonError::into_inner);
        }
        left.fail()
    }
}

impl Left {
    fn fail(&mut self) -> Result<()> {
        if !self.has_failed {
            return Ok(());
        }
        Err(self.failure.take().unwrap_or_else(|| {
            Error::new(Code::Interrupted, "restore", "files").cause("an earlier one failed")
        }))
    }
}

impl State {
    fn work(&self, waiting: &Mutex<Receiver<Job>>) {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Job { directory, entry, content }) = next else { return };
            let has_failed = self.left().has_failed;
            let made = if has_failed { Ok(()) } else { self.create(&directory, &entry, &content) };
            // Whoever waits for the directory counts who holds it.
            drop(directory);
            let mut left = self.left();
            left.jobs -= 1;
            if let Err(error) = made {
                left.has_failed = true;
                left.failure.get_or_insert(error);
            }
            self.changed.notify_all();
        }
    }

    fn create(&self, directory: &OwnedFd, entry: &Entry, content: &[u8]) -> Result<()> {
        let path = || self.target.join(&entry.path);
        let mut file = open_new(directory.as_fd(), entry)
            .map_err(|e| super::target::failed(&self.target, entry, e))?;
        file.write_all(content).map_err(|e| Error::io("write", &path(), e))?;
        let done = self.metadata.apply(&Subject::Open(file.as_fd()), entry);
        done.map_err(|e| super::target::failed(&self.target, entry, e))
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            drop(thread.join());
        }
    }
}

/// Creates the empty file of `entry` in the directory it lies in.
pub(super) fn open_new(directory: BorrowedFd<'_>, entry: &Entry) -> Result<File, Errno> {
    let name = entry.path.file_name().unwrap_or_default();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    openat(directory, name, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR).map(File::from)
}
