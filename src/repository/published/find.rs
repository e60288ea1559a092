//! Finding a backup by its name, and whether its manifest is the one that was written.

use super::PublishedBackup;
use crate::encryption::Identities;
use crate::error::{Code, Error, Result};
use crate::repository::BACKUPS;
use crate::repository::checksums::hash_bytes;
use crate::repository::manifest::{FORMAT, MANIFEST, Manifest};
use crate::storage::Storage;
use std::sync::Arc;

impl PublishedBackup {
    pub(in crate::repository) fn find(
        storage: &Arc<dyn Storage>,
        identities: &Identities,
        name: &str,
    ) -> Result<Self> {
        Self::look_up(storage, identities, name).map(|(found, _)| found)
    }

    /// The backup, and its manifest as it is stored.
    fn look_up(
        storage: &Arc<dyn Storage>,
        identities: &Identities,
        name: &str,
    ) -> Result<(Self, Vec<u8>)> {
        let dir = format!("{BACKUPS}/{name}");
        let file = format!("{dir}/{MANIFEST}");
        let Some(text) = storage.read(&file)? else {
            if storage.directory().is_none() {
                return Err(Error::new(Code::BackupNotFound, "open backup", storage.shown(&dir))
                    .cause("it has no manifest: it was deleted, or is not published yet"));
            }
            return Err(match storage.names(&dir)?.is_empty() && !is_directory(storage, &dir) {
                true => Error::new(Code::BackupNotFound, "open backup", storage.shown(&dir))
                    .cause("there is no such directory"),
                false => Error::new(Code::BackupDamaged, "read", storage.shown(&file))
                    .cause("it is missing"),
            });
        };
        let damaged = || Error::new(Code::BackupDamaged, "read", storage.shown(&file));
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| damaged().source(e))?;
        let found = Self {
            storage: storage.clone(),
            identities: identities.clone(),
            dir,
            manifest,
            siblings: Arc::default(),
        };
        let manifest = &found.manifest;
        // A flipped bit in the number is damage, not the future.
        if manifest.format > FORMAT && !found.proves(&text)?.unwrap_or(false) {
            return Err(damaged().cause("it does not fit SHA256SUMS"));
        }
        if manifest.format > FORMAT {
            return Err(Error::new(Code::RepositoryFormat, "open backup", found.shown())
                .cause(format!("it has format {}, this version knows {FORMAT}", manifest.format)));
        }
        if manifest.name != name {
            return Err(
                damaged().cause(format!("it is the manifest of another backup, {}", manifest.name))
            );
        }
        for component in &manifest.components {
            if !is_file_name(&component.name) {
                return Err(Error::new(Code::UnsafePath, "open backup", found.shown())
                    .cause(format!("`{}` cannot be a component's name", component.name)));
            }
        }
        Ok((found, text))
    }

    /// As [`find`](Self::find), and refuses a manifest that is another one than was written: what
    /// it says is needed may be wrong.
    ///
    /// # Errors
    /// Also `backup_damaged` where the manifest does not fit `SHA256SUMS`.
    pub(in crate::repository) fn find_proven(
        storage: &Arc<dyn Storage>,
        identities: &Identities,
        name: &str,
    ) -> Result<Self> {
        let (found, manifest) = Self::look_up(storage, identities, name)?;
        match found.proves(&manifest)? {
            Some(false) => {
                let shown = storage.shown(&found.name_of(MANIFEST)?);
                Err(Error::new(Code::BackupDamaged, "read", shown)
                    .cause("it does not fit SHA256SUMS")
                    .hint("take it from a copy of the repository, where there is one"))
            }
            _ => Ok(found),
        }
    }

    /// Whether `manifest` is the text that `SHA256SUMS` knows; none where that does not say.
    fn proves(&self, manifest: &[u8]) -> Result<Option<bool>> {
        Ok(self.checksums()?.0.get(MANIFEST).map(|known| *known == hash_bytes(manifest)))
    }

    /// A backup whose own manifest is damaged, with one that was put together of what else
    /// says what it holds.
    pub(in crate::repository) fn described(
        storage: &Arc<dyn Storage>,
        identities: &Identities,
        manifest: Manifest,
    ) -> Self {
        Self {
            storage: storage.clone(),
            identities: identities.clone(),
            dir: format!("{BACKUPS}/{}", manifest.name),
            manifest,
            siblings: Arc::default(),
        }
    }
}

/// Whether the storage has an empty directory there.
fn is_directory(storage: &Arc<dyn Storage>, dir: &str) -> bool {
    storage.directory().is_some_and(|root| root.join(dir).is_dir())
}

/// Names of components become parts of paths: a single one, and not a hidden one.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}
