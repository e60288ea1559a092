//! Where backups lie: a directory of open formats.
//!
//! `docs/repository-format.md` specifies it to the byte. A directory is a backup only
//! when it lies in `backups/` with its manifest: what is being written lies in
//! `incoming/`, what is being deleted in `trash/`, and both moves are one `rename(2)`.

mod checksums;
mod delete;
mod durable;
mod header;
mod id;
mod incoming;
mod lock;
pub mod manifest;
mod name;
mod pin;
mod published;
mod relocation;

pub use checksums::{Checksums, hash_blob, hash_file};
pub use durable::{create_dir, sync_dir, write_new, write_replacing};
pub use id::BackupId;
pub use incoming::IncomingBackup;
pub use lock::{Lock, LockMode};
pub use manifest::Manifest;
pub use name::backup_name;
pub use pin::Pin;
pub use published::{Checked, Damage, Fetched, PublishedBackup};
pub use relocation::{MovedTo, MovingFrom, is_relocation_file};

use crate::encryption::{Identities, sealed_name};
use crate::error::{Code, Error, Result};
use crate::storage::{LocalStorage, Storage};
use header::Header;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const BACKUPS: &str = "backups";
const INCOMING: &str = "incoming";
const TRASH: &str = "trash";
const PINS: &str = "pins";
const LOCK: &str = "lock";

/// An existing repository of a known format.
#[derive(Debug, Clone)]
pub struct Repository {
    path: PathBuf,
    storage: Arc<dyn Storage>,
    identities: Identities,
    id: String,
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
        let identities = Identities::default();
        Ok(Self { path: path.to_path_buf(), storage, identities, id: header.id })
    }

    /// The same, with what encrypted backups are read with.
    #[must_use]
    pub fn with_identities(self, identities: &Identities) -> Self {
        Self { identities: identities.clone(), ..self }
    }

    /// Opens the repository at `path`, or creates one where the directory is missing or
    /// empty. Anything else at `path` is refused, so that no foreign directory is taken.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        match Self::open(path) {
            Err(error) if error.code() == Code::RepositoryNotFound => {
                refuse_foreign(path)?;
                create_dir(path)?;
                for dir in [BACKUPS, INCOMING, TRASH] {
                    create_dir(&path.join(dir))?;
                }
                Header::create(path)?;
                Self::open(path)
            }
            opened => opened,
        }
    }

    /// The repository's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The repository's own id, which its backups carry.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Takes the repository's lock, waiting for at most `wait`.
    ///
    /// # Errors
    /// `locked` when another process keeps it for longer.
    pub fn lock(&self, mode: LockMode, wait: Duration) -> Result<Lock> {
        let lock = Lock::take(&self.path.join(LOCK), mode, wait)?;
        // It may have gone while somebody waited for it.
        relocation::refuse_elsewhere(&self.path)?;
        Ok(lock)
    }

    /// The directory names in `backups/`, unsorted, without looking into them.
    pub fn names(&self) -> Result<Vec<String>> {
        let dir = self.path.join(BACKUPS);
        let entries = std::fs::read_dir(&dir).map_err(|e| Error::io("list backups in", &dir, e))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("list backups in", &dir, e))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Where the backup NAME lies, whether or not it does.
    pub fn backup_path(&self, name: &str) -> PathBuf {
        self.path.join(BACKUPS).join(name)
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
    /// `backup_not_found` without a directory, `backup_damaged` where its manifest is
    /// missing or unreadable.
    pub fn backup(&self, name: &str) -> Result<PublishedBackup> {
        PublishedBackup::find(&self.storage, &self.identities, name)
    }

    /// The backup that `manifest` describes, whose own manifest is damaged.
    ///
    /// # Errors
    /// `backup_not_found` where it has no directory.
    pub fn described(&self, manifest: Manifest) -> Result<PublishedBackup> {
        let path = self.backup_path(&manifest.name);
        match path.is_dir() {
            true => Ok(PublishedBackup::described(&self.storage, &self.identities, manifest)),
            false => Err(Error::new(Code::BackupNotFound, "open backup", path.display())
                .cause("there is no such directory")),
        }
    }

    /// A new directory in `incoming/` to write a backup into. Needs the lock.
    pub fn incoming(&self, id: &BackupId, _lock: &Lock) -> Result<IncomingBackup> {
        IncomingBackup::create(&self.path, &self.identities, id)
    }

    /// Deletes a published backup and its pin: one rename, then the removal of its files. A
    /// damaged one is deleted as well as any other.
    pub fn delete(&self, name: &str, id: &BackupId, _lock: &Lock) -> Result<()> {
        delete::delete(&self.path, name, id)?;
        pin::remove(&self.path, id).map(drop)
    }

    /// Keeps a backup by hand. The lock, shared or not, says that nobody is deleting it.
    pub fn pin(&self, id: &BackupId, pin: &Pin, _lock: &Lock) -> Result<()> {
        pin::write(&self.path, id, pin)
    }

    /// Takes that back; false where it was not kept by hand.
    pub fn unpin(&self, id: &BackupId, _lock: &Lock) -> Result<bool> {
        pin::remove(&self.path, id)
    }

    /// What is kept by hand. A pin may outlive its backup.
    pub fn pins(&self) -> Result<BTreeMap<BackupId, Pin>> {
        pin::all(&self.path)
    }

    /// Removes what an interrupted backup left in `incoming/` and an interrupted
    /// deletion in `trash/`; returns what was removed. Needs the lock, which proves
    /// that nobody is writing there.
    pub fn clear_leftovers(&self, _lock: &Lock) -> Result<Vec<PathBuf>> {
        delete::clear(&[self.path.join(INCOMING), self.path.join(TRASH)])
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
