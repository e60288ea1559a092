//! A new object of a backup: sealed as it is written, with the size and hash of what is stored.

use super::{Recipients, Sealing};
use crate::error::{Error, Result};
use crate::hex::hex;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBytes {
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

/// A file that is being written. Nothing is synced to disk.
pub struct NewObject(Sealing<Hashing<File>>);

impl NewObject {
    /// Creates the file `path` (mode 0600, must not exist) for `recipients`.
    pub fn create(path: &Path, recipients: &Recipients) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(path)?;
        recipients.seal(Hashing::new(file)).map(Self)
    }

    /// Ends the object.
    pub fn finish(self) -> io::Result<StoredBytes> {
        let mut hashing = self.0.finish()?;
        hashing.flush()?;
        Ok(hashing.stored())
    }
}

impl Write for NewObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An output that is hashed while it is written.
pub struct Hashing<W> {
    output: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashing<W> {
    /// Nothing is written yet.
    pub fn new(output: W) -> Self {
        Self { output, hash: Sha256::new(), size: 0 }
    }

    /// What was written.
    pub fn stored(self) -> StoredBytes {
        StoredBytes { size: self.size, sha256: hex(&self.hash.finalize()) }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl Recipients {
    /// Makes the sealed object `to` of the file `from`, and returns what `from` holds: size
    /// and hash of the plain bytes, then of the stored ones. `from` stays.
    ///
    /// # Errors
    /// `interrupted` when `cancel` is set; the unfinished object is then left to the caller.
    pub fn seal_file(
        &self,
        from: &Path,
        to: &Path,
        cancel: &tokio_util::sync::CancellationToken,
    ) -> Result<(StoredBytes, StoredBytes)> {
        const PIECE: usize = 256 << 10;
        let mut file = File::open(from).map_err(|e| Error::io("read", from, e))?;
        let written = |e| Error::io("write", to, e);
        let mut output = Hashing::new(NewObject::create(to, self).map_err(written)?);
        let mut piece = vec![0; PIECE];
        loop {
            if cancel.is_cancelled() {
                return Err(Error::new(crate::error::Code::Interrupted, "write", to.display()));
            }
            let count = match io::Read::read(&mut file, &mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io("read", from, e)),
            };
            output.write_all(&piece[..count]).map_err(written)?;
        }
        let Hashing { output: object, hash, size } = output;
        let stored = object.finish().map_err(written)?;
        let plain = Hashing { output: (), hash, size }.stored();
        Ok((plain, stored))
    }
}
