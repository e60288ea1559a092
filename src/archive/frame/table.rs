//! The seek table at the end of an archive.

use crate::storage::Blob;
use std::io;

const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
/// What a zstd frame begins with (RFC 8878, section 3.1.1).
const FRAME_MAGIC: u32 = 0xFD2F_B528;
/// More than `ZSTD_compressBound` of what a frame of ours holds.
const LONGEST_FRAME: usize = super::FRAME_SIZE + super::FRAME_SIZE / 8;
const FOOTER: u64 = 9;
const HEADER: u64 = 8;
/// Bit 7 of the descriptor: each entry has a checksum behind its two sizes.
const CHECKSUM_FLAG: u8 = 0x80;
/// A larger frame than this cannot be ours: it would be a way to exhaust memory.
const LARGEST_FRAME: u32 = 64 << 20;

/// Where one frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePlace {
    /// Its first byte in the file.
    pub stored_at: u64,
    /// Its bytes in the file.
    pub stored: u32,
    /// The offset of its first byte in the decompressed stream.
    pub starts_at: u64,
    /// Its bytes once decompressed.
    pub holds: u32,
}

/// Where every frame lies, in the order of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeekTable {
    frames: Vec<FramePlace>,
}

impl SeekTable {
    /// Adds the frame that follows the last one.
    pub fn push(&mut self, stored: u32, holds: u32) {
        let (stored_at, starts_at) = (self.stored_end(), self.length());
        self.frames.push(FramePlace { stored_at, stored, starts_at, holds });
    }

    /// Every frame.
    pub fn frames(&self) -> &[FramePlace] {
        &self.frames
    }

    /// Bytes of the whole decompressed stream.
    pub fn length(&self) -> u64 {
        self.frames.last().map_or(0, |last| last.starts_at + u64::from(last.holds))
    }

    /// The number of the frame that holds the decompressed byte at `offset`.
    pub fn frame_at(&self, offset: u64) -> Option<usize> {
        let after = self.frames.partition_point(|frame| frame.starts_at <= offset);
        let number = after.checked_sub(1)?;
        let frame = self.frames[number];
        (offset - frame.starts_at < u64::from(frame.holds)).then_some(number)
    }

    /// The table as the skippable frame that ends the file.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let too_many = |_| io::Error::new(io::ErrorKind::FileTooLarge, "too many frames");
        let count = u32::try_from(self.frames.len()).map_err(too_many)?;
        let body = u64::from(count) * 8 + FOOTER;
        let mut bytes = Vec::with_capacity((HEADER + body) as usize);
        bytes.extend(SKIPPABLE_MAGIC.to_le_bytes());
        bytes.extend(u32::try_from(body).map_err(too_many)?.to_le_bytes());
        for frame in &self.frames {
            bytes.extend(frame.stored.to_le_bytes());
            bytes.extend(frame.holds.to_le_bytes());
        }
        bytes.extend(count.to_le_bytes());
        bytes.push(0);
        bytes.extend(SEEKABLE_MAGIC.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the table from the end of an archive and checks that it describes the whole file.
    ///
    /// # Errors
    /// `InvalidData` when the file is truncated or is not such an archive.
    pub fn read(blob: &Blob) -> io::Result<Self> {
        let size = blob.size();
        let mut footer = [0u8; FOOTER as usize];
        let footer_at = size.checked_sub(FOOTER).ok_or_else(|| damaged("too short"))?;
        blob.read_exact_at(&mut footer, footer_at)?;
        let [c0, c1, c2, c3, descriptor, m0, m1, m2, m3] = footer;
        if u32::from_le_bytes([m0, m1, m2, m3]) != SEEKABLE_MAGIC {
            return Err(damaged("no seek table at its end: truncated or not an archive"));
        }
        let count = u64::from(u32::from_le_bytes([c0, c1, c2, c3]));
        let width = if descriptor & CHECKSUM_FLAG != 0 { 12 } else { 8 };
        let body = count * width + FOOTER;
        let table_at =
            size.checked_sub(HEADER + body).ok_or_else(|| damaged("seek table is cut"))?;
        let mut header = [0u8; HEADER as usize];
        blob.read_exact_at(&mut header, table_at)?;
        let mut expected = SKIPPABLE_MAGIC.to_le_bytes().to_vec();
        expected.extend((body as u32).to_le_bytes());
        if header != *expected || body > u64::from(u32::MAX) {
            return Err(damaged("seek table has a wrong header"));
        }
        let mut entries = vec![0u8; (count * width) as usize];
        blob.read_exact_at(&mut entries, table_at + HEADER)?;
        let mut table = Self::default();
        for entry in entries.chunks_exact(width as usize) {
            let stored = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let holds = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            if holds > LARGEST_FRAME || stored > 2 * LARGEST_FRAME {
                return Err(damaged("seek table names an impossible size"));
            }
            table.push(stored, holds);
        }
        if table.stored_end() != table_at {
            return Err(damaged("seek table does not fit the file's size"));
        }
        Ok(table)
    }

    /// Looks for frames from the beginning of an archive on, up to the first that is cut or
    /// damaged in its structure.
    pub fn scan(blob: &Blob) -> io::Result<Self> {
        let size = blob.size();
        let mut table = Self::default();
        let mut bytes = vec![0; LONGEST_FRAME];
        loop {
            let at = table.stored_end();
            let most =
                usize::try_from(size - at).map_or(LONGEST_FRAME, |left| left.min(LONGEST_FRAME));
            blob.read_exact_at(&mut bytes[..most], at)?;
            let found = &bytes[..most];
            if !found.starts_with(&FRAME_MAGIC.to_le_bytes()) {
                return Ok(table);
            }
            let stored = zstd::zstd_safe::find_frame_compressed_size(found);
            let holds = zstd::zstd_safe::get_frame_content_size(found);
            match (stored.map(u32::try_from), holds.map(|holds| holds.map(u32::try_from))) {
                (Ok(Ok(stored)), Ok(Some(Ok(holds)))) if holds <= LARGEST_FRAME && stored > 0 => {
                    table.push(stored, holds);
                }
                _ => return Ok(table),
            }
        }
    }

    fn stored_end(&self) -> u64 {
        self.frames.last().map_or(0, |last| last.stored_at + u64::from(last.stored))
    }
}

/// The error of bytes that are not what was written.
pub(crate) fn damaged(cause: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::sync::Arc;

    fn blob(file: &File) -> Blob {
        let size = file.metadata().unwrap().len();
        Blob::new(Arc::new(file.try_clone().unwrap()), size, "a.zst")
    }

    fn table() -> SeekTable {
        let mut table = SeekTable::default();
        table.push(10, 100);
        table.push(20, 50);
        table
    }

    #[test]
    fn offsets_lead_to_their_frame() {
        let table = table();
        assert_eq!(table.frame_at(0), Some(0));
        assert_eq!(table.frame_at(99), Some(0));
        assert_eq!(table.frame_at(100), Some(1));
        assert_eq!(table.frame_at(150), None);
        assert_eq!(SeekTable::default().frame_at(0), None);
    }

    #[test]
    fn frames_are_found_without_their_table_up_to_the_first_that_is_cut() {
        let mut file = tempfile::tempfile().unwrap();
        let mut written = SeekTable::default();
        let mut end = 0;
        for length in [5000_usize, 70, 3000] {
            let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
            compressor.include_contentsize(true).unwrap();
            let bytes: Vec<u8> = (0..length).map(|n| (n * n % 251) as u8).collect();
            let frame = compressor.compress(&bytes).unwrap();
            file.write_all(&frame).unwrap();
            end += frame.len() as u64;
            written.push(frame.len() as u32, length as u32);
        }
        file.write_all(&written.to_bytes().unwrap()).unwrap();
        assert_eq!(SeekTable::scan(&blob(&file)).unwrap(), written);
        file.set_len(end - 1).unwrap();
        assert_eq!(SeekTable::scan(&blob(&file)).unwrap().frames(), &written.frames()[..2]);
        file.set_len(0).unwrap();
        assert_eq!(SeekTable::scan(&blob(&file)).unwrap(), SeekTable::default());
    }

    #[test]
    fn a_written_table_is_read_back_and_a_cut_one_refused() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 30]).unwrap();
        file.write_all(&table().to_bytes().unwrap()).unwrap();
        assert_eq!(SeekTable::read(&blob(&file)).unwrap(), table());
        let size = file.metadata().unwrap().len();
        for cut in 0..size {
            file.set_len(cut).unwrap();
            let kind = SeekTable::read(&blob(&file)).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::InvalidData, "cut at {cut}");
            file.set_len(0).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &[7; 30], 0).unwrap();
            let bytes = table().to_bytes().unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 30).unwrap();
        }
    }
}
