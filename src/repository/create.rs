//! Repositories that are not there yet.

use super::header::Header;
use super::{BACKUPS, INCOMING, LOCK, Pace, Repository, TRASH, create_dir};
use crate::config::Place;
use crate::error::{Code, Error, Result};
use crate::storage::{self, Storage};
use std::path::Path;
use std::sync::Arc;

impl Repository {
    /// Opens the repository at `path`, or creates one where the directory is missing or
    /// empty. Anything else at `path` is refused, so that no foreign directory is taken.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        match Self::open(path) {
            Err(error) if error.code() == Code::RepositoryNotFound => Self::create(path, None),
            opened => opened,
        }
    }

    /// The same at a place that may be a store.
    pub fn open_or_create_at(place: &Place, state_dir: &Path) -> Result<Self> {
        match place {
            Place::Directory(path) => Self::open_or_create(path),
            Place::Store(_) => {
                Self::open_or_create_on(storage::open(place)?, state_dir, Pace::default())
            }
        }
    }

    pub(super) fn open_or_create_on(
        storage: Arc<dyn Storage>,
        state_dir: &Path,
        pace: Pace,
    ) -> Result<Self> {
        match Self::open_on(storage.clone(), state_dir, pace) {
            Err(error) if error.code() == Code::RepositoryNotFound => {
                Self::create_on(storage, state_dir, pace, None)
            }
            opened => opened,
        }
    }

    /// The copy of a repository at `place`, which is created with the same id.
    ///
    /// # Errors
    /// `repository_replaced` where another repository lies there.
    pub fn open_or_create_copy(place: &Place, state_dir: &Path, of: &Self) -> Result<Self> {
        let opened = match Self::open_at(place, state_dir) {
            Err(e) if e.code() == Code::RepositoryNotFound => {
                Self::create_at(place, state_dir, Some(of.id()))?
            }
            opened => opened?,
        };
        opened.into_copy_of(of)
    }

    /// This repository as a copy of another one.
    ///
    /// # Errors
    /// `repository_replaced` where it is none.
    pub(crate) fn into_copy_of(self, of: &Self) -> Result<Self> {
        if self.id == of.id {
            return Ok(self);
        }
        Err(Error::new(Code::RepositoryReplaced, "use as a copy", self.shown())
            .cause(format!("the repository {} lies there, not {}", self.id, of.id))
            .hint("choose another place in [[repository.copies]]"))
    }

    fn create_at(place: &Place, state_dir: &Path, id: Option<&str>) -> Result<Self> {
        match place {
            Place::Directory(path) => Self::create(path, id),
            Place::Store(_) => {
                Self::create_on(storage::open(place)?, state_dir, Pace::default(), id)
            }
        }
    }

    fn create(path: &Path, id: Option<&str>) -> Result<Self> {
        refuse_foreign(path)?;
        create_dir(path)?;
        for dir in [BACKUPS, INCOMING, TRASH] {
            create_dir(&path.join(dir))?;
        }
        Header::create(path, id)?;
        Self::open(path)
    }

    fn create_on(
        storage: Arc<dyn Storage>,
        state_dir: &Path,
        pace: Pace,
        id: Option<&str>,
    ) -> Result<Self> {
        Header::create_on(storage.as_ref(), id, pace)?;
        Self::open_on(storage, state_dir, pace)
    }
}

fn refuse_foreign(path: &Path) -> Result<()> {
    match std::fs::read_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("open repository", path, e)),
        Ok(mut entries) => match entries.find(|e| !is_remnant(e)) {
            None => Ok(()),
            Some(_) => {
                Err(Error::new(Code::RepositoryNotFound, "create repository in", path.display())
                    .cause("the directory is not empty and holds no backstop-repository.json")
                    .hint("choose an empty or a new directory as repository.path"))
            }
        },
    }
}

/// Whether an entry may stem from a creation that was cut short, or is a file system's own.
fn is_remnant(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().is_ok_and(|entry| {
        let name = entry.file_name();
        [BACKUPS, INCOMING, TRASH, LOCK, "lost+found"].iter().any(|known| name == *known)
            || name.to_string_lossy().starts_with(".backstop-new-")
    })
}
