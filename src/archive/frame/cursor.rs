//! Random access to the decompressed stream of an archive.

use super::FrameReader;
use crate::storage::seek_from;
use std::io::{self, Read, Seek, SeekFrom};

/// Reads from any place of the stream and decompresses only the frames it touches; the
/// last one is kept.
#[derive(Debug)]
pub struct FrameCursor {
    frames: FrameReader,
    position: u64,
    kept: Option<(usize, Vec<u8>)>,
}

impl FrameCursor {
    pub(super) fn new(frames: FrameReader, position: u64) -> Self {
        Self { frames, position, kept: None }
    }
}

impl Read for FrameCursor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(number) = self.frames.table().frame_at(self.position) else { return Ok(0) };
        let starts_at = self.frames.table().frames()[number].starts_at;
        let frame = match self.kept.take() {
            Some((kept, frame)) if kept == number => frame,
            _ => self.frames.frame(number)?,
        };
        let rest = frame.get((self.position - starts_at) as usize..).unwrap_or_default();
        let count = into.len().min(rest.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        self.kept = Some((number, frame));
        Ok(count)
    }
}

impl Seek for FrameCursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek_from(self.position, self.frames.table().length(), to)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use crate::archive::frame::{FRAME_SIZE, FrameReader, FrameWriter};
    use crate::error::Code;
    use crate::storage::Blob;
    use sha2::{Digest, Sha256};
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::path::Path;
    use std::process::Command;

    /// Bytes that neither repeat nor compress away.
    fn bytes(count: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % 23) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    fn written(path: &Path, input: &[u8]) -> crate::archive::StoredArchive {
        let mut writer = FrameWriter::create(path, 1).unwrap();
        writer.write_all(input).unwrap();
        assert_eq!(writer.position(), input.len() as u64);
        writer.finish().unwrap()
    }

    #[test]
    fn plain_zstd_reads_what_was_written_and_the_record_is_true() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zst");
        let input = bytes(2 * FRAME_SIZE + 12345);
        let stored = written(&path, &input);
        let file = std::fs::read(&path).unwrap();
        assert_eq!(stored.frames, 3);
        assert_eq!(stored.size, file.len() as u64);
        assert_eq!(stored.sha256, crate::hex::hex(&Sha256::digest(&file)));
        let output = Command::new("zstd").args(["-dc"]).arg(&path).output().unwrap();
        assert!(output.status.success());
        assert!(output.stdout == input);
        let list = Command::new("zstd").args(["-lv"]).arg(&path).output().unwrap();
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(list.contains("Check: XXH64"), "{list}");
    }

    #[test]
    fn streams_and_seeks_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zst");
        let input = bytes(2 * FRAME_SIZE + 99);
        written(&path, &input);
        let reader = FrameReader::open(&Blob::file(&path).unwrap()).unwrap();
        let mut output = Vec::new();
        reader.stream().unwrap().read_to_end(&mut output).unwrap();
        assert!(output == input);
        for offset in [0, 1, FRAME_SIZE - 7, FRAME_SIZE, 2 * FRAME_SIZE + 98] {
            let mut part = vec![0; 14.min(input.len() - offset)];
            reader.read_at(offset as u64).read_exact(&mut part).unwrap();
            assert_eq!(part, &input[offset..offset + part.len()], "at {offset}");
        }
        let mut cursor = reader.read_at(0);
        cursor.seek(SeekFrom::End(-3)).unwrap();
        let mut tail = Vec::new();
        cursor.read_to_end(&mut tail).unwrap();
        assert_eq!(tail, &input[input.len() - 3..]);
    }

    #[test]
    fn an_empty_stream_is_a_valid_archive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zst");
        assert_eq!(written(&path, b"").frames, 0);
        let mut output = Vec::new();
        FrameReader::open(&Blob::file(&path).unwrap())
            .unwrap()
            .stream()
            .unwrap()
            .read_to_end(&mut output)
            .unwrap();
        assert!(output.is_empty());
        assert!(Command::new("zstd").arg("-qt").arg(&path).status().unwrap().success());
    }

    #[test]
    fn a_flipped_bit_is_noticed_and_a_cut_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zst");
        written(&path, &bytes(FRAME_SIZE + 5000));
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 20, whole.len() / 2, whole.len() - 60] {
            let mut changed = whole.clone();
            changed[at] ^= 4;
            std::fs::write(&path, changed).unwrap();
            let reader = FrameReader::open(&Blob::file(&path).unwrap()).unwrap();
            assert!(reader.stream().unwrap().read_to_end(&mut Vec::new()).is_err(), "at {at}");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(
            FrameReader::open(&Blob::file(&path).unwrap()).unwrap_err().code(),
            Code::BackupDamaged
        );
    }

    #[test]
    fn an_existing_archive_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zst");
        std::fs::write(&path, "precious").unwrap();
        assert!(FrameWriter::create(&path, 1).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
