//! The hash of what passes by.

use super::{Blob, ReadAt};
use crate::hex::hex;
use sha2::{Digest, Sha256};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An object whose bytes are hashed as they are read, when they are read in order.
#[derive(Debug)]
pub struct Hashing {
    inner: Blob,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sha256: Sha256,
    next: u64,
}

impl Hashing {
    /// `blob`, and the same to be read from.
    pub fn of(blob: &Blob) -> (Arc<Self>, Blob) {
        let hashing = Arc::new(Self { inner: blob.clone(), state: Mutex::default() });
        let read = Blob::new(hashing.clone(), blob.size(), blob.name());
        (hashing, read)
    }

    /// The SHA-256 of the whole, as hex digits; none unless all of it was read in order.
    pub fn sha256(&self) -> Option<String> {
        let state = self.state();
        (state.next == self.inner.size()).then(|| hex(&state.sha256.clone().finalize()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAt for Hashing {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.inner.read_at(into, offset)?;
        let mut state = self.state();
        if offset == 0 {
            // From the beginning, perhaps once more.
            *state = State::default();
        }
        if offset == state.next {
            state.sha256.update(&into[..count]);
            state.next += count as u64;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_read_in_order_is_hashed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), b"abc").unwrap();
        let (hashing, blob) = Hashing::of(&Blob::file(&dir.path().join("x")).unwrap());
        assert_eq!(hashing.sha256(), None);
        blob.read_exact_at(&mut [0], 1).unwrap();
        assert_eq!(hashing.sha256(), None);
        for _ in 0..2 {
            blob.reader(0).read_to_end(&mut Vec::new()).unwrap();
            let sha256 = hashing.sha256().unwrap();
            assert!(sha256.starts_with("ba7816bf8f01cfea"), "{sha256}");
        }
    }
}
