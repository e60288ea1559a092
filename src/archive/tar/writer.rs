//! Writes the members of a tar.

use super::map::SparseMap;
use super::{BLOCK, header, padding};
use crate::archive::entry::{Entry, Kind};
use std::io::{self, Write};

/// Writes members one after the other: [`Self::member`], its data through `Write`, the next.
pub struct TarWriter<W: Write> {
    inner: W,
    position: u64,
    left: u64,
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    /// Writes into `inner` from its beginning.
    pub fn new(inner: W) -> Self {
        Self { inner, position: 0, left: 0, padding: 0 }
    }

    /// Begins a member and returns the offset of its data in the tar: of the map, for a
    /// sparse file. Exactly the entry's size (the map's data, for a sparse file) must be
    /// written then.
    pub fn member(&mut self, entry: &Entry, map: Option<&SparseMap>) -> io::Result<u64> {
        self.end_member()?;
        let map_bytes = map.map(SparseMap::to_bytes).unwrap_or_default();
        let data = match (entry.kind, map) {
            (_, Some(map)) => map.data_length(),
            (Kind::File, None) => entry.size,
            _ => 0,
        };
        let stored = data + map_bytes.len() as u64;
        self.put(&header::blocks(entry, map, stored)?)?;
        let offset = self.position;
        self.put(&map_bytes)?;
        self.left = data;
        self.padding = padding(stored);
        Ok(offset)
    }

    /// Ends the tar with two empty blocks and gives the inner writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_member()?;
        self.put(&[0; 2 * BLOCK])?;
        Ok(self.inner)
    }

    /// Gives the inner writer back without ending the member or the tar.
    pub(crate) fn into_inner(self) -> W {
        self.inner
    }

    fn end_member(&mut self) -> io::Result<()> {
        if self.left != 0 {
            let left = self.left;
            return Err(io::Error::other(format!("a member lacks {left} bytes of its data")));
        }
        let padding = std::mem::take(&mut self.padding);
        self.put(&[0; BLOCK][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

impl<W: Write> Write for TarWriter<W> {
    /// Writes data of the current member.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::other("a member has more data than its header says"));
        }
        self.put(bytes)?;
        self.left -= bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
