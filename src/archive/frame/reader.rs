//! Opens an archive's frames and reads the whole stream, decompressed on several threads.

use super::table::damaged;
use super::{FrameCursor, FramePlace, SeekTable};
use crate::error::{Code, Error, Result};
use crate::storage::Blob;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio_util::sync::CancellationToken;

/// An archive's frames, opened for reading.
#[derive(Debug, Clone)]
pub struct FrameReader {
    blob: Blob,
    table: Arc<SeekTable>,
}

impl FrameReader {
    /// Opens the archive `path` and reads its seek table.
    ///
    /// # Errors
    /// [`Code::BackupDamaged`] when it is missing, truncated or not an archive.
    pub fn open(blob: &Blob) -> Result<Self> {
        let table = SeekTable::read(blob).map_err(|e| read_error(blob.name(), e))?;
        Ok(Self { blob: blob.clone(), table: Arc::new(table) })
    }

    /// Opens an archive that may be damaged: where its seek table cannot be read, its frames
    /// are looked for one after the other, as far as they are whole.
    ///
    /// # Errors
    /// When there is no such file, or the system cannot read it.
    pub fn salvage(blob: &Blob) -> Result<Self> {
        let table = match SeekTable::read(blob) {
            Err(e) if matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
                SeekTable::scan(blob)
            }
            table => table,
        };
        let table = table.map_err(|e| read_error(blob.name(), e))?;
        Ok(Self { blob: blob.clone(), table: Arc::new(table) })
    }

    /// Where the frames lie.
    pub fn table(&self) -> &SeekTable {
        &self.table
    }

    /// The archive's path, for errors.
    pub fn name(&self) -> &str {
        self.blob.name()
    }

    /// The whole stream from its beginning; frames are decompressed ahead on all cores,
    /// with at most two of them in memory for each thread.
    pub fn stream(&self) -> Result<FrameStream> {
        let count = thread::available_parallelism().map_or(1, usize::from).min(4);
        let (jobs, queue) = sync_channel::<Job>(1);
        let (order, replies) = sync_channel(count);
        let queue = Arc::new(Mutex::new(queue));
        let failed = |e| Error::io("start threads for", Path::new(self.name()), e);
        for _ in 0..count {
            let (queue, blob) = (Arc::clone(&queue), self.blob.clone());
            let worker = thread::Builder::new().name("decompress".into());
            worker.spawn(move || decompress(&queue, &blob)).map_err(failed)?;
        }
        let table = Arc::clone(&self.table);
        let feeder = thread::Builder::new().name("frames".into());
        feeder.spawn(move || feed(&table, &order, &jobs)).map_err(failed)?;
        Ok(FrameStream { replies, current: Vec::new(), taken: 0, failed: false })
    }

    /// A reader that can be put anywhere in the stream; only the frames that are read are
    /// decompressed.
    pub fn read_at(&self, offset: u64) -> FrameCursor {
        FrameCursor::new(self.clone(), offset)
    }

    /// Decompresses frames `numbers`, which compares each with its checksum, and forgets them.
    ///
    /// # Errors
    /// [`Code::BackupDamaged`], [`Code::Interrupted`] when cancelled.
    pub fn check(&self, numbers: Range<usize>, cancel: &CancellationToken) -> Result<()> {
        for number in numbers {
            if cancel.is_cancelled() {
                return Err(Error::new(Code::Interrupted, "read", self.name()));
            }
            self.frame(number).map_err(|e| read_error(self.name(), e))?;
        }
        Ok(())
    }

    /// Frame `number` as it is stored, and how many bytes it holds.
    pub(super) fn stored(&self, number: usize) -> io::Result<(Vec<u8>, u32)> {
        let place = self.table.frames().get(number).ok_or_else(|| damaged("no such frame"))?;
        let mut stored = vec![0; place.stored as usize];
        self.blob.read_exact_at(&mut stored, place.stored_at)?;
        Ok((stored, place.holds))
    }

    /// Decompresses frame `number`.
    pub(super) fn frame(&self, number: usize) -> io::Result<Vec<u8>> {
        let place = self.table.frames().get(number).ok_or_else(|| damaged("no such frame"))?;
        let mut compressed = Vec::new();
        decompress_one(&mut zstd::bulk::Decompressor::new()?, &self.blob, *place, &mut compressed)
    }
}

/// What a failed read of an archive means: bytes that are missing or wrong are damage,
/// anything else is the system's.
pub(crate) fn read_error(name: &str, error: io::Error) -> Error {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match error.kind() {
        InvalidData | UnexpectedEof | NotFound => {
            Error::new(Code::BackupDamaged, "read archive", name).source(error)
        }
        _ => Error::io("read archive", Path::new(name), error),
    }
}

struct Job {
    place: FramePlace,
    reply: SyncSender<io::Result<Vec<u8>>>,
}

/// The decompressed stream, in order.
///
/// Errors of kind `InvalidData` and `UnexpectedEof` mean a damaged archive.
pub struct FrameStream {
    replies: Receiver<Receiver<io::Result<Vec<u8>>>>,
    current: Vec<u8>,
    taken: usize,
    failed: bool,
}

impl Read for FrameStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.current.len() {
            if self.failed {
                return Err(damaged("an earlier frame is damaged"));
            }
            // The buffer goes before the next frame is waited for.
            self.current = Vec::new();
            self.taken = 0;
            let Ok(reply) = self.replies.recv() else { return Ok(0) };
            let frame = reply.recv().map_err(|_| io::Error::other("a thread ended early"));
            self.current = frame.flatten().inspect_err(|_| self.failed = true)?;
        }
        let count = into.len().min(self.current.len() - self.taken);
        into[..count].copy_from_slice(&self.current[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

fn feed(
    table: &SeekTable,
    order: &SyncSender<Receiver<io::Result<Vec<u8>>>>,
    jobs: &SyncSender<Job>,
) {
    for place in table.frames() {
        let (reply, receiver) = sync_channel(1);
        // Either fails when the stream was dropped: then nobody wants the rest.
        if order.send(receiver).is_err() || jobs.send(Job { place: *place, reply }).is_err() {
            return;
        }
    }
}

fn decompress(queue: &Mutex<Receiver<Job>>, blob: &Blob) {
    let mut decompressor = zstd::bulk::Decompressor::new();
    let mut compressed = Vec::new();
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { place, reply }) = job else { return };
        let frame = match &mut decompressor {
            Ok(decompressor) => decompress_one(decompressor, blob, place, &mut compressed),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        drop(reply.send(frame));
    }
}

fn decompress_one(
    decompressor: &mut zstd::bulk::Decompressor<'_>,
    blob: &Blob,
    place: FramePlace,
    compressed: &mut Vec<u8>,
) -> io::Result<Vec<u8>> {
    compressed.resize(place.stored as usize, 0);
    blob.read_exact_at(compressed, place.stored_at)?;
    let mut frame = Vec::with_capacity(place.holds as usize);
    decompressor.decompress_to_buffer(compressed, &mut frame).map_err(|e| {
        damaged(format!("frame at byte {} cannot be decompressed: {e}", place.stored_at))
    })?;
    if frame.len() != place.holds as usize {
        return Err(damaged(format!("frame at byte {} has a wrong size", place.stored_at)));
    }
    Ok(frame)
}
