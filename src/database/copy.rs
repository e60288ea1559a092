//! `COPY`, between two sessions and between a session and a file.

use super::connection::Connection;
use crate::error::{Error, Result};
use futures_util::{SinkExt, StreamExt, pin_mut};
use std::io::{Cursor, Read, Write};
use std::path::Path;

/// How much of a file is sent at once.
const CHUNK: usize = 128 * 1024;

impl Connection {
    /// Sends what `COPY … TO STDOUT` returns here to `COPY … FROM STDIN` of another session;
    /// returns how many rows that took.
    pub(super) async fn copy_to(
        &self,
        attempted: &str,
        sql: &str,
        other: &Self,
        into: &str,
    ) -> Result<u64> {
        let (ours, theirs) = (|e| self.failed(attempted, &e), |e| other.failed(attempted, &e));
        let stream = self.client().copy_out(sql).await.map_err(ours)?;
        let sink = other.client().copy_in(into).await.map_err(theirs)?;
        pin_mut!(stream, sink);
        while let Some(chunk) = stream.next().await {
            sink.send(chunk.map_err(ours)?).await.map_err(theirs)?;
        }
        sink.finish().await.map_err(theirs)
    }

    /// Writes what `COPY … TO STDOUT` returns to a file that is made for it, durably.
    pub(super) async fn copy_to_file(
        &self,
        attempted: &str,
        sql: &str,
        file: &mut std::fs::File,
        path: &Path,
    ) -> Result<()> {
        let failed = |e| Error::io("write", path, e);
        let stream = self.client().copy_out(sql).await.map_err(|e| self.failed(attempted, &e))?;
        pin_mut!(stream);
        while let Some(chunk) = stream.next().await {
            file.write_all(&chunk.map_err(|e| self.failed(attempted, &e))?).map_err(failed)?;
        }
        file.sync_all().map_err(failed)
    }

    /// Sends a file to `COPY … FROM STDIN`.
    pub(super) async fn copy_from_file(
        &self,
        attempted: &str,
        sql: &str,
        path: &Path,
    ) -> Result<u64> {
        let failed = |e| Error::io("read", path, e);
        let said = |e| self.failed(attempted, &e);
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let sink = self.client().copy_in::<_, Cursor<Vec<u8>>>(sql).await.map_err(said)?;
        pin_mut!(sink);
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = file.read(&mut chunk).map_err(failed)?;
            if read == 0 {
                break;
            }
            chunk.truncate(read);
            sink.send(Cursor::new(chunk)).await.map_err(said)?;
        }
        sink.finish().await.map_err(said)
    }
}
