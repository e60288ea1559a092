//! Reading parts of an object with few requests.
//!
//! A reader that goes on where the last one ended is given more at once, up to
//! [`MOST`]; one that jumps about gets little more than it asked for.

use super::Access;
use crate::storage::ReadAt;
use crate::storage::failure::to_io;
use bytes::Bytes;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// What is fetched at least.
const LEAST: usize = 64 << 10;

/// What is fetched ahead at most.
const MOST: usize = 4 << 20;

/// How many places of an object are remembered, so that several readers do not disturb each
/// other. At most this many times [`MOST`] bytes are held.
const WINDOWS: usize = 4;

/// An object of a store.
#[derive(Debug)]
pub(super) struct Ranges {
    access: Arc<Access>,
    name: String,
    size: u64,
    /// The last used at the end.
    windows: Mutex<Vec<Window>>,
}

/// A stretch that was fetched.
#[derive(Debug, Clone)]
struct Window {
    start: u64,
    /// Empty where it went straight to the reader.
    bytes: Bytes,
    end: u64,
    /// How much the next fetch from `end` on brings.
    next: usize,
}

impl Ranges {
    pub(super) fn new(access: Arc<Access>, name: &str, size: u64) -> Self {
        Self { access, name: name.to_owned(), size, windows: Mutex::default() }
    }

    fn windows(&self) -> std::sync::MutexGuard<'_, Vec<Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held from `offset` on.
    fn held(&self, offset: u64) -> Option<Bytes> {
        let mut windows = self.windows();
        let holds = |w: &Window| (w.start..w.start + w.bytes.len() as u64).contains(&offset);
        let window = windows.iter().position(holds).map(|at| windows.remove(at))?;
        let rest = window.bytes.slice((offset - window.start) as usize..);
        windows.push(window);
        Some(rest)
    }

    /// How much a fetch of `wanted` bytes from `offset` on brings.
    fn plan(&self, offset: u64, wanted: usize) -> usize {
        let mut windows = self.windows();
        let before = windows.iter().position(|w| w.end == offset).map(|at| windows.remove(at));
        let ahead = before.map_or(LEAST, |window| window.next);
        let left = usize::try_from(self.size - offset).unwrap_or(usize::MAX);
        wanted.max(ahead).min(left)
    }

    fn remember(&self, offset: u64, fetched: usize, bytes: Bytes) {
        let mut windows = self.windows();
        if windows.len() >= WINDOWS {
            windows.remove(0);
        }
        let next = (fetched * 2).clamp(LEAST, MOST);
        windows.push(Window { start: offset, bytes, end: offset + fetched as u64, next });
    }
}

impl ReadAt for Ranges {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if into.is_empty() || offset >= self.size {
            return Ok(0);
        }
        let held = match self.held(offset) {
            Some(held) => held,
            None => {
                let length = self.plan(offset, into.len());
                let fetched = self.access.range(&self.name, offset, length).map_err(to_io)?;
                // What goes straight to the reader need not be held as well.
                let kept = if length > into.len() { fetched.clone() } else { Bytes::new() };
                self.remember(offset, fetched.len(), kept);
                fetched
            }
        };
        let count = held.len().min(into.len());
        into[..count].copy_from_slice(&held[..count]);
        Ok(count)
    }
}
