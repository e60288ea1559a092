//! Whom objects are encrypted for.

use super::{Sealing, SealingStream, sealed_name};
use crate::config::Encryption;
use crate::error::{Code, Error, Result};
use age::stream::StreamWriter;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use tokio::io::AsyncWrite;

/// Nobody: objects are stored as they are.
pub static NOBODY: Recipients = Recipients { keys: Vec::new() };

/// Whom objects are encrypted for. Where that is nobody, they are stored as they are.
#[derive(Clone)]
pub struct Recipients {
    keys: Vec<age::x25519::Recipient>,
}

impl Recipients {
    /// Those of a config.
    ///
    /// # Errors
    /// `config_invalid` for a text that is no public key.
    pub fn of(config: Option<&Encryption>) -> Result<Self> {
        let mut names: Vec<&str> =
            config.iter().flat_map(|config| &config.recipients).map(|one| one.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        Self::parse(names)
    }

    /// Those of these public keys.
    ///
    /// # Errors
    /// `config_invalid` for a text that is no public key.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let keys = names.into_iter().map(|name| {
            name.parse().map_err(|reason: &str| {
                Error::new(Code::ConfigInvalid, "encrypt for", "a recipient").cause(reason)
            })
        });
        Ok(Self { keys: keys.collect::<Result<_>>()? })
    }

    /// Whether objects are encrypted.
    pub fn are_there(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Their public keys, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    /// The name under which an object is stored.
    pub fn stored_name(&self, object: &str) -> String {
        if self.are_there() { sealed_name(object) } else { object.to_owned() }
    }

    /// Encrypts what is written from now on into `output`.
    ///
    /// # Errors
    /// Of writing the header.
    pub fn seal<W: Write>(&self, output: W) -> io::Result<Sealing<W>> {
        match self.are_there() {
            true => Ok(Sealing::sealed(self.encrypt(output)?)),
            false => Ok(Sealing::plain(output)),
        }
    }

    /// As [`Self::seal`], for a stream. Shutting it down ends the encryption.
    ///
    /// # Errors
    /// None are expected.
    pub fn seal_stream<W: AsyncWrite + Unpin>(&self, output: W) -> io::Result<SealingStream<W>> {
        SealingStream::new(self, output)
    }

    /// Writes a whole object of the backup in `dir`: files 0600, directories 0700. An older
    /// one is replaced. Nothing is synced to disk.
    pub fn write(&self, dir: &Path, object: &str, content: &[u8]) -> Result<()> {
        let path = dir.join(self.stored_name(object));
        let write = || {
            if let Some(parent) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            }
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            let mut sealing = self.seal(file)?;
            sealing.write_all(content)?;
            sealing.finish().map(drop)
        };
        write().map_err(|e| Error::io("write", &path, e))
    }

    pub(super) fn encrypt<W: Write>(&self, output: W) -> io::Result<StreamWriter<W>> {
        let keys = self.keys.iter().map(|key| key as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(keys).map_err(io::Error::other)?;
        encryptor.wrap_output(output)
    }
}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
