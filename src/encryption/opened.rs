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
use window::{Edges, Until, Window};

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
    size: u64,
}

/// A place in the plain bytes.
struct Reader {
    stream: StreamReader<Window>,
    until: Until,
    position: u64,
}

impl Opened {
    /// The plain bytes of `blob`, under its name.
    pub(super) fn of(blob: Blob, keys: Keys) -> Result<Blob> {
        let name = blob.name().to_owned();
        let edges = Edges::read(blob).map_err(|e| failed(&name, e))?;
        let mut opened = Self { edges, keys, readers: Mutex::default(), size: 0 };
        let mut reader = opened.reader().map_err(|e| refused(&name, e))?;
        // This decrypts the last chunk, which says that it is the last.
        opened.size = reader.stream.seek(SeekFrom::End(0)).map_err(|e| failed(&name, e))?;
        reader.position = opened.size;
        let size = opened.size;
        opened.give_back(reader);
        Ok(Blob::new(Arc::new(opened), size, &name))
    }

    fn reader(&self) -> Result<Reader, DecryptError> {
        let (window, until) = Window::new(&self.edges);
        let keys = self.keys.iter().map(|key| key as &dyn age::Identity);
        let stream = Decryptor::new(window)?.decrypt(keys)?;
        Ok(Reader { stream, until, position: 0 })
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
        let chunks = |bytes: u64| bytes.div_ceil(CHUNK).max(1);
        let stored = |plain: u64| plain + chunks(plain) * TAG;
        let begin = self.edges.size() - stored(self.size);
        begin + stored((chunks(end) * CHUNK).min(self.size))
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
        reader.until.set(self.stored_end(offset + most as u64));
        if reader.position != offset {
            reader.stream.seek(SeekFrom::Start(offset))?;
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
