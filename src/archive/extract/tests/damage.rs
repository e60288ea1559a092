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

#[test]
fn what_is_whole_of_a_damaged_archive_comes_back_and_the_rest_is_named() {
    let source = tempfile::tempdir().unwrap();
    let mut state = 1_u64;
    for number in 0..12 {
        let noise = (0..2 << 17).flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (state >> 32).to_le_bytes()
        });
        fs::write(source.path().join(format!("{number:02}")), noise.collect::<Vec<u8>>()).unwrap();
    }
    fs::hard_link(source.path().join("05"), source.path().join("link")).unwrap();
    fs::write(source.path().join("empty"), "").unwrap();
    let packed = pack(source.path());
    let whole = fs::read(packed.archive()).unwrap();
    let salvaged = |bytes: Option<&[u8]>| {
        match bytes {
            Some(bytes) => fs::write(packed.archive(), bytes).unwrap(),
            None => fs::remove_file(packed.archive()).unwrap(),
        }
        let target = tempfile::tempdir().unwrap();
        let index = packed.index().unwrap();
        let archive = packed.blob();
        let what = Extraction {
            archive: &archive,
            locate: None,
            target: target.path(),
            index: Some((&index, sample::COMPONENT)),
            select: None,
            task: "salvage",
        };
        let silent: Arc<dyn Progress> = Arc::new(Silent);
        let cancel = CancellationToken::new();
        let seen = salvage(&what, false, &silent, &cancel).unwrap();
        let done = salvage(&what, true, &silent, &cancel).unwrap();
        assert_eq!((seen.lost_count, seen.bytes), (done.lost_count, done.bytes));
        let mut left = 0;
        for entry in fs::read_dir(target.path()).unwrap() {
            let entry = entry.unwrap();
            let original = source.path().join(entry.file_name());
            assert!(fs::read(entry.path()).unwrap() == fs::read(original).unwrap());
            left += 1;
        }
        assert_eq!(left, done.file_count);
        (left, done.lost_count)
    };
    assert_eq!(salvaged(Some(&whole)), (14, 0));
    assert_eq!(salvaged(Some(&whole[..whole.len() - 1])), (14, 0), "only the table is cut");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let (left, lost) = salvaged(Some(&flipped));
    assert!(left + lost == 14 && (4..=6).contains(&lost), "one frame of three: {left} {lost}");
    let (left, lost) = salvaged(Some(&whole[..whole.len() / 2]));
    assert!(left + lost == 14 && left >= 4, "{left} {lost}");
    assert_eq!(salvaged(Some(b"")), (1, 13), "an empty file needs no bytes");
    assert_eq!(salvaged(None), (1, 13));
}
