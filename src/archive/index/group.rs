//! Encodes the row groups of an index on a thread of its own, so that the archive does not
//! wait for it.

use super::column::Column;
use crate::encryption::Hashing;
use crate::error::{Code, Error, Result};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use std::fs::File;
use std::io;
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
    thread: Option<JoinHandle<Result<Hashing<File>, ParquetError>>>,
}

impl GroupWriter {
    /// Writes with `writer`; `path` names the file in errors.
    pub(super) fn start(writer: SerializedFileWriter<Hashing<File>>, path: &Path) -> Result<Self> {
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
    pub(super) fn finish(mut self) -> Result<Hashing<File>> {
        self.join()
    }

    fn join(&mut self) -> Result<Hashing<File>> {
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
    mut writer: SerializedFileWriter<Hashing<File>>,
    groups: &Receiver<Group>,
) -> Result<Hashing<File>, ParquetError> {
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
