//! What age reads of an object: its edges from memory, the rest in few big pieces.
//!
//! age reads a chunk at a time. In an object store each of them would be a request.

use super::{CHUNK, TAG};
use crate::storage::{Blob, seek_from};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the header that are kept: that of a dozen recipients.
const HEAD: u64 = 2 << 10;

/// The most that is read at once.
const PIECE: u64 = 2 << 20;

/// An object with its first bytes and its last chunk in memory: every new reader needs both.
#[derive(Clone)]
pub(super) struct Edges {
    blob: Blob,
    head: Arc<[u8]>,
    tail: Arc<[u8]>,
}

impl Edges {
    /// Reads them.
    pub(super) fn read(blob: Blob) -> io::Result<Self> {
        let size = blob.size();
        let part = |offset: u64, length: u64| {
            // Bounded by the constants.
            let mut bytes = vec![0; length as usize];
            blob.read_exact_at(&mut bytes, offset)?;
            Ok::<_, io::Error>(bytes.into())
        };
        let last = (CHUNK + TAG).min(size);
        let tail: Arc<[u8]> = part(size - last, last)?;
        let head = match last == size {
            true => Arc::clone(&tail),
            false => part(0, HEAD.min(size))?,
        };
        Ok(Self { blob, head, tail })
    }

    pub(super) fn size(&self) -> u64 {
        self.blob.size()
    }
}

/// What is told to a window inside of age's reader, and by it.
#[derive(Clone, Default)]
pub(super) struct Shared {
    until: Arc<AtomicU64>,
    offset: Arc<AtomicU64>,
}

impl Shared {
    /// Says how far the next read goes: what lies before is read ahead.
    pub(super) fn read_until(&self, offset: u64) {
        self.until.store(offset, Ordering::Relaxed);
    }

    /// Where the window stands.
    pub(super) fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }
}

/// A place in the object.
pub(super) struct Window {
    edges: Edges,
    offset: u64,
    shared: Shared,
    piece: Vec<u8>,
    piece_at: u64,
}

impl Window {
    /// At the beginning of the object.
    pub(super) fn new(edges: &Edges) -> (Self, Shared) {
        let shared = Shared::default();
        let window = Self {
            edges: edges.clone(),
            offset: 0,
            shared: shared.clone(),
            piece: Vec::new(),
            piece_at: 0,
        };
        (window, shared)
    }

    /// Reads ahead as far as is wanted, and at least `least` bytes; not past the end.
    fn fill(&mut self, least: usize) -> io::Result<()> {
        let wanted = self.shared.until.load(Ordering::Relaxed).saturating_sub(self.offset);
        let left = self.edges.size() - self.offset;
        let length = wanted.min(PIECE).max(least as u64).min(left);
        self.piece.clear();
        self.piece.resize(length as usize, 0);
        self.piece_at = self.offset;
        let filled = self.edges.blob.read_exact_at(&mut self.piece, self.offset);
        filled.inspect_err(|_| self.piece.clear())
    }
}

/// What `held`, which begins at `start`, has from `offset` on.
fn part_of(held: &[u8], start: u64, offset: u64) -> Option<&[u8]> {
    let skip = usize::try_from(offset.checked_sub(start)?).ok()?;
    held.get(skip..).filter(|part| !part.is_empty())
}

impl Read for Window {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Edges { head, tail, .. } = &self.edges;
        let size = self.edges.size();
        if into.is_empty() || self.offset >= size {
            return Ok(0);
        }
        let held = part_of(&self.piece, self.piece_at, self.offset)
            .or_else(|| part_of(tail, size - tail.len() as u64, self.offset))
            .or_else(|| part_of(head, 0, self.offset));
        let held = match held {
            Some(held) => held,
            None => {
                self.fill(into.len())?;
                &self.piece
            }
        };
        let count = held.len().min(into.len());
        into[..count].copy_from_slice(&held[..count]);
        self.offset += count as u64;
        self.shared.offset.store(self.offset, Ordering::Relaxed);
        if self.offset == self.piece_at + self.piece.len() as u64 {
            // What was read through is not needed again.
            self.piece = Vec::new();
        }
        Ok(count)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.offset = seek_from(self.offset, self.edges.size(), to)?;
        Ok(self.offset)
    }
}
