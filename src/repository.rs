//! Where backups lie: a directory of open formats, or the same below a prefix of a store.
//!
//! `docs/repository-format.md` specifies it to the byte. In a directory, a backup is one only
//! when it lies in `backups/` with its manifest: what is being written lies in `incoming/`,
//! what is being deleted in `trash/`, both moves are one `rename(2)`, and `flock(2)` keeps
//! writers apart. A store can do neither: there the manifest, written last and deleted first,
//! makes a backup one, and [leases](lease) keep hosts from harming each other.

mod checksums;
mod create;
mod delete;
mod deletion;
mod durable;
mod header;
mod id;
mod incoming;
mod lease;
mod listing;
mod lock;
pub mod manifest;
mod mend;
mod name;
mod pin;
mod presence;
mod probe;
mod proof;
mod published;
mod receive;
mod relocation;
mod repair;
mod transit;

pub use checksums::{Checksums, hash_blob, hash_file};
pub use deletion::{Considered, Deletion};
pub use durable::{create_dir, sync_dir, write_new, write_replacing};
pub use id::BackupId;
pub use incoming::IncomingBackup;
pub use lease::Pace;
pub use listing::Listing;
pub use lock::{Lock, LockMode};
pub use manifest::Manifest;
pub use mend::Mended;
pub use name::{backup_name, stamp_of_name};
pub use pin::Pin;
pub use published::{Checked, Damage, Fetched, PublishedBackup};
pub use receive::Received;
pub use relocation::{MovedTo, MovingFrom, is_relocation_file};
pub use repair::{give_to_owner, open_to_owner, repair};

pub(crate) use published::is_no_damage;

use crate::config::Place;
use crate::encryption::{Identities, sealed_name};
use crate::error::{Code, Error, Result};
use crate::storage::{self, LocalStorage, Storage};
use header::Header;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const BACKUPS: &str = "backups";
const INCOMING: &str = "incoming";
const TRASH: &str = "trash";
const PINS: &str = "pins";
const LOCK: &str = "lock";

/// In the state directory: the lock of a repository on a store, for this host alone.
const STORE_LOCK: &str = "repository.lock";

/// In the state directory: where backups are put together that go to a store.
const STAGING: &str = "staging";

/// An existing repository of a known format.
#[derive(Debug, Clone)]
pub struct Repository {
    home: Home,
    storage: Arc<dyn Storage>,
    identities: Identities,
    id: String,
    pace: Pace,
    /// Whether it has gone from here already, or is still coming here.
    in_transit: bool,
}

/// What a repository lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Home {
    /// A directory of this host.
    Directory(PathBuf),
    /// A store; this host's state directory holds what is on its way.
    Store(PathBuf),
}

impl Repository {
    /// Opens the repository at `path`.
    ///
    /// # Errors
    /// `repository_not_found` where there is none, `repository_format` where a later
    /// version wrote it, `repository_moved` where it has gone elsewhere.
    pub fn open(path: &Path) -> Result<Self> {
        let header = Header::read(path)?;
        let storage = Arc::new(LocalStorage::new(path));
        let (home, identities) = (Home::Directory(path.to_path_buf()), Identities::default());
        let (pace, in_transit) = (Pace::default(), false);
        Ok(Self { home, storage, identities, id: header.id, pace, in_transit })
    }

    /// The same, with what encrypted backups are read with.
    #[must_use]
    pub fn with_identities(self, identities: &Identities) -> Self {
        Self { identities: identities.clone(), ..self }
    }

    /// Opens the repository at `place`, which may be a store.
    ///
    /// # Errors
    /// As [`open`](Self::open), and what a store answers.
    pub fn open_at(place: &Place, state_dir: &Path) -> Result<Self> {
        match place {
            Place::Directory(path) => Self::open(path),
            Place::Store(_) => Self::open_on(storage::open(place)?, state_dir, Pace::default()),
        }
    }

    /// Opens the repository on a store.
    fn open_on(storage: Arc<dyn Storage>, state_dir: &Path, pace: Pace) -> Result<Self> {
        let header = Header::read_from(storage.as_ref())?;
        let (home, identities) = (Home::Store(state_dir.to_path_buf()), Identities::default());
        Ok(Self { home, storage, identities, id: header.id, pace, in_transit: false })
    }

    /// The repository's directory, where it is one.
    pub fn directory(&self) -> Option<&Path> {
        match &self.home {
            Home::Directory(path) => Some(path),
            Home::Store(_) => None,
        }
    }

    /// Where on this host a backup is put together before it is published.
    pub fn workspace(&self) -> &Path {
        match &self.home {
            Home::Directory(path) => path,
            Home::Store(state_dir) => state_dir,
        }
    }

    /// The repository as messages call it: its directory, or its url.
    pub fn shown(&self) -> String {
        self.storage.shown("")
    }

    /// The repository's own id, which its backups carry.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Takes the repository's lock, waiting for at most `wait`. On a store it holds for this
    /// host alone, and leases do the rest.
    ///
    /// # Errors
    /// `locked` when another process keeps it for longer.
    pub fn lock(&self, mode: LockMode, wait: Duration) -> Result<Lock> {
        match &self.home {
            Home::Directory(path) => {
                let lock = Lock::take(&path.join(LOCK), mode, wait)?;
                // It may have gone while somebody waited for it.
                if !self.in_transit {
                    relocation::refuse_elsewhere(path)?;
                }
                Ok(lock)
            }
            Home::Store(state_dir) => {
                create_dir(state_dir)?;
                Lock::take(&state_dir.join(STORE_LOCK), mode, wait)
            }
        }
    }

    /// The names in `backups/`, unsorted, without looking into them. On a store there may be
    /// some that are no backups, because they are not published yet.
    ///
    /// # Errors
    /// `repository_not_found` where a repository in a directory has lost `backups/`.
    pub fn names(&self) -> Result<Vec<String>> {
        let Home::Directory(path) = &self.home else { return self.storage.names(BACKUPS) };
        let dir = path.join(BACKUPS);
        let entries = std::fs::read_dir(&dir).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(Code::RepositoryNotFound, "list backups in", dir.display())
                    .cause("there is no such directory")
                    .hint(
                        "mount what belongs there, or bring it back; where what lay in it is gone \
                         for good, create it empty: `backstop sync` fills that of a copy again",
                    )
            }
            _ => Error::io("list backups in", &dir, e),
        })?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("list backups in", &dir, e))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The directory of the backup NAME, whether or not it is there; none on a store.
    pub fn backup_path(&self, name: &str) -> Option<PathBuf> {
        Some(self.directory()?.join(BACKUPS).join(name))
    }

    /// The file that holds the content of an object, where there is one.
    pub fn file(&self, name: &str, object: &str) -> Option<PathBuf> {
        let backup = self.storage.directory()?.join(BACKUPS).join(name);
        // Encrypted, it is no file that could be read as it is.
        (!backup.join(sealed_name(object)).exists()).then(|| backup.join(object))
    }

    /// The published backup in `backups/NAME`.
    ///
    /// # Errors
    /// `backup_not_found` without a directory, or on a store without a manifest;
    /// `backup_damaged` where its manifest is missing or unreadable.
    pub fn backup(&self, name: &str) -> Result<PublishedBackup> {
        PublishedBackup::find(&self.storage, &self.identities, name)
    }

    /// The same, for whoever goes by what it says it needs: its manifest is what was written.
    ///
    /// # Errors
    /// Also `backup_damaged` where the manifest does not fit `SHA256SUMS`.
    pub fn proven_backup(&self, name: &str) -> Result<PublishedBackup> {
        PublishedBackup::find_proven(&self.storage, &self.identities, name)
    }

    /// The backup that `manifest` describes, whose own manifest is damaged.
    ///
    /// # Errors
    /// `backup_not_found` where it has no directory.
    pub fn described(&self, manifest: Manifest) -> Result<PublishedBackup> {
        let dir = format!("{BACKUPS}/{}", manifest.name);
        let is_there = match self.backup_path(&manifest.name) {
            Some(path) => path.is_dir(),
            None => !self.storage.names(&dir)?.is_empty(),
        };
        match is_there {
            true => Ok(PublishedBackup::described(&self.storage, &self.identities, manifest)),
            false => Err(Error::new(Code::BackupNotFound, "open backup", self.storage.shown(&dir))
                .cause("there is no such directory")),
        }
    }

    /// A new directory to write a backup into, which may build upon `parent`. Needs the lock.
    ///
    /// # Errors
    /// `locked` where another host is deleting what `parent` consists of.
    pub fn incoming(
        &self,
        id: &BackupId,
        parent: Option<&PublishedBackup>,
        _lock: &Lock,
    ) -> Result<IncomingBackup> {
        match &self.home {
            Home::Directory(path) => IncomingBackup::create(path, &self.identities, id),
            Home::Store(state_dir) => {
                let staging = state_dir.join(STAGING).join(id.as_str());
                let identities = &self.identities;
                IncomingBackup::stage((&self.storage, identities), staging, id, parent, self.pace)
            }
        }
    }

    /// For how long [`deletion`](Self::deletion) waits for others who may need what goes; not at
    /// all in a directory, where the lock keeps them away.
    pub fn deletion_pause(&self) -> Option<Duration> {
        self.directory().is_none().then_some(self.pace.age)
    }

    /// Makes ready to delete backups, given by id and name; `considered` is what was known when they
    /// were chosen. Needs the lock.
    ///
    /// # Errors
    /// `interrupted` when `cancel` is set.
    pub fn deletion(
        &self,
        targets: BTreeMap<BackupId, String>,
        considered: Considered<'_>,
        cancel: &CancellationToken,
        _lock: &Lock,
    ) -> Result<Deletion> {
        match &self.home {
            Home::Directory(path) => Ok(Deletion::in_directory(path, targets)),
            Home::Store(_) => {
                Deletion::on_store(&self.storage, self.pace, targets, considered, cancel)
            }
        }
    }

    /// Keeps a backup by hand. The lock, shared or not, says that nobody is deleting it.
    ///
    /// # Errors
    /// `locked` where another host is deleting it.
    pub fn pin(&self, id: &BackupId, pin: &Pin, _lock: &Lock) -> Result<()> {
        match &self.home {
            Home::Directory(path) => pin::write(path, id, pin),
            Home::Store(_) => pin::write_to(self.storage.as_ref(), id, pin),
        }
    }

    /// Takes that back; false where it was not kept by hand.
    pub fn unpin(&self, id: &BackupId, _lock: &Lock) -> Result<bool> {
        match &self.home {
            Home::Directory(path) => pin::remove(path, id),
            Home::Store(_) => pin::remove_from(self.storage.as_ref(), id),
        }
    }

    /// What is kept by hand. A pin may outlive its backup.
    pub fn pins(&self) -> Result<BTreeMap<BackupId, Pin>> {
        match &self.home {
            Home::Directory(path) => pin::all(path),
            Home::Store(_) => pin::all_on(self.storage.as_ref()),
        }
    }

    /// Removes what an interrupted backup left in `incoming/` and an interrupted
    /// deletion in `trash/`; returns what was removed. Needs the lock, which proves
    /// that nobody is writing there. On a store it removes what was left by those whose leases
    /// are stale.
    pub fn clear_leftovers(&self, _lock: &Lock) -> Result<Vec<String>> {
        let shown = |paths: Vec<PathBuf>| {
            paths.into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        match &self.home {
            Home::Directory(path) => {
                delete::clear(&[path.join(INCOMING), path.join(TRASH)]).map(shown)
            }
            Home::Store(state_dir) => {
                let mut cleared = shown(delete::clear(&[state_dir.join(STAGING)])?);
                cleared.extend(lease::clear(self.storage.as_ref(), self.pace)?);
                Ok(cleared)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_repository_opens_again_with_the_same_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repo");
        let created = Repository::open_or_create(&path).unwrap();
        assert_eq!(Repository::open(&path).unwrap().id(), created.id());
        assert_eq!(Repository::open_or_create(&path).unwrap().id(), created.id());
        assert!(created.names().unwrap().is_empty());
    }

    #[test]
    fn a_foreign_directory_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.doc"), "mine").unwrap();
        let error = Repository::open_or_create(dir.path()).unwrap_err();
        assert_eq!(error.code(), Code::RepositoryNotFound);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_creation_that_was_cut_short_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BACKUPS)).unwrap();
        assert!(Repository::open_or_create(dir.path()).is_ok());
    }
}
