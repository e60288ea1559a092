//! Writes a stream as frames, compressed on several threads, in order.

use super::{FRAME_SIZE, SeekTable, StoredArchive};
use crate::encryption::{NOBODY, NewObject, Recipients};
use crate::error::{Error, Result};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Where an archive's bytes go.
pub trait Sink: Write + Send + 'static {}

impl<W: Write + Send + 'static> Sink for W {}

type Compressed = io::Result<(Vec<u8>, usize)>;

struct Job {
    input: Vec<u8>,
    reply: SyncSender<Compressed>,
}

/// Writes what it is given as frames of [`FRAME_SIZE`] input bytes.
///
/// Memory: twice the frame size and one compression context for each thread; the number of
/// threads is lowered for high levels, so that it stays below 200 MiB.
pub struct FrameWriter<W: Sink> {
    path: PathBuf,
    buffer: Vec<u8>,
    position: u64,
    jobs: Option<SyncSender<Job>>,
    order: Option<SyncSender<Receiver<Compressed>>>,
    spare: Receiver<Vec<u8>>,
    threads: Vec<JoinHandle<()>>,
    output: Option<JoinHandle<io::Result<(W, SeekTable)>>>,
}

impl FrameWriter<NewObject> {
    /// Creates the file `path` (mode 0600, must not exist) and writes frames of `level`.
    pub fn create(path: &Path, level: i32) -> Result<Self> {
        Self::create_for(&NOBODY, path, level)
    }

    /// As [`Self::create`], encrypted for `recipients`.
    pub fn create_for(recipients: &Recipients, path: &Path, level: i32) -> Result<Self> {
        let object = NewObject::create(path, recipients);
        Self::new(object.map_err(|e| Error::io("create archive", path, e))?, path, level)
    }

    /// Ends the last frame and writes the seek table. Nothing is synced to disk: the writers
    /// may be held, and the backup is synced as a whole when it is published.
    pub fn finish(self) -> Result<StoredArchive> {
        let path = self.path.clone();
        let (frames, object) = self.into_sink()?;
        let stored = object.finish().map_err(|e| Error::io("write archive", &path, e))?;
        Ok(StoredArchive { size: stored.size, sha256: stored.sha256, frames })
    }
}

impl<W: Sink> FrameWriter<W> {
    /// Writes frames of zstd `level` into `sink`; `path` names it in errors.
    pub fn new(sink: W, path: &Path, level: i32) -> Result<Self> {
        let count = thread_count(level);
        let (jobs, queue) = sync_channel::<Job>(1);
        let (order, replies) = sync_channel(count + 1);
        let (give_back, spare) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::with_capacity(count);
        let spawn_error = |e| Error::io("start threads for", path, e);
        for _ in 0..count {
            let (queue, give_back) = (Arc::clone(&queue), give_back.clone());
            let worker = thread::Builder::new().name("compress".into());
            let worker = worker.spawn(move || compress(&queue, &give_back, level));
            threads.push(worker.map_err(spawn_error)?);
        }
        let output = thread::Builder::new().name("archive".into());
        let output = output.spawn(move || write_in_order(sink, replies)).map_err(spawn_error)?;
        Ok(Self {
            path: path.to_owned(),
            buffer: Vec::with_capacity(FRAME_SIZE),
            position: 0,
            jobs: Some(jobs),
            order: Some(order),
            spare,
            threads,
            output: Some(output),
        })
    }

    /// How many bytes were written so far, uncompressed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Ends the last frame, writes the seek table and flushes. Returns the number of frames,
    /// and gives the sink back.
    pub fn into_sink(mut self) -> Result<(u64, W)> {
        let path = self.path.clone();
        let failed = |e| Error::io("write archive", &path, e);
        if !self.buffer.is_empty() {
            self.submit().map_err(failed)?;
        }
        let (mut sink, table) = self.join().map_err(failed)?;
        let bytes = table.to_bytes().map_err(failed)?;
        sink.write_all(&bytes).and_then(|()| sink.flush()).map_err(failed)?;
        Ok((table.frames().len() as u64, sink))
    }

    fn submit(&mut self) -> io::Result<()> {
        let mut fresh = self.spare.try_recv().unwrap_or_default();
        fresh.clear();
        fresh.reserve_exact(FRAME_SIZE);
        let input = std::mem::replace(&mut self.buffer, fresh);
        let (reply, receiver) = sync_channel(1);
        let sent = match (&self.order, &self.jobs) {
            // The place in the order is taken first: it bounds the frames under way.
            (Some(order), Some(jobs)) => {
                order.send(receiver).is_ok() && jobs.send(Job { input, reply }).is_ok()
            }
            _ => false,
        };
        if sent {
            return Ok(());
        }
        Err(match self.join() {
            Err(error) => error,
            Ok(_) => io::Error::other("the writing thread ended early"),
        })
    }

    fn join(&mut self) -> io::Result<(W, SeekTable)> {
        self.jobs = None;
        self.order = None;
        let output = self.output.take().map(JoinHandle::join);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| io::Error::other("a compressing thread panicked"))?;
        }
        match output {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the writing thread panicked")),
            None => Err(io::Error::other("an earlier write failed")),
        }
    }
}

impl<W: Sink> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(FRAME_SIZE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.position += taken as u64;
        if self.buffer.len() == FRAME_SIZE {
            self.submit()?;
        }
        Ok(taken)
    }

    /// Does nothing: a frame ends only when it is full or with `finish`.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Sink> Drop for FrameWriter<W> {
    fn drop(&mut self) {
        if self.output.is_some() {
            // Given up: nobody waits for the error of an unfinished archive.
            drop(self.join());
        }
    }
}

fn compress(queue: &Mutex<Receiver<Job>>, give_back: &Sender<Vec<u8>>, level: i32) {
    let compressor = zstd::bulk::Compressor::new(level).and_then(|mut compressor| {
        compressor.include_checksum(true)?;
        compressor.include_contentsize(true)?;
        Ok(compressor)
    });
    let mut compressor = match compressor {
        Ok(compressor) => compressor,
        Err(error) => return refuse(queue, &error),
    };
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { input, reply }) = job else { return };
        let compressed = compressor.compress(&input).map(|mut bytes| {
            // The compressor reserves for the worst case.
            bytes.shrink_to_fit();
            (bytes, input.len())
        });
        drop(give_back.send(input));
        drop(reply.send(compressed));
    }
}

/// Answers every job with the reason why no compressor could be made.
fn refuse(queue: &Mutex<Receiver<Job>>, error: &io::Error) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        drop(job.reply.send(Err(io::Error::new(error.kind(), error.to_string()))));
    }
}

fn write_in_order<W: Sink>(
    mut sink: W,
    replies: Receiver<Receiver<Compressed>>,
) -> io::Result<(W, SeekTable)> {
    let mut table = SeekTable::default();
    for reply in replies {
        let (bytes, holds) =
            reply.recv().map_err(|_| io::Error::other("a compressing thread ended early"))??;
        sink.write_all(&bytes)?;
        // Both are bounded by the frame size, far below 4 GiB.
        table.push(bytes.len() as u32, holds as u32);
    }
    Ok((sink, table))
}

/// As many threads as there are cores and as the level's memory allows.
fn thread_count(level: i32) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // One compression context for 8 MiB of input takes about 4 MiB up to level 4, 36 MiB
    // at level 9, 70 MiB at level 15 and up to 140 MiB above (zstd's table of parameters).
    let most = match level {
        ..=4 => 6,
        5..=9 => 3,
        10..=15 => 2,
        _ => 1,
    };
    cores.min(most)
}
