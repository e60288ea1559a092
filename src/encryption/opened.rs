//! The decrypted bytes of an encrypted object, read in any order.

mod window;

use super::identities::Keys;
use crate::error::{Code, Error, Result};
use crate::storage::{Blob, ReadAt};
use age::stream::StreamReader;
use age::{DecryptError, Decryptor};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use window::{Edges, Shared, Window};

/// Plain bytes of a chunk of age's, each with [`TAG`] bytes more when it is encrypted.
const CHUNK: u64 = 64 << 10;
/// Of each chunk.
const TAG: u64 = 16;

/// How many readers are kept for threads that read at once.
const MOST_READERS: usize = 8;

/// An encrypted object whose key is known.
pub(super) struct Opened {
    edges: Edges,
    keys: Keys,
    /// Readers that nobody uses now, the last used last.
    readers: Mutex<Vec<Reader>>,
    /// Where its first chunk begins.
    begin: u64,
    /// Its plain bytes.
    size: u64,
}

/// A place in the plain bytes.
struct Reader {
    stream: StreamReader<Window>,
    window: Shared,
    position: u64,
}

impl Opened {
    /// The plain bytes of `blob`, under its name.
    pub(super) fn of(blob: Blob, keys: Keys) -> Result<Blob> {
        let name = blob.name().to_owned();
        let (mut opened, mut reader) = Self::begin(blob, keys)?;
        // This decrypts the last chunk, which says that it is the last.
        opened.size = reader.stream.seek(SeekFrom::End(0)).map_err(|e| failed(&name, e))?;
        Ok(opened.blob(&name))
    }

    /// The same, up to the last whole chunk where the last one is not what it should be.
    pub(super) fn damaged(blob: Blob, keys: Keys) -> Result<Blob> {
        let name = blob.name().to_owned();
        let (mut opened, mut reader) = Self::begin(blob, keys)?;
        opened.size = match reader.stream.seek(SeekFrom::End(0)) {
            Ok(size) => size,
            Err(_) => (opened.edges.size() - opened.begin) / (CHUNK + TAG) * CHUNK,
        };
        Ok(opened.blob(&name))
    }

    fn begin(blob: Blob, keys: Keys) -> Result<(Self, Reader)> {
        let name = blob.name().to_owned();
        let edges = Edges::read(blob).map_err(|e| failed(&name, e))?;
        let mut opened = Self { edges, keys, readers: Mutex::default(), begin: 0, size: 0 };
        let reader = opened.reader().map_err(|e| refused(&name, e))?;
        opened.begin = reader.window.offset();
        Ok((opened, reader))
    }

    fn blob(self, name: &str) -> Blob {
        let size = self.size;
        Blob::new(Arc::new(self), size, name)
    }

    fn reader(&self) -> Result<Reader, DecryptError> {
        let (window, shared) = Window::new(&self.edges);
        let keys = self.keys.iter().map(|key| key as &dyn age::Identity);
        let stream = Decryptor::new(window)?.decrypt(keys)?;
        Ok(Reader { stream, window: shared, position: 0 })
    }

    /// The reader that stands nearest, or a new one.
    fn take(&self, offset: u64) -> io::Result<Reader> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let there = readers.iter().position(|reader| reader.position == offset);
        match there.or(readers.len().checked_sub(1)) {
            Some(place) => Ok(readers.remove(place)),
            None => {
                drop(readers);
                self.reader().map_err(io::Error::other)
            }
        }
    }

    fn give_back(&self, reader: Reader) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < MOST_READERS {
            readers.push(reader);
        }
    }

    /// Where the chunk of the plain byte before `end` ends in the encrypted object.
    fn stored_end(&self, end: u64) -> u64 {
        self.begin + end.div_ceil(CHUNK) * (CHUNK + TAG)
    }
}

impl Reader {
    fn seek(&mut self, offset: u64) -> io::Result<()> {
        if offset.is_multiple_of(CHUNK) {
            // At the beginning of a chunk age reads the end of the object again.
            self.stream.seek(SeekFrom::Start(offset + 1))?;
        }
        self.stream.seek(SeekFrom::Start(offset))?;
        self.position = offset;
        Ok(())
    }
}

impl ReadAt for Opened {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let most = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        if most == 0 {
            return Ok(0);
        }
        // One that fails is not given back: its place is unknown.
        let mut reader = self.take(offset)?;
        reader.window.read_until(self.stored_end(offset + most as u64));
        if reader.position != offset {
            reader.seek(offset)?;
        }
        reader.stream.read_exact(&mut into[..most])?;
        reader.position = offset + most as u64;
        self.give_back(reader);
        Ok(most)
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("size", &self.size).finish_non_exhaustive()
    }
}

fn failed(name: &str, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            Error::new(Code::BackupDamaged, "decrypt", name).source(error)
        }
        _ => Error::io("read", Path::new(name), error),
    }
}

fn refused(name: &str, error: DecryptError) -> Error {
    match error {
        DecryptError::Io(error) => failed(name, error),
        DecryptError::NoMatchingKeys => Error::new(Code::KeyWrong, "decrypt", name)
            .cause("it was encrypted for other recipients than the configured key"),
        other => Error::new(Code::BackupDamaged, "decrypt", name).cause(other),
    }
}
