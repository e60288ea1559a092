//! Where a sparse file has data, and GNU sparse 1.0's way to write it down.

use super::{BLOCK, padding};
use crate::archive::frame::damaged;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};

/// Files in more pieces than this are stored with the rest of their holes as zeros.
const MOST_SEGMENTS: usize = 65_536;
/// A map in an archive may not be longer than this many entries.
const MOST_READ: u64 = 1 << 20;

/// A stretch of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// Where a sparse file has data; all else is zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseMap {
    segments: Vec<Segment>,
    size: u64,
}

impl SparseMap {
    /// A map of a file of `size` bytes.
    ///
    /// # Errors
    /// `InvalidData` unless the segments follow each other inside the file.
    pub fn new(segments: Vec<Segment>, size: u64) -> io::Result<Self> {
        let mut end = 0;
        for segment in &segments {
            let next = segment.offset.checked_add(segment.length);
            match next {
                Some(next) if segment.offset >= end && next <= size => end = next,
                _ => return Err(damaged("sparse map leads outside its file")),
            }
        }
        Ok(Self { segments, size })
    }

    /// Asks the file system where `file`, of `size` bytes, has data. Nothing when it has no
    /// holes or the file system cannot say.
    pub fn of_file(file: &File, size: u64) -> io::Result<Option<Self>> {
        let mut segments = Vec::new();
        let mut position = 0;
        while position < size {
            let start = match seek(file, SeekFrom::Data(position)) {
                Ok(start) => start.min(size),
                Err(Errno::NXIO) => break,
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if start == size {
                break;
            }
            let end = match seek(file, SeekFrom::Hole(start)) {
                Ok(end) if segments.len() + 1 < MOST_SEGMENTS => end.min(size),
                Ok(_) | Err(Errno::NXIO) => size,
                Err(error) => return Err(error.into()),
            };
            segments.push(Segment { offset: start, length: end - start });
            position = end;
        }
        let map = Self { segments, size };
        Ok((map.data_length() < size).then_some(map))
    }

    /// The data, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes of the file, holes included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of data, without holes.
    pub fn data_length(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// The map as it stands before the data: decimal numbers, one a line, filled up to
    /// whole blocks. A file that ends in a hole has a last, empty segment at its end.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let end = self.segments.last().map_or(0, |last| last.offset + last.length);
        let tail = (end < self.size).then_some(Segment { offset: self.size, length: 0 });
        let count = self.segments.len() + usize::from(tail.is_some());
        let mut text = format!("{count}\n");
        for Segment { offset, length } in self.segments.iter().chain(&tail) {
            text.push_str(&format!("{offset}\n{length}\n"));
        }
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len() + padding(bytes.len() as u64), 0);
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote, and how many bytes it took.
    pub(crate) fn read(from: &mut impl Read, size: u64) -> io::Result<(Self, u64)> {
        let mut lines = Lines { from, block: [0; BLOCK], next: BLOCK, taken: 0 };
        let count = lines.number()?;
        if count > MOST_READ {
            return Err(damaged("sparse map is too long"));
        }
        let mut segments = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (offset, length) = (lines.number()?, lines.number()?);
            if length > 0 {
                segments.push(Segment { offset, length });
            } else if offset > size {
                return Err(damaged("sparse map leads outside its file"));
            }
        }
        Ok((Self::new(segments, size)?, lines.taken))
    }
}

struct Lines<'a, R> {
    from: &'a mut R,
    block: [u8; BLOCK],
    next: usize,
    taken: u64,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> io::Result<u64> {
        let mut number: Option<u64> = None;
        loop {
            if self.next == BLOCK {
                self.from.read_exact(&mut self.block)?;
                self.taken += BLOCK as u64;
                self.next = 0;
            }
            let byte = self.block[self.next];
            self.next += 1;
            number = match (byte, number) {
                (b'0'..=b'9', before) => before
                    .unwrap_or(0)
                    .checked_mul(10)
                    .and_then(|tens| tens.checked_add(u64::from(byte - b'0'))),
                (b'\n', Some(number)) => return Ok(number),
                _ => None,
            };
            if number.is_none() {
                return Err(damaged("sparse map is no list of numbers"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_found_and_the_map_is_read_back() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 << 20).unwrap();
        file.write_all_at(b"data", 1 << 20).unwrap();
        file.write_all_at(b"more", 5 << 20).unwrap();
        let map = SparseMap::of_file(&file, 10 << 20).unwrap().unwrap();
        assert_eq!(map.segments().len(), 2);
        let bytes = map.to_bytes();
        assert_eq!(bytes.len() % BLOCK, 0);
        let (read, taken) = SparseMap::read(&mut &bytes[..], 10 << 20).unwrap();
        assert_eq!((read, taken), (map, bytes.len() as u64));
    }

    #[test]
    fn a_file_of_one_hole_has_an_empty_map_and_a_dense_one_none() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let map = SparseMap::of_file(&file, 1 << 20).unwrap().unwrap();
        assert!(map.segments().is_empty());
        assert!(map.to_bytes().starts_with(b"1\n1048576\n0\n\0"));
        file.write_all_at(&[1; 4096], 0).unwrap();
        file.set_len(4096).unwrap();
        assert_eq!(SparseMap::of_file(&file, 4096).unwrap(), None);
    }

    #[test]
    fn hostile_maps_are_refused() {
        for text in ["1\n0\n11\n", "2\n4\n2\n0\n1\n", "1\n18446744073709551615\n9\n", "x", "\n"] {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(BLOCK, 0);
            assert!(SparseMap::read(&mut &bytes[..], 10).is_err(), "{text:?}");
        }
    }
}
