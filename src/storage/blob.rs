//! An object that is read in parts.

use crate::error::{Error, Result};
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes that can be read from any offset, by several threads at once.
pub trait ReadAt: Debug + Send + Sync {
    /// Reads bytes from `offset` on, at most as many as `into` holds; 0 only at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }
}

/// An open object. Clones share it.
#[derive(Debug, Clone)]
pub struct Blob {
    bytes: Arc<dyn ReadAt>,
    size: u64,
    name: Arc<str>,
}

#[derive(Debug)]
struct Nothing;

impl ReadAt for Nothing {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }
}

impl Blob {
    /// `size` bytes, which messages call `name`.
    pub fn new(bytes: Arc<dyn ReadAt>, size: u64, name: &str) -> Self {
        Self { bytes, size, name: name.into() }
    }

    /// No bytes at all.
    pub fn empty(name: &str) -> Self {
        Self::new(Arc::new(Nothing), 0, name)
    }

    /// A file, which may not change while it is read.
    pub fn file(path: &Path) -> Result<Self> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = opened.map_err(|e| Error::io("open", path, e))?;
        Ok(Self::new(Arc::new(file), size, &path.to_string_lossy()))
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// As messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads bytes from `offset` on, at most as many as `into` holds; 0 only at the end.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.bytes.read_at(into, offset)
    }

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the object ends before.
    pub fn read_exact_at(&self, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !into.is_empty() {
            match self.bytes.read_at(into, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    into = &mut into[count..];
                    offset += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// All of its bytes; only for what is known to be small.
    pub fn read_all(&self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.reader(0).read_to_end(&mut content)?;
        Ok(content)
    }

    /// Reads from `offset` on.
    pub fn reader(&self, offset: u64) -> BlobReader {
        BlobReader { blob: self.clone(), offset }
    }
}

/// A place in an object, from which it is read on.
#[derive(Debug, Clone)]
pub struct BlobReader {
    blob: Blob,
    offset: u64,
}

impl Read for BlobReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.blob.size.saturating_sub(self.offset);
        let most = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.blob.bytes.read_at(&mut into[..most], self.offset)?;
        if count == 0 {
            // Shorter than it was when it was opened: never mistaken for its end.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        Ok(count)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.offset = seek_from(self.offset, self.blob.size, to)?;
        Ok(self.offset)
    }
}

/// Where `to` leads from `offset` in `size` bytes, which may be beyond their end.
///
/// # Errors
/// `InvalidInput` where it leads before their beginning.
pub fn seek_from(offset: u64, size: u64, to: SeekFrom) -> io::Result<u64> {
    let place = match to {
        SeekFrom::Start(offset) => Some(offset),
        SeekFrom::Current(by) => offset.checked_add_signed(by),
        SeekFrom::End(by) => size.checked_add_signed(by),
    };
    place.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the beginning"))
}
