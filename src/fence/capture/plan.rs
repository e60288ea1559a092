//! Deciding how a directory is taken, and taking it.

use super::guard::Guard;
use super::mounts::Mounts;
use super::{Captured, Directory, Method, Staging, btrfs, staging};
use crate::archive::scan::Own;
use crate::config::Capture;
use crate::error::{Code, Error, Result};
use crate::fence::journal::{CaptureKind, JournalCapture, LiveJournal};
use crate::progress::Progress;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        let place = ground.room.join(Own::Capture.name(id, &name));
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
        let guard = Guard::new(entry, journal);
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
