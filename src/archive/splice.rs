//! Puts one whole archive together of those that hold the contents of a tree.
//!
//! The new tar is what a full backup would have written. Where a stretch of it is the same,
//! byte for byte, as a stretch of one of the archives, headers and all, the frames that lie
//! wholly in that stretch are copied as they are; the rest is compressed again. So a big file
//! costs its first and last frame at most, and a run of small files that nothing came between
//! the frames at both ends of the run.

use super::check::is_safe;
use super::entry::Kind;
use super::extract::{Archives, Locate, OpenArchive};
use super::frame::{FrameSplicer, Spliced, read_error};
use super::index::{IndexReader, IndexWriter, Place, Row};
use super::tar::{SparseMap, TarWriter, padding};
use super::write::Tree;
use crate::error::{Code, Error, Result};
use std::io::{self, Read, Seek, SeekFrom};
use tokio_util::sync::CancellationToken;

const CHUNK: usize = 256 << 10;

/// Writes the archive of `tree` and its rows into `index`: all that `rows` list of the
/// component, found with `locate`. The archives must be whole.
///
/// # Errors
/// `backup_damaged`, `interrupted`; the unfinished archive is then left to the caller.
pub fn splice_tree(
    tree: &Tree<'_>,
    rows: &IndexReader,
    locate: Locate<'_>,
    index: &mut IndexWriter,
    cancel: &CancellationToken,
) -> Result<Spliced> {
    let output = FrameSplicer::create(tree.archive, tree.level, tree.recipients)?;
    let mut splicing =
        Splicing { sources: Sources(Archives::new(locate)), output, run: None, position: 0 };
    let written = |e| Error::io("write archive", tree.archive, e);
    let mut offsets = Vec::new();
    for row in rows.rows(Some(tree.component)) {
        if cancel.is_cancelled() {
            return Err(Error::new(Code::Interrupted, "archive", tree.component));
        }
        let row = row?;
        is_safe(&tree.archive.to_string_lossy(), &row.entry)?;
        offsets.push(splicing.member(&row).map_err(|e| splicing.failed(tree, e))?);
    }
    let end = [0; 1024];
    splicing.literal(&end).and_then(|()| splicing.close()).map_err(written)?;
    let spliced = splicing.output.finish()?;
    for (row, offset) in rows.rows(Some(tree.component)).zip(offsets) {
        let row = row?;
        let place = row.place.map(|place| Place {
            frame: spliced.table.frame_at(offset).unwrap_or_default() as u64,
            offset,
            sparse: place.sparse,
        });
        let (stored_in, archive) = (tree.stored_in.to_owned(), tree.object.to_owned());
        index.append(&Row { stored_in, archive, place, ..row })?;
    }
    Ok(spliced)
}

struct Splicing<'a> {
    sources: Sources<'a>,
    output: FrameSplicer,
    /// What is the same as in an archive, as far as it is known to be.
    run: Option<Run>,
    /// Bytes of the new tar so far.
    position: u64,
}

/// A stretch of an archive's tar, of which everything before `written` is put out.
struct Run {
    source: Source,
    written: u64,
    end: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    stored_in: String,
    archive: String,
}

impl Splicing<'_> {
    /// Adds a member with its data, and returns the offset of these in the new tar.
    fn member(&mut self, row: &Row) -> io::Result<u64> {
        let Some(place) = row.place.filter(|_| row.entry.kind == Kind::File) else {
            let mut header = TarWriter::new(Vec::new());
            header.member(&row.entry, None)?;
            let header = header.into_inner();
            self.literal(&header)?;
            return Ok(self.position);
        };
        let source = Source { stored_in: row.stored_in.clone(), archive: row.archive.clone() };
        let map = match place.sparse {
            true => {
                let cursor = &mut self.sources.at(&source)?.cursor;
                cursor.seek(SeekFrom::Start(place.offset))?;
                Some(SparseMap::read(cursor, row.entry.size)?.0)
            }
            false => None,
        };
        let mut header = TarWriter::new(Vec::new());
        let before = header.member(&row.entry, map.as_ref())?;
        // The map of a sparse file stands in front of its data.
        let header = header.into_inner();
        let map_bytes = header.len() as u64 - before;
        let data = map.as_ref().map_or(row.entry.size, SparseMap::data_length);
        let padding = padding(data + map_bytes);
        let offset = self.position + before;
        let theirs = place.offset.checked_sub(before);
        let whole = header.len() as u64 + data + padding as u64;
        match theirs {
            Some(start) if self.sources.matches(&source, start, &header)? => {
                self.extend(&source, start, whole)?;
            }
            _ => {
                self.literal(&header)?;
                self.extend(&source, place.offset + map_bytes, data)?;
                self.literal(&[0; 512][..padding])?;
            }
        }
        Ok(offset)
    }

    /// Adds bytes that may follow in the archive as well.
    fn literal(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(Run { source, end, .. }) = &self.run {
            let (source, end) = (source.clone(), *end);
            if self.sources.matches(&source, end, bytes)? {
                return self.extend(&source, end, bytes.len() as u64);
            }
        }
        self.close()?;
        self.position += bytes.len() as u64;
        self.output.add(bytes)
    }

    /// Adds a stretch of an archive.
    fn extend(&mut self, source: &Source, start: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        let follows =
            self.run.as_ref().is_some_and(|run| run.source == *source && run.end == start);
        if !follows {
            self.close()?;
        }
        self.position += length;
        let mut run = match self.run.take() {
            Some(run) => Run { end: start + length, ..run },
            None => Run { source: source.clone(), written: start, end: start + length },
        };
        let opened = self.sources.at(source)?;
        let missing = || io::Error::from(io::ErrorKind::UnexpectedEof);
        loop {
            let number = match opened.frames.table().frame_at(run.written) {
                Some(number) => number,
                None if run.written == run.end => break,
                None => return Err(missing()),
            };
            let frame = opened.frames.table().frames()[number];
            let frame_end = frame.starts_at + u64::from(frame.holds);
            if frame_end > run.end {
                break;
            }
            if frame.starts_at == run.written {
                self.output.copy(&opened.frames, number)?;
            } else {
                copy(opened, run.written, frame_end, &mut self.output)?;
            }
            run.written = frame_end;
        }
        self.run = Some(run);
        Ok(())
    }

    /// Puts out what is left of the stretch.
    fn close(&mut self) -> io::Result<()> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let opened = self.sources.at(&run.source)?;
        copy(opened, run.written, run.end, &mut self.output)
    }

    fn failed(&self, tree: &Tree<'_>, error: io::Error) -> Error {
        read_error(&tree.archive.to_string_lossy(), error)
    }
}

fn copy(from: &mut OpenArchive, start: u64, end: u64, output: &mut FrameSplicer) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK.min(usize::try_from(end - start).unwrap_or(CHUNK))];
    from.cursor.seek(SeekFrom::Start(start))?;
    let mut position = start;
    while position < end {
        let most =
            usize::try_from(end - position).map_or(buffer.len(), |left| left.min(buffer.len()));
        from.cursor.read_exact(&mut buffer[..most])?;
        output.add(&buffer[..most])?;
        position += most as u64;
    }
    Ok(())
}

/// The archives that are copied from.
struct Sources<'a>(Archives<'a>);

impl Sources<'_> {
    fn at(&mut self, source: &Source) -> io::Result<&mut OpenArchive> {
        let opened = self.0.at(&source.stored_in, &source.archive);
        opened.map_err(|e| super::frame::damaged(e.to_string()))
    }

    /// Whether the archive's tar has these bytes at `start`.
    fn matches(&mut self, source: &Source, start: u64, bytes: &[u8]) -> io::Result<bool> {
        let opened = self.at(source)?;
        let fits = start
            .checked_add(bytes.len() as u64)
            .is_some_and(|end| end <= opened.frames.table().length());
        if !fits {
            return Ok(false);
        }
        opened.cursor.seek(SeekFrom::Start(start))?;
        let mut theirs = vec![0; bytes.len()];
        opened.cursor.read_exact(&mut theirs)?;
        Ok(theirs == bytes)
    }
}

#[cfg(test)]
mod tests;
