//! What is damaged, and that it is noticed before it is trusted.

use super::*;
use crate::archive::frame::{FRAME_SIZE, FrameWriter};
use crate::archive::tar::TarWriter;
use std::io::Write;

fn packed() -> (tempfile::TempDir, Packed) {
    let source = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0..300_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    fs::write(source.path().join("a"), &noise).unwrap();
    fs::write(source.path().join("b"), b"second").unwrap();
    let packed = pack(source.path());
    (source, packed)
}

fn codes(packed: &Packed) -> [Code; 2] {
    let target = tempfile::tempdir().unwrap();
    [packed.verify().unwrap_err().code(), packed.unpack(target.path(), None).unwrap_err().code()]
}

#[test]
fn a_truncated_archive_is_damaged() {
    let (_source, packed) = packed();
    let size = packed.written.stored.size;
    for cut in [size - 1, size / 2, 10, 0] {
        fs::File::options().write(true).open(packed.archive()).unwrap().set_len(cut).unwrap();
        assert_eq!(codes(&packed), [Code::BackupDamaged; 2], "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_damage() {
    let (_source, packed) = packed();
    let whole = fs::read(packed.archive()).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(packed.archive(), changed).unwrap();
        // Some bits of a frame's header mean nothing to the decoder; what it gives is right
        // then.
        if packed.verify().is_ok() {
            continue;
        }
        assert_eq!(codes(&packed), [Code::BackupDamaged; 2], "bit at {at}");
    }
}

#[test]
fn missing_archives_and_indexes_are_damage() {
    let (_source, packed) = packed();
    fs::rename(packed.archive(), packed.dir.path().join("away")).unwrap();
    assert_eq!(codes(&packed), [Code::BackupDamaged; 2]);
    fs::rename(packed.dir.path().join("away"), packed.archive()).unwrap();
    fs::remove_file(packed.dir.path().join("index.parquet")).unwrap();
    assert_eq!(codes(&packed), [Code::BackupDamaged; 2]);
}

/// Rewrites the archive with other members than the index lists.
fn rewrite(packed: &Packed, keep: impl Fn(&Path) -> bool, content: &[u8]) {
    let rows = packed.rows();
    fs::remove_file(packed.archive()).unwrap();
    let mut tar = TarWriter::new(FrameWriter::create(&packed.archive(), 1).unwrap());
    for row in rows.iter().filter(|row| keep(&row.entry.path)) {
        tar.member(&row.entry, None).unwrap();
        if row.entry.kind == Kind::File {
            let mut bytes = vec![0; row.entry.size as usize];
            bytes[..content.len()].copy_from_slice(content);
            tar.write_all(&bytes).unwrap();
        }
    }
    tar.finish().unwrap().finish().unwrap();
}

#[test]
fn another_content_and_missing_or_added_files_are_damage() {
    let (_source, packed) = packed();
    rewrite(&packed, |_| true, b"forged");
    assert_eq!(codes(&packed), [Code::BackupDamaged; 2]);
    for missing in ["", "a", "b"] {
        rewrite(&packed, |path| path != Path::new(missing), b"");
        assert_eq!(codes(&packed), [Code::BackupDamaged; 2], "without {missing:?}");
    }
}

#[test]
fn a_selection_reads_only_the_frames_it_needs() {
    let source = tempfile::tempdir().unwrap();
    fs::File::create(source.path().join("a")).unwrap();
    fs::write(source.path().join("a"), vec![7u8; 3 * FRAME_SIZE]).unwrap();
    fs::write(source.path().join("b"), b"wanted").unwrap();
    let packed = pack(source.path());
    // Damage in the first frame does not matter to a file in the last one.
    let mut bytes = fs::read(packed.archive()).unwrap();
    bytes[30] ^= 0xff;
    fs::write(packed.archive(), bytes).unwrap();
    assert_eq!(packed.verify().unwrap_err().code(), Code::BackupDamaged);
    let target = tempfile::tempdir().unwrap();
    packed.unpack(target.path(), Some(&|path| path == Path::new("b"))).unwrap();
    assert_eq!(fs::read(target.path().join("b")).unwrap(), b"wanted");
    let other = tempfile::tempdir().unwrap();
    let error = packed.unpack(other.path(), Some(&|path| path == Path::new("a"))).unwrap_err();
    assert_eq!(error.code(), Code::BackupDamaged);
}
