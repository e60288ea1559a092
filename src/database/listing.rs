//! Reading a dump without a server: what it holds, and whether it can be read to its end.

use super::command::ToolCommand;
use super::streams::{Count, Noted};
use super::tools::Tools;
use crate::config::DumpFormat;
use crate::error::{Code, Error, Result};
use async_compression::tokio::bufread::ZstdDecoder;
use std::path::Path;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// The last line that `pg_dump` writes into a plain dump.
const COMPLETE: &str = "-- PostgreSQL database dump complete";

/// How much of a line is kept.
const MAX_LINE: usize = 1024;

/// The entries of the dump at `path`, as `pg_restore --list` prints them; of a plain dump the
/// comments that introduce its parts.
pub async fn list_dump(tools: &Tools, path: &Path, format: DumpFormat) -> Result<Vec<String>> {
    if format == DumpFormat::Plain {
        return read_plain(path).await.map(|read| read.entries);
    }
    let mut output = Vec::new();
    run(tools, path, format, "list", |command| command.arg("--list"), &mut output).await?;
    let lines = String::from_utf8_lossy(&output);
    Ok(lines.lines().filter(|l| !l.is_empty() && !l.starts_with(';')).map(Into::into).collect())
}

/// Reads the dump at `path` to its end, every row of it, and returns the bytes of SQL that
/// it stands for. Fails with [`Code::BackupDamaged`] where it is not whole.
pub async fn read_dump(tools: &Tools, path: &Path, format: DumpFormat) -> Result<u64> {
    if format == DumpFormat::Plain {
        return read_plain(path).await.map(|read| read.bytes);
    }
    let mut count = Count::default();
    run(tools, path, format, "read", |command| command.arg("--file=-"), &mut count).await?;
    Ok(count.0)
}

/// Writes the dump at `path` to `output`: as it was dumped where that is one stream, or, for a
/// dump in directory format and where `as_sql` says so, as SQL. Fails with
/// [`Code::BackupDamaged`] where it cannot be read to its end.
pub async fn write_dump(
    tools: Option<&Tools>,
    path: &Path,
    format: DumpFormat,
    as_sql: bool,
    output: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<()> {
    if format == DumpFormat::Plain || (!as_sql && format != DumpFormat::Directory) {
        let mut input = open(path, format).await?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = input.read(&mut buffer).await.map_err(|e| damaged(path, e))?;
            if count == 0 {
                break;
            }
            let written = output.write_all(&buffer[..count]).await;
            written.map_err(|e| Error::new(Code::Io, "write to", "the output").source(e))?;
        }
        return Ok(());
    }
    let tools = tools.ok_or_else(|| {
        Error::new(Code::ToolMissing, "read dump", path.display())
            .cause("pg_restore is needed to make SQL of it")
    })?;
    run(tools, path, format, "read", |command| command.arg("--file=-"), output).await
}

/// The dump at `path` as a stream, decompressed where we compressed it.
pub(super) async fn open(
    path: &Path,
    format: DumpFormat,
) -> Result<Box<dyn AsyncRead + Send + Unpin>> {
    let file = File::open(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(Code::BackupDamaged, "open dump", path.display()).source(error)
        }
        _ => Error::io("open dump", path, error),
    })?;
    Ok(match format {
        DumpFormat::Plain | DumpFormat::Tar => {
            // Other programs may append frames; every zstd reads them as one.
            let mut decoder = ZstdDecoder::new(BufReader::with_capacity(128 * 1024, file));
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        DumpFormat::Directory | DumpFormat::Custom => Box::new(file),
    })
}

/// The error of a dump that could not be decompressed.
pub(super) fn damaged(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::new(Code::BackupDamaged, "read dump", path.display()).cause(cause)
}

async fn run(
    tools: &Tools,
    path: &Path,
    format: DumpFormat,
    verb: &str,
    arguments: impl FnOnce(ToolCommand) -> ToolCommand,
    output: &mut (dyn tokio::io::AsyncWrite + Send + Unpin),
) -> Result<()> {
    let command = tools.program("pg_restore").arg(format!("--format={}", format.as_str()));
    let command = arguments(command);
    let subject = path.display().to_string();
    let attempted = format!("{verb} dump");
    if tools.are_local() && format != DumpFormat::Tar {
        let command = command.arg(path);
        return tools.run(&command, &attempted, &subject, None, output).await;
    }
    let mut input = open(path, format).await?;
    let mut noted = Noted::new(&mut input, None);
    let done = tools.run(&command, &attempted, &subject, Some(&mut noted), output).await;
    noted.failure().map_or(done, |cause| Err(damaged(path, cause)))
}

struct Plain {
    entries: Vec<String>,
    bytes: u64,
}

async fn read_plain(path: &Path) -> Result<Plain> {
    let mut reader = BufReader::with_capacity(128 * 1024, open(path, DumpFormat::Plain).await?);
    let mut plain = Plain { entries: Vec::new(), bytes: 0 };
    let mut complete = false;
    // A line may be as long as a row; only its beginning says what it is.
    let mut line = Vec::new();
    loop {
        let bytes = reader.fill_buf().await.map_err(|error| damaged(path, error))?;
        if bytes.is_empty() {
            break;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(bytes.len(), |end| end + 1);
        let room = MAX_LINE.saturating_sub(line.len()).min(used);
        line.extend_from_slice(&bytes[..room]);
        plain.bytes += used as u64;
        reader.consume(used);
        if end.is_some() {
            let text = line.trim_ascii_end();
            complete |= text == COMPLETE.as_bytes();
            if let Some(entry) = text.strip_prefix(b"-- Name: ") {
                plain.entries.push(String::from_utf8_lossy(entry).into_owned());
            }
            line.clear();
        }
    }
    if complete { Ok(plain) } else { Err(damaged(path, "its end is missing")) }
}
