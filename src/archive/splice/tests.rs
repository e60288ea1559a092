use super::*;
use crate::archive::contents::Contents;
use crate::archive::frame::FRAME_SIZE;
use crate::archive::frame::FrameReader;
use crate::archive::sample::{
    COMPONENT, Packed, assert_same, pack, pack_onto, plant, silent, trees,
};
use crate::archive::scan::Excludes;
use crate::archive::source::{LiveSource, ReadAhead};
use crate::archive::verify;
use crate::encryption::NOBODY;
use crate::storage::Blob;
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The tree at `root` as a backup that builds upon `earlier`.
fn pack_upon(earlier: &Packed, root: &Path) -> Packed {
    let contents = Contents::read(&earlier.index().unwrap()).unwrap();
    let live = LiveSource::open(root, Excludes::none()).unwrap();
    pack_onto("77aa", Some(&contents), &mut ReadAhead::start(live).unwrap())
}

/// Puts `last` and what it needs of `first` together, and checks the result.
fn spliced(first: &Packed, last: &Packed) -> (tempfile::TempDir, Spliced) {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("uploads.tar.zst");
    let mut index = IndexWriter::create(&dir.path().join("index.parquet")).unwrap();
    let tree = Tree {
        component: COMPONENT,
        archive: &archive,
        object: "files/uploads.tar.zst",
        recipients: &NOBODY,
        stored_in: "cccc",
        level: 1,
        contents: None,
        total_bytes: None,
    };
    let locate = |stored_in: &str, _: &str| -> Result<Blob> {
        Ok(if stored_in == "77aa" { last.blob() } else { first.blob() })
    };
    let cancel = CancellationToken::new();
    let rows = last.index().unwrap();
    let spliced = splice_tree(&tree, &rows, &locate, &mut index, &cancel).unwrap();
    index.finish().unwrap();
    let index = IndexReader::open(&Blob::file(&dir.path().join("index.parquet")).unwrap()).unwrap();
    let archive = Blob::file(&archive).unwrap();
    verify(&archive, &index, (COMPONENT, "cccc"), &silent(), &cancel).unwrap();
    let frames = FrameReader::open(&archive).unwrap();
    for row in index.rows(None) {
        let row = row.unwrap();
        assert_eq!(row.stored_in, "cccc");
        if let Some(place) = row.place.filter(|_| row.entry.size > 0) {
            assert_eq!(frames.table().frame_at(place.offset), Some(place.frame as usize));
        }
    }
    (dir, spliced)
}

fn gnu_tar(archive: &Path, target: &Path) {
    fs::create_dir(target).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-xpf"]);
    let output = tar.arg(archive).arg("-C").arg(target).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_two_trees_give_the_tree_of_the_last(before in trees(), after in trees()) {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = tempfile::tempdir().unwrap();
        plant(old.path(), &before);
        plant(new.path(), &after);
        let first = pack(old.path());
        let last = pack_upon(&first, new.path());
        let (dir, _) = spliced(&first, &last);
        if rustix::process::geteuid().is_root() {
            let target = target.path().join("tar");
            gnu_tar(&dir.path().join("uploads.tar.zst"), &target);
            assert_same(new.path(), &target);
        }
    }
}

fn noise(path: &Path, seed: u64, bytes: usize) {
    let mut state = seed;
    let words = (0..bytes / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    fs::write(path, words.collect::<Vec<u8>>()).unwrap();
}

#[test]
fn frames_that_are_wanted_whole_are_copied() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    noise(&source.path().join("big"), 1, 5 * FRAME_SIZE);
    for number in 0..400 {
        noise(&source.path().join(format!("small-{number:03}")), 2 + number, 100_000);
    }
    let first = pack(source.path());
    // Nothing changed: it is the same archive again.
    let (_dir, same) = spliced(&first, &pack_upon(&first, source.path()));
    assert_eq!(
        (same.stored.frames, same.stored.size),
        (first.written.stored.frames, first.written.stored.size)
    );
    assert!(same.compressed < same.stored.size / 8, "only the last frame may be another: {same:?}");

    // A renamed big file, one small file changed, one gone: a few frames of ten.
    fs::rename(source.path().join("big"), source.path().join("large")).unwrap();
    noise(&source.path().join("small-200"), 9999, 50_000);
    fs::remove_file(source.path().join("small-300")).unwrap();
    let last = pack_upon(&first, source.path());
    let (dir, mixed) = spliced(&first, &last);
    assert!(mixed.copied > mixed.stored.size / 3, "{} of {}", mixed.copied, mixed.stored.size);
    gnu_tar(&dir.path().join("uploads.tar.zst"), &target.path().join("tar"));
    assert_same(source.path(), &target.path().join("tar"));
}
