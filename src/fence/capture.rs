//! Taking a directory at the instant: as a btrfs snapshot, as reflink copies, or by
//! reading it while the containers are held.
//!
//! [`Plan`] decides before anything is held; [`Plan::take`] is what happens at the instant.
//! What it makes lies in `.backstop-capture-ID-NAME`, beside the source where that is the
//! same mount, else inside it; it is registered in the journal before it exists, and
//! removed after use, by the guardian or by `recover`.

mod btrfs;
mod mounts;
mod staging;

pub use staging::{Copied, Staging};

use super::journal::{CaptureKind, JournalCapture, LiveJournal};
use crate::config::Capture;
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use mounts::Mounts;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the name of everything that a capture makes begins.
pub const PREFIX: &str = ".backstop-capture-";

/// How a directory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A read-only snapshot of the btrfs subvolume it lies in.
    Snapshot,
    /// A copy of every file that shares its blocks.
    Reflink,
    /// It is read while the containers are held.
    Archive,
}

impl Method {
    /// As the manifest names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Reflink => "reflink",
            Self::Archive => "archive",
        }
    }
}

/// The methods that the file system of `source` offers, fastest first. Ends with
/// [`Method::Archive`], which always works.
///
/// # Errors
/// [`Code::Io`] and its kin when `source` does not exist.
pub fn detect(source: &Path) -> Result<Vec<Method>> {
    let ground = Ground::of(source)?;
    let mut methods = Vec::new();
    if ground.subvolume().is_ok() {
        methods.push(Method::Snapshot);
    }
    if ground.reflinks().is_ok() {
        methods.push(Method::Reflink);
    }
    methods.push(Method::Archive);
    Ok(methods)
}

/// How one directory will be taken.
#[derive(Debug, Clone)]
pub struct Plan {
    source: PathBuf,
    place: PathBuf,
    step: Step,
    may_fall_back: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Snapshot { subvolume: PathBuf },
    Reflink,
    Archive,
}

impl Plan {
    /// Plans the capture of the directory `source`, of the component `name`, for the
    /// backup `id`. Touches nothing but unnamed probe files.
    ///
    /// # Errors
    /// [`Code::CaptureFailed`] when `wanted` names a method that the file system does not
    /// offer; [`Code::Io`] and its kin when `source` does not exist.
    pub fn new(source: &Path, name: &str, wanted: Capture, id: &str) -> Result<Self> {
        let ground = Ground::of(source)?;
        let unavailable = |cause: String| {
            Error::new(Code::CaptureFailed, "plan the capture of", source.display()).cause(cause)
        };
        let snapshot = || ground.subvolume().map(|subvolume| Step::Snapshot { subvolume });
        let reflink = || ground.reflinks().map(|()| Step::Reflink);
        let step = match wanted {
            Capture::Auto => snapshot().or_else(|_| reflink()).unwrap_or(Step::Archive),
            Capture::Snapshot => snapshot().map_err(unavailable)?,
            Capture::Reflink => reflink().map_err(unavailable)?,
            Capture::Archive => Step::Archive,
        };
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name: String = name.chars().map(|c| if safe(c) { c } else { '_' }).collect();
        let place = ground.room.join(format!("{PREFIX}{id}-{name}"));
        Ok(Self { source: ground.source, place, step, may_fall_back: wanted == Capture::Auto })
    }

    /// The method.
    pub fn method(&self) -> Method {
        match self.step {
            Step::Snapshot { .. } => Method::Snapshot,
            Step::Reflink => Method::Reflink,
            Step::Archive => Method::Archive,
        }
    }

    /// What has to stand in the journal before [`take`](Self::take); put it there when the
    /// journal is first written, and nothing has to be synced while containers are held.
    pub fn journal_entry(&self) -> Option<JournalCapture> {
        let kind = match self.step {
            Step::Snapshot { .. } => CaptureKind::Snapshot,
            Step::Reflink => CaptureKind::Staging,
            Step::Archive => return None,
        };
        Some(JournalCapture { path: self.place.clone(), kind })
    }

    /// Takes the directory, now. Blocking; a snapshot takes about as long as writing what
    /// is dirty, the others do their work later. Where the method was not asked for by
    /// name, its failure is a warning and the source itself has to be read.
    ///
    /// # Errors
    /// [`Code::CaptureFailed`]; [`Code::Io`] and its kin.
    pub fn take(
        &self,
        journal: &Arc<LiveJournal>,
        progress: &Arc<dyn Progress>,
    ) -> Result<Captured> {
        let Some(entry) = self.journal_entry() else { return Ok(Captured::Live) };
        match self.take_registered(entry, journal) {
            Err(error) if self.may_fall_back => {
                progress.warn(error.code(), format!("{error}; it is read while held"));
                Ok(Captured::Live)
            }
            taken => taken,
        }
    }

    fn take_registered(
        &self,
        entry: JournalCapture,
        journal: &Arc<LiveJournal>,
    ) -> Result<Captured> {
        journal.register(&entry)?;
        let guard = Guard { entry: Some(entry), journal: Arc::clone(journal) };
        match &self.step {
            Step::Snapshot { subvolume } => {
                btrfs::snapshot(subvolume, &self.place)?;
                let below = self.source.strip_prefix(subvolume).unwrap_or(Path::new(""));
                Ok(Captured::Directory(Directory { path: self.place.join(below), guard }))
            }
            Step::Reflink | Step::Archive => {
                Ok(Captured::Staging(Staging::create(&self.place, guard)?))
            }
        }
    }
}

/// What was taken. Dropping it removes what lies on disk; [`remove`](Self::remove) says
/// whether that worked.
#[derive(Debug)]
pub enum Captured {
    /// Nothing: read the source itself, before the containers are resumed.
    Live,
    /// A frozen copy of the whole directory, to be read at leisure.
    Directory(Directory),
    /// An empty place: reflink every file into it before the containers are resumed.
    Staging(Staging),
}

impl Captured {
    /// How it was taken, after all.
    pub fn method(&self) -> Method {
        match self {
            Self::Live => Method::Archive,
            Self::Directory(_) => Method::Snapshot,
            Self::Staging(_) => Method::Reflink,
        }
    }

    /// Removes what lies on disk. Blocking.
    ///
    /// # Errors
    /// [`Code::CaptureFailed`], [`Code::Io`] and its kin; it then stays in the journal, and
    /// the guardian tries again.
    pub fn remove(self) -> Result<()> {
        match self {
            Self::Live => Ok(()),
            Self::Directory(directory) => directory.guard.remove(),
            Self::Staging(staging) => staging.remove(),
        }
    }
}

/// A frozen copy of a directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    guard: Guard,
}

impl Directory {
    /// What to read instead of the source.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes a capture and forgets it in the journal.
#[derive(Debug)]
struct Guard {
    entry: Option<JournalCapture>,
    journal: Arc<LiveJournal>,
}

impl Guard {
    fn remove(mut self) -> Result<()> {
        let Some(entry) = self.entry.take() else { return Ok(()) };
        discard(&entry)?;
        self.journal.forget(&entry)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What fails here stays in the journal, and the guardian tries again.
        if let Some(entry) = self.entry.take()
            && discard(&entry).is_ok()
        {
            drop(self.journal.forget(&entry));
        }
    }
}

/// Removes a capture that a journal names; one that does not exist is fine. Blocking.
///
/// # Errors
/// [`Code::CaptureFailed`]; [`Code::Io`] and its kin. A path that is not a capture's is
/// refused.
pub(super) fn discard(entry: &JournalCapture) -> Result<()> {
    let path = &entry.path;
    let refused = |cause: &str| {
        Error::new(Code::CaptureFailed, "remove capture", path.display()).cause(cause)
    };
    let named =
        path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    if !named || !path.is_absolute() {
        return Err(refused("this is no capture of backstop's"));
    }
    let meta = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(|e| Error::io("remove capture", path, e))?,
    };
    if !meta.is_dir() {
        return Err(refused("it is not a directory"));
    }
    if entry.kind == CaptureKind::Snapshot && meta.ino() == btrfs::SUBVOLUME_INODE {
        return btrfs::delete(path);
    }
    fs::remove_dir_all(path).map_err(|e| Error::io("remove capture", path, e))
}

/// A source, and the directory beside or in it where a capture has room.
struct Ground {
    source: PathBuf,
    room: PathBuf,
    mounts: Mounts,
}

impl Ground {
    fn of(source: &Path) -> Result<Self> {
        let failed = |e| Error::io("find", source, e);
        let source = fs::canonicalize(source).map_err(failed)?;
        let mounts = Mounts::read().map_err(failed)?;
        let beside = source.parent().filter(|parent| {
            mounts.same(parent, &source)
                && rustix::fs::access(*parent, rustix::fs::Access::WRITE_OK).is_ok()
        });
        let room = beside.unwrap_or(&source).to_path_buf();
        Ok(Self { source, room, mounts })
    }

    /// The subvolume to snapshot, or why there is none.
    fn subvolume(&self) -> Result<PathBuf, String> {
        let subvolume = btrfs::enclosing_subvolume(&self.source)?;
        if let Some(inner) = self.mounts.below(&self.source) {
            return Err(format!("{} is mounted inside it", inner.display()));
        }
        btrfs::no_subvolume_inside(&subvolume, &self.source)?;
        Ok(subvolume)
    }

    /// Whether files can be reflinked into the room, or why not.
    fn reflinks(&self) -> Result<(), String> {
        staging::probe(&self.room)
            .map_err(|e| format!("its file system makes no reflink copies: {e}"))
    }
}
