//! The secret keys with which encrypted objects are read.

use super::key_file;
use super::opened::Opened;
use super::passphrase::Passphrase;
use crate::config::Encryption;
use crate::error::{Code, Error, Result};
use crate::storage::Blob;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The secret keys of a config. The file is read when they are first needed, and unlocked at
/// most once. Clones share them; nothing prints them.
#[derive(Clone, Default)]
pub struct Identities(Arc<Shared>);

#[derive(Default)]
struct Shared {
    place: Option<Place>,
    loaded: Mutex<Option<Keys>>,
}

struct Place {
    file: PathBuf,
    passphrase: Passphrase,
}

pub(super) type Keys = Arc<Vec<age::x25519::Identity>>;

impl Identities {
    /// Those of a config, not read yet.
    pub fn of(config: Option<&Encryption>) -> Self {
        let place = config.and_then(|config| {
            let file = config.identity_file.clone()?;
            Some(Place { file, passphrase: Passphrase::of(config) })
        });
        Self(Arc::new(Shared { place, loaded: Mutex::default() }))
    }

    /// Whether the config names any.
    pub fn are_configured(&self) -> bool {
        self.0.place.is_some()
    }

    /// Whether somebody at the terminal has to say the passphrase before they can be used.
    pub fn ask_a_person(&self) -> bool {
        let loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.0.place.as_ref().filter(|_| loaded.is_none());
        place.is_some_and(|place| {
            matches!(place.passphrase, Passphrase::Person) && key_file::is_protected(&place.file)
        })
    }

    /// The file that holds them.
    pub fn file(&self) -> Option<&Path> {
        self.0.place.as_ref().map(|place| place.file.as_path())
    }

    /// The public keys that belong to them, sorted.
    ///
    /// # Errors
    /// `key_missing`, `key_wrong`.
    pub fn recipients(&self) -> Result<Vec<String>> {
        let keys = self.keys()?;
        let mut names: Vec<String> = keys.iter().map(|key| key.to_public().to_string()).collect();
        names.sort();
        Ok(names)
    }

    /// The decrypted bytes of an encrypted object, to be read in any order, by several threads
    /// at once. Its end is read and decrypted here, which proves that none of it is missing.
    ///
    /// # Errors
    /// `key_missing` where no key is configured or it stays locked, `key_wrong` where it is
    /// another one, `backup_damaged` where the object is no whole age file.
    pub fn open(&self, blob: Blob) -> Result<Blob> {
        Opened::of(blob, self.keys()?)
    }

    /// As [`Self::open`], where the end of the object may be missing or damaged: then what
    /// comes before is read all the same.
    ///
    /// # Errors
    /// `backup_damaged` where not even the beginning can be read.
    pub fn open_damaged(&self, blob: Blob) -> Result<Blob> {
        Opened::damaged(blob, self.keys()?)
    }

    fn keys(&self) -> Result<Keys> {
        // Held while the passphrase is asked for: it is asked once, whoever comes first.
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = &*loaded {
            return Ok(Arc::clone(keys));
        }
        let place = self.0.place.as_ref().ok_or_else(|| {
            Error::new(Code::KeyMissing, "read", "an encrypted backup")
                .cause("no secret key is configured")
        })?;
        let keys = Arc::new(key_file::read(&place.file, &place.passphrase)?);
        *loaded = Some(Arc::clone(&keys));
        Ok(keys)
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identities").field(&self.0.place.as_ref().map(|place| &place.file)).finish()
    }
}
