//! Whether a manifest is the one that was written.

use super::PublishedBackup;
use crate::error::{Code, Error, Result};
use crate::repository::checksums::hash_bytes;
use crate::repository::manifest::MANIFEST;

impl PublishedBackup {
    /// Whether `manifest` is the text that `SHA256SUMS` knows; none where that does not say.
    pub(super) fn proves(&self, manifest: &[u8]) -> Result<Option<bool>> {
        Ok(self.checksums()?.0.get(MANIFEST).map(|known| *known == hash_bytes(manifest)))
    }

    /// Refuses a manifest that is another one than was written: what it says is needed may be
    /// wrong.
    ///
    /// # Errors
    /// `backup_damaged` where it does not fit `SHA256SUMS`.
    pub fn require_proven(&self) -> Result<()> {
        let name = self.name_of(MANIFEST)?;
        let text = self.storage.read(&name)?.unwrap_or_default();
        match self.proves(&text)? {
            Some(false) => Err(Error::new(Code::BackupDamaged, "read", self.storage.shown(&name))
                .cause("it does not fit SHA256SUMS")
                .hint("take it from a copy of the repository, where there is one")),
            _ => Ok(()),
        }
    }
}
