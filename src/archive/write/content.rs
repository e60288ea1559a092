//! Copies the content of one file into the tar, hashes it and notices its changes.

use crate::archive::entry::Entry;
use crate::archive::fault::{Fault, Trouble};
use crate::archive::source::{Content, Opened};
use crate::archive::tar::{Segment, SparseMap, TarWriter};
use crate::progress::{Event, Progress};
use rustix::fs::{Advice, Stat, fadvise, fstat};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const CHUNK: usize = 256 << 10;
/// Progress is reported this often, in bytes.
const REPORT: u64 = 4 << 20;
/// From this size on the kernel is told that the file is read from front to back.
const LARGE: u64 = 1 << 20;

/// What became of one file's content.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) sha256: Option<[u8; 32]>,
    /// The offset of the data, and whether a sparse map stands there.
    pub(super) place: Option<(u64, bool)>,
    pub(super) faults: Vec<Fault>,
    /// Whether reading failed on the way: the rest is zeros.
    cut: bool,
}

impl Stored {
    fn cut(&mut self, fault: Fault) {
        self.cut = true;
        self.faults.push(fault);
    }
}

/// Copies content, with one buffer for all files.
pub(super) struct Copying<'a> {
    buffer: Vec<u8>,
    task: String,
    progress: &'a Arc<dyn Progress>,
    unreported: u64,
    cancel: &'a CancellationToken,
}

enum Input<'a> {
    File(&'a File),
    Stream(&'a mut dyn Read),
}

impl<'a> Copying<'a> {
    pub(super) fn new(
        task: String,
        progress: &'a Arc<dyn Progress>,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self { buffer: vec![0; CHUNK], task, progress, unreported: 0, cancel }
    }

    /// Writes the member of `entry` with its content; `entry` gets the metadata that the
    /// open file has.
    ///
    /// # Errors
    /// When the tar cannot be written or the stream not be read; `Interrupted` when
    /// cancelled.
    pub(super) fn copy<W: Write>(
        &mut self,
        tar: &mut TarWriter<W>,
        entry: &mut Entry,
        content: Content<'_>,
    ) -> io::Result<Stored> {
        let mut stored = Stored::default();
        match content {
            Content::Stream { reader, map } => {
                self.data(tar, entry, Input::Stream(reader), map, &mut stored)?;
            }
            Content::Loaded(bytes) => {
                let offset = tar.member(entry, None)?;
                tar.write_all(bytes)?;
                stored.sha256 = Some(Sha256::digest(bytes).into());
                stored.place = Some((offset, false));
                self.advance(bytes.len() as u64);
            }
            Content::File(Opened::Copy { file, changed }) => {
                let stat = fstat(&file)?;
                let size = stat.st_size as u64;
                if changed || size != entry.size {
                    stored.faults.push(changed_fault(entry));
                }
                entry.size = size;
                let map = sparse_map(&file, &stat)?;
                self.data(tar, entry, Input::File(&file), map, &mut stored)?;
            }
            Content::File(Opened::Live { file, stat }) => {
                let is_as_scanned = entry.is_unchanged(&stat);
                entry.refresh(&stat);
                let map = sparse_map(&file, &stat)?;
                self.data(tar, entry, Input::File(&file), map, &mut stored)?;
                let is_unchanged = is_as_scanned && entry.is_unchanged(&fstat(&file)?);
                if stored.faults.is_empty() && !is_unchanged {
                    stored.faults.push(changed_fault(entry));
                }
            }
        }
        Ok(stored)
    }

    fn data<W: Write>(
        &mut self,
        tar: &mut TarWriter<W>,
        entry: &Entry,
        mut input: Input<'_>,
        map: Option<SparseMap>,
        stored: &mut Stored,
    ) -> io::Result<()> {
        if let (Input::File(file), LARGE..) = (&input, entry.size) {
            // Only advice: a file system that does not take it reads as well.
            let _ = fadvise(file, 0, None, Advice::Sequential);
        }
        let offset = tar.member(entry, map.as_ref())?;
        let whole = [Segment { offset: 0, length: entry.size }];
        let segments = map.as_ref().map_or(&whole[..], SparseMap::segments);
        let mut hash = Sha256::new();
        let mut position = 0;
        for segment in segments {
            self.zeros(segment.offset - position, &mut hash)?;
            self.segment(tar, entry, *segment, &mut input, &mut hash, stored)?;
            position = segment.offset + segment.length;
        }
        self.zeros(entry.size - position, &mut hash)?;
        stored.sha256 = Some(hash.finalize().into());
        stored.place = Some((offset, map.is_some()));
        Ok(())
    }

    fn segment<W: Write>(
        &mut self,
        tar: &mut TarWriter<W>,
        entry: &Entry,
        segment: Segment,
        input: &mut Input<'_>,
        hash: &mut Sha256,
        stored: &mut Stored,
    ) -> io::Result<()> {
        let end = segment.offset + segment.length;
        let mut position = segment.offset;
        while position < end {
            self.check()?;
            let most = usize::try_from(end - position).map_or(CHUNK, |left| left.min(CHUNK));
            let chunk = &mut self.buffer[..most];
            let count = match input {
                _ if stored.cut => Ok(0),
                Input::File(file) => file.read_at(chunk, position),
                Input::Stream(reader) => match reader.read(chunk) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                    other => other,
                },
            };
            let count = match count {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) if !stored.cut => {
                    stored.cut(Fault::new(&entry.path, Trouble::Changed, CUT));
                    0
                }
                Err(error) => {
                    let cause = format!("{CUT}: {error}");
                    stored.cut(Fault::new(&entry.path, Trouble::Unreadable, cause));
                    0
                }
                Ok(count) => count,
            };
            let chunk = if count == 0 {
                chunk.fill(0);
                &self.buffer[..most]
            } else {
                &self.buffer[..count]
            };
            hash.update(chunk);
            tar.write_all(chunk)?;
            position += chunk.len() as u64;
            self.advance(chunk.len() as u64);
        }
        Ok(())
    }

    /// A hole: nothing is written, but the hash is that of the whole content.
    fn zeros(&mut self, count: u64, hash: &mut Sha256) -> io::Result<()> {
        self.hole(count, hash)?;
        self.advance(count);
        Ok(())
    }

    fn hole(&mut self, mut count: u64, hash: &mut Sha256) -> io::Result<()> {
        if count > 0 {
            self.buffer.fill(0);
        }
        while count > 0 {
            self.check()?;
            let chunk = count.min(CHUNK as u64);
            hash.update(&self.buffer[..chunk as usize]);
            count -= chunk;
        }
        Ok(())
    }

    /// The SHA-256 of a file's first `size` bytes; nothing when it has fewer.
    ///
    /// # Errors
    /// When it cannot be read; `Interrupted` when cancelled.
    pub(super) fn hash(&mut self, file: &File, size: u64) -> io::Result<Option<[u8; 32]>> {
        let mut hash = Sha256::new();
        let mut position = 0;
        while position < size {
            self.check()?;
            let most = usize::try_from(size - position).map_or(CHUNK, |left| left.min(CHUNK));
            match file.read_at(&mut self.buffer[..most], position) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    hash.update(&self.buffer[..count]);
                    position += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(hash.finalize().into()))
    }

    /// Copies what a stream holds of a file into `file` and returns the SHA-256 of the whole,
    /// holes included.
    ///
    /// # Errors
    /// When the stream ends early or `file` cannot be written; `Interrupted` when cancelled.
    pub(super) fn spool(
        &mut self,
        reader: &mut dyn Read,
        size: u64,
        map: Option<&SparseMap>,
        file: &mut File,
    ) -> io::Result<[u8; 32]> {
        let whole = [Segment { offset: 0, length: size }];
        let segments = map.map_or(&whole[..], SparseMap::segments);
        let mut hash = Sha256::new();
        let mut position = 0;
        for segment in segments {
            self.hole(segment.offset - position, &mut hash)?;
            let mut left = segment.length;
            while left > 0 {
                self.check()?;
                let most = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
                let count = match reader.read(&mut self.buffer[..most]) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    other => other?,
                };
                hash.update(&self.buffer[..count]);
                file.write_all(&self.buffer[..count])?;
                left -= count as u64;
            }
            position = segment.offset + segment.length;
        }
        self.hole(size - position, &mut hash)?;
        Ok(hash.finalize().into())
    }

    fn check(&self) -> io::Result<()> {
        if self.cancel.is_cancelled() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    /// Counts bytes as done, whether or not they had to be copied.
    pub(super) fn advance(&mut self, bytes: u64) {
        self.unreported += bytes;
        if self.unreported >= REPORT {
            self.report();
        }
    }

    /// Reports what was not yet.
    pub(super) fn report(&mut self) {
        let bytes = std::mem::take(&mut self.unreported);
        if bytes > 0 {
            self.progress.report(Event::Advanced { task: self.task.clone(), bytes });
        }
    }
}

const CUT: &str = "ended early while it was read; the rest is zeros";

fn changed_fault(entry: &Entry) -> Fault {
    Fault::new(&entry.path, Trouble::Changed, "changed while it was read")
}

/// The map of a file with fewer blocks than its size needs.
fn sparse_map(file: &File, stat: &Stat) -> io::Result<Option<SparseMap>> {
    // `st_blocks` counts 512 bytes, whatever the block size of the file system.
    if stat.st_blocks * 512 >= stat.st_size {
        return Ok(None);
    }
    SparseMap::of_file(file, stat.st_size as u64)
}
