//! Writes an archive whose frames are partly those of other archives, as they are.

use super::{FRAME_SIZE, FrameReader, SeekTable, StoredArchive};
use crate::encryption::{NewObject, Recipients};
use crate::error::{Error, Result};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use zstd::bulk::Compressor;

/// An archive that is being put together. Frames hold [`FRAME_SIZE`] bytes at most, and fewer
/// before a frame that is copied.
pub struct FrameSplicer {
    path: PathBuf,
    object: NewObject,
    compressor: Compressor<'static>,
    buffer: Vec<u8>,
    table: SeekTable,
    copied: u64,
    compressed: u64,
}

/// What was put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spliced {
    /// The archive.
    pub stored: StoredArchive,
    /// Its bytes that are frames of other archives.
    pub copied: u64,
    /// Its bytes that were compressed anew.
    pub compressed: u64,
    /// Where its frames lie.
    pub table: SeekTable,
}

impl FrameSplicer {
    /// Creates the file `path` (mode 0600, must not exist), encrypted for `recipients`; what
    /// is not copied is compressed with `level`.
    pub fn create(path: &Path, level: i32, recipients: &Recipients) -> Result<Self> {
        let failed = |e| Error::io("create archive", path, e);
        let compressor = Compressor::new(level).and_then(|mut compressor| {
            compressor.include_checksum(true)?;
            compressor.include_contentsize(true)?;
            Ok(compressor)
        });
        Ok(Self {
            path: path.to_owned(),
            object: NewObject::create(path, recipients).map_err(failed)?,
            compressor: compressor.map_err(failed)?,
            buffer: Vec::with_capacity(FRAME_SIZE),
            table: SeekTable::default(),
            copied: 0,
            compressed: 0,
        })
    }

    /// Adds bytes that are compressed.
    pub fn add(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = bytes.len().min(FRAME_SIZE - self.buffer.len());
            self.buffer.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.buffer.len() == FRAME_SIZE {
                self.end_frame()?;
            }
        }
        Ok(())
    }

    /// Adds frame `number` of another archive as it is.
    pub fn copy(&mut self, from: &FrameReader, number: usize) -> io::Result<()> {
        self.end_frame()?;
        let (stored, holds) = from.stored(number)?;
        self.copied += stored.len() as u64;
        self.put(&stored, holds)
    }

    /// Ends the last frame and writes the seek table. Nothing is synced to disk.
    pub fn finish(mut self) -> Result<Spliced> {
        let path = self.path.clone();
        let failed = |e| Error::io("write archive", &path, e);
        self.end_frame().map_err(failed)?;
        let table = self.table.to_bytes().map_err(failed)?;
        self.object.write_all(&table).map_err(failed)?;
        let object = self.object.finish().map_err(failed)?;
        let frames = self.table.frames().len() as u64;
        let stored = StoredArchive { size: object.size, sha256: object.sha256, frames };
        Ok(Spliced { stored, copied: self.copied, compressed: self.compressed, table: self.table })
    }

    fn end_frame(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let frame = self.compressor.compress(&self.buffer)?;
        self.compressed += frame.len() as u64;
        let holds = self.buffer.len() as u32;
        self.buffer.clear();
        self.put(&frame, holds)
    }

    fn put(&mut self, frame: &[u8], holds: u32) -> io::Result<()> {
        self.object.write_all(frame)?;
        self.table.push(frame.len() as u32, holds);
        Ok(())
    }
}
