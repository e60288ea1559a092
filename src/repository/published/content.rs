//! What the objects of a backup hold: decrypted, and as files for programs that read those.

use super::PublishedBackup;
use crate::encryption::EXTENSION;
use crate::error::{Code, Error, Result};
use crate::repository::checksums::hash_blob;
use crate::repository::manifest::Object;
use crate::repository::proof::is_as_written;
use crate::repository::{BACKUPS, BackupId};
use crate::storage::{Blob, Scratch, Storage, check_name};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

impl PublishedBackup {
    /// The content of an object, as components and the index name it: decrypted, where the
    /// backup is encrypted.
    ///
    /// # Errors
    /// `backup_damaged`, `key_missing`, `key_wrong`.
    pub fn open(&self, object: &str) -> Result<Blob> {
        self.content(&self.manifest.stored_name(object))
    }

    /// As [`Self::open`], where the end of the object may be damaged: what comes before is
    /// read all the same.
    pub fn open_damaged(&self, object: &str) -> Result<Blob> {
        let stored = self.manifest.stored_name(object);
        let blob = self.stored(&stored)?;
        match self.is_sealed(&stored) {
            true => self.told_apart(&stored, self.identities.open_damaged(blob)),
            false => Ok(blob),
        }
    }

    fn content(&self, stored: &str) -> Result<Blob> {
        let blob = self.stored(stored)?;
        match self.is_sealed(stored) {
            true => self.told_apart(stored, self.identities.open(blob)),
            false => Ok(blob),
        }
    }

    /// A damaged header looks as if it were for somebody else: its hash tells.
    fn told_apart(&self, stored: &str, opened: Result<Blob>) -> Result<Blob> {
        let Err(error) = &opened else { return opened };
        if error.code() != Code::KeyWrong {
            return opened;
        }
        let listed = self.manifest.objects.iter().find(|object| object.path == stored);
        let (_, hash) = hash_blob(&CancellationToken::new(), &self.stored(stored)?)?;
        match listed.is_some_and(|listed| listed.sha256 == hash) {
            true => opened,
            false => Err(Error::new(
                Code::BackupDamaged,
                "decrypt",
                self.storage.shown(&format!("{}/{stored}", self.dir)),
            )
            .cause("it has other bytes than were written")),
        }
    }

    fn is_sealed(&self, stored: &str) -> bool {
        self.is_encrypted() && stored.ends_with(EXTENSION)
    }

    /// An archive that the index names by its backup's id and its path there.
    ///
    /// # Errors
    /// `unsafe_path` for a path that leads out of its backup, `backup_not_found`.
    pub fn locate(&self, stored_in: &str, archive: &str) -> Result<Blob> {
        self.holder(stored_in)?.open(archive)
    }

    /// As [`Self::locate`], where the earlier backup's manifest may be damaged: what it holds
    /// has to be compared with its hash.
    pub fn locate_damaged(&self, stored_in: &str, archive: &str) -> Result<Blob> {
        let located = self.holder(stored_in).and_then(|holder| holder.open_damaged(archive));
        let (Err(_), Ok(id)) = (&located, BackupId::try_from(stored_in.to_owned())) else {
            return located;
        };
        for name in self.namesakes(&id)? {
            let dir = format!("{BACKUPS}/{name}");
            let namesake = Self { dir, ..self.clone() };
            if let Ok(found) = namesake.open_damaged(archive) {
                return Ok(found);
            }
        }
        located
    }

    /// Whether one of its objects has the bytes that its manifest says. All of them are read.
    ///
    /// # Errors
    /// `interrupted` when `cancel` is set, and what a store answers.
    pub(in crate::repository) fn is_as_written(
        &self,
        object: &Object,
        cancel: &CancellationToken,
    ) -> Result<bool> {
        is_as_written(self.storage.as_ref(), &self.name_of(&object.path)?, object, cancel)
    }

    /// Whether its objects are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.manifest.encryption.is_some()
    }

    /// Makes sure that its objects can be decrypted, by the smallest one.
    ///
    /// # Errors
    /// `key_missing`, `key_wrong`. Damage is left to whoever reads the object.
    pub fn check_key(&self) -> Result<()> {
        let encrypted = self.manifest.objects.iter().filter(|it| it.path.ends_with(EXTENSION));
        let Some(smallest) = encrypted.min_by_key(|object| object.size) else { return Ok(()) };
        match self.content(&smallest.path) {
            Err(e) if matches!(e.code(), Code::KeyMissing | Code::KeyWrong) => Err(e),
            _ => Ok(()),
        }
    }

    /// The whole content of a small stored file.
    pub fn read(&self, object: &str) -> Result<Vec<u8>> {
        let content = self.open(object)?;
        content.read_all().map_err(|e| Error::io("read", Path::new(content.name()), e))
    }

    /// The content of a stored file, or of all files of a stored directory, as files of this
    /// host: for programs that read nothing else. What does not lie on a disk already, or is
    /// encrypted there, is brought to a place of its own below `state_dir`, until the result is
    /// dropped.
    pub fn fetch(
        &self,
        object: &str,
        state_dir: &Path,
        cancel: &CancellationToken,
    ) -> Result<Fetched> {
        check_name(object)?;
        if let Some(directory) = self.directory().filter(|_| !self.is_encrypted()) {
            return Ok(Fetched { path: directory.join(object), _scratch: None });
        }
        let scratch = Scratch::below(state_dir)?;
        let below = format!("{object}/");
        let is_wanted = |name: &str| name == object || name.starts_with(&below);
        for stored in &self.manifest.objects {
            let name = self.manifest.logical_name(&stored.path);
            if is_wanted(name) {
                let content = self.content(&stored.path)?;
                scratch.storage().upload(name, &content, cancel, &mut |_| {})?;
            }
        }
        Ok(Fetched { path: scratch.path().join(object), _scratch: Some(scratch) })
    }
}

/// Files of this host that hold what a backup holds.
#[derive(Debug)]
pub struct Fetched {
    path: PathBuf,
    /// Removed with it.
    _scratch: Option<Scratch>,
}

impl Fetched {
    /// The file, or the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
