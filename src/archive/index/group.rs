//! Encodes the row groups of an index on a thread of its own, so that the archive does not
//! wait for it.

use super::column::Column;
use crate::error::{Code, Error, Result};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// The columns of one row group.
pub(super) type Group = Vec<Column>;

/// Writes row groups into a file. Memory: the group that is encoded, while its caller fills
/// the next one.
pub(super) struct GroupWriter {
    path: PathBuf,
    groups: Option<SyncSender<Group>>,
    thread: Option<JoinHandle<Result<Hashing, ParquetError>>>,
}

impl GroupWriter {
    /// Writes with `writer`; `path` names the file in errors.
    pub(super) fn start(writer: SerializedFileWriter<Hashing>, path: &Path) -> Result<Self> {
        let (groups, receiver) = sync_channel(0);
        let thread = thread::Builder::new().name("index".into());
        let thread = thread
            .spawn(move || encode(writer, &receiver))
            .map_err(|e| Error::io("start a thread for", path, e))?;
        Ok(Self { path: path.to_owned(), groups: Some(groups), thread: Some(thread) })
    }

    /// Hands over one group; waits for the one before to be encoded.
    pub(super) fn write(&mut self, group: Group) -> Result<()> {
        match self.groups.as_ref().map(|groups| groups.send(group)) {
            Some(Ok(())) => Ok(()),
            _ => self.join().and_then(|_| Err(self.failed("the encoding thread ended early"))),
        }
    }

    /// Waits for the last group, writes Parquet's footer and gives the file back.
    pub(super) fn finish(mut self) -> Result<Hashing> {
        self.join()
    }

    fn join(&mut self) -> Result<Hashing> {
        self.groups = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.map_err(|e| parquet_error(&self.path, e)),
            Some(Err(_)) => Err(self.failed("the encoding thread panicked")),
            None => Err(self.failed("an earlier write failed")),
        }
    }

    fn failed(&self, cause: &str) -> Error {
        Error::new(Code::Io, "write index", self.path.display()).cause(cause)
    }
}

impl Drop for GroupWriter {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // Given up: nobody waits for the error of an unfinished index.
            drop(self.join());
        }
    }
}

fn encode(
    mut writer: SerializedFileWriter<Hashing>,
    groups: &Receiver<Group>,
) -> Result<Hashing, ParquetError> {
    for columns in groups {
        let mut group = writer.next_row_group()?;
        for column in columns {
            let Some(mut writer) = group.next_column()? else { break };
            column.write(writer.untyped())?;
            writer.close()?;
        }
        group.close()?;
    }
    writer.into_inner()
}

/// A full disk reaches us wrapped in Parquet's error.
pub(super) fn parquet_error(path: &Path, error: ParquetError) -> Error {
    let error = match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    };
    Error::io("write index", path, error)
}

/// A file that is hashed while it is written.
pub(super) struct Hashing {
    pub(super) file: File,
    pub(super) hash: Sha256,
    pub(super) size: u64,
}

impl From<File> for Hashing {
    fn from(file: File) -> Self {
        Self { file, hash: Sha256::new(), size: 0 }
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
