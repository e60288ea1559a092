//! Copies one file's content out of an archive and hashes it.

use crate::archive::entry::Entry;
use crate::archive::frame::read_error;
use crate::archive::tar::{Segment, SparseMap};
use crate::error::{Code, Error, Result};
use crate::progress::{Event, Progress};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const CHUNK: usize = 256 << 10;
/// Progress is reported this often, in bytes.
const REPORT: u64 = 4 << 20;

/// Where a content goes.
pub(super) enum Sink<'a> {
    /// It is only read.
    Nothing,
    /// Into a file, with its path for errors. Holes stay holes.
    File(&'a File, &'a Path),
    /// Onto a stream, holes as zeros.
    Stream(&'a mut dyn Write),
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8], position: u64) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::File(file, path) => {
                file.write_all_at(bytes, position).map_err(|e| Error::io("write", path, e))
            }
            Self::Stream(output) => output.write_all(bytes).map_err(|e| {
                let error = Error::new(Code::Io, "write to", "the output");
                error.source(e)
            }),
        }
    }
}

/// Reads contents, with one buffer for all files.
pub(super) struct Reading<'a> {
    buffer: Vec<u8>,
    task: &'a str,
    progress: &'a Arc<dyn Progress>,
    unreported: u64,
    cancel: &'a CancellationToken,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        task: &'a str,
        progress: &'a Arc<dyn Progress>,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self { buffer: vec![0; CHUNK], task, progress, unreported: 0, cancel }
    }

    /// Reads the content of `entry` from `data`, a place in `archive`, into `sink`, and returns the SHA-256 of all of it, holes included.
    pub(super) fn copy(
        &mut self,
        archive: &str,
        entry: &Entry,
        map: Option<&SparseMap>,
        data: &mut impl Read,
        sink: &mut Sink<'_>,
    ) -> Result<[u8; 32]> {
        let whole = [Segment { offset: 0, length: entry.size }];
        let segments = map.map_or(&whole[..], SparseMap::segments);
        let mut hash = Sha256::new();
        let mut position = 0;
        for segment in segments {
            self.zeros(segment.offset - position, &mut hash, sink)?;
            position = segment.offset;
            let end = position + segment.length;
            while position < end {
                self.go_on()?;
                let most = usize::try_from(end - position).map_or(CHUNK, |left| left.min(CHUNK));
                let chunk = &mut self.buffer[..most];
                let count = read(data, chunk).map_err(|e| read_error(archive, e))?;
                let chunk = &self.buffer[..count];
                hash.update(chunk);
                sink.write(chunk, position)?;
                position += count as u64;
                self.advance(count as u64);
            }
        }
        self.zeros(entry.size - position, &mut hash, sink)?;
        if let (Sink::File(file, path), Some(_)) = (&sink, map) {
            file.set_len(entry.size).map_err(|e| Error::io("write", path, e))?;
        }
        Ok(hash.finalize().into())
    }

    fn zeros(&mut self, mut count: u64, hash: &mut Sha256, sink: &mut Sink<'_>) -> Result<()> {
        if count > 0 {
            self.buffer.fill(0);
        }
        while count > 0 {
            self.go_on()?;
            let chunk = count.min(CHUNK as u64);
            hash.update(&self.buffer[..chunk as usize]);
            if let Sink::Stream(_) = sink {
                sink.write(&self.buffer[..chunk as usize], 0)?;
            }
            count -= chunk;
        }
        Ok(())
    }

    fn go_on(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(Code::Interrupted, "read", self.task));
        }
        Ok(())
    }

    fn advance(&mut self, bytes: u64) {
        self.unreported += bytes;
        if self.unreported >= REPORT {
            self.report();
        }
    }

    fn report(&mut self) {
        let bytes = std::mem::take(&mut self.unreported);
        if bytes > 0 {
            self.progress.report(Event::Advanced { task: self.task.to_owned(), bytes });
        }
    }

    /// Reports what was not yet, and the end.
    pub(super) fn finish(&mut self) {
        self.report();
        self.progress.report(Event::Finished { task: self.task.to_owned() });
    }
}

/// As `Read::read`, but the end is an error: the archive should hold more.
fn read(data: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    match data.read(into)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
