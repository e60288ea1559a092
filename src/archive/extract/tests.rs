use super::*;
use crate::archive::sample::{self, Packed, assert_same, pack, plant, trees};
use crate::archive::scan::Excludes;
use crate::archive::source::Spool;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

mod damage;
mod hostile;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_tree_comes_back_equal_field_by_field(tree in trees()) {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        plant(source.path(), &tree);
        let packed = pack(source.path());
        prop_assert!(packed.written.changed.is_empty() && packed.written.unreadable.is_empty());
        let verified = packed.verify().unwrap();
        let extracted = packed.unpack(target.path(), None).unwrap();
        prop_assert_eq!(&extracted.incomplete, &[]);
        prop_assert_eq!(extracted.file_count, packed.written.file_count);
        prop_assert_eq!(extracted.bytes, packed.written.source_bytes);
        prop_assert_eq!(&verified, &extracted);
        assert_same(source.path(), target.path());
    }

    #[test]
    fn a_tree_copied_first_and_archived_later_is_the_same(tree in trees()) {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let staging = tempfile::tempdir().unwrap();
        plant(source.path(), &tree);
        let copy = |_: &Entry, number: u64, file: &fs::File| {
            let mut to = fs::File::create(staging.path().join(number.to_string()))?;
            std::io::copy(&mut &*file, &mut to).map(drop)
        };
        let cancel = CancellationToken::new();
        let spool = Spool::scan(source.path(), Excludes::none(), None, staging.path(), &cancel, copy);
        let spool = spool.unwrap();
        let totals = spool.totals();
        let packed = sample::pack_from(&mut spool.into_source(staging.path()).unwrap());
        prop_assert_eq!(totals.source_bytes, packed.written.source_bytes);
        prop_assert_eq!(totals.file_count, packed.written.file_count);
        packed.unpack(target.path(), None).unwrap();
        assert_same(source.path(), target.path());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..Default::default() })]

    #[test]
    fn gnu_tar_restores_the_same(tree in trees()) {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        plant(source.path(), &tree);
        let packed = pack(source.path());
        for locale in ["C", "C.UTF-8"] {
            let target = target.path().join(locale);
            fs::create_dir(&target).unwrap();
            gnu_tar(&packed, &target, locale);
            assert_same(source.path(), &target);
        }
    }
}

fn gnu_tar(packed: &Packed, target: &Path, locale: &str) {
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-xpf"]);
    tar.arg(packed.archive()).arg("-C").arg(target).env("LC_ALL", locale);
    let output = tar.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn holes_stay_holes_here_and_with_gnu_tar() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = source.path().join("sparse");
    let file = fs::File::create(&path).unwrap();
    for at in [0u64, 40 << 20, 99 << 20] {
        file.write_all_at(b"some data", at).unwrap();
    }
    file.set_len(200 << 20).unwrap();
    fs::File::create(source.path().join("hole")).unwrap().set_len(5 << 20).unwrap();
    let packed = pack(source.path());
    assert!(packed.written.stored.size < 100_000);
    assert_eq!(packed.written.source_bytes, 205 << 20);
    packed.unpack(&target.path().join("ours"), None).unwrap();
    fs::create_dir(target.path().join("tar")).unwrap();
    gnu_tar(&packed, &target.path().join("tar"), "C");
    for restored in ["ours", "tar"] {
        let root = target.path().join(restored);
        assert_same(source.path(), &root);
        assert!(fs::metadata(root.join("sparse")).unwrap().blocks() * 512 < 1 << 20);
        assert_eq!(fs::metadata(root.join("hole")).unwrap().blocks(), 0);
    }
    packed.unpack(&target.path().join("part"), Some(&|path| path == Path::new("sparse"))).unwrap();
    let read = |path: PathBuf| fs::read(path).unwrap();
    assert!(read(path) == read(target.path().join("part/sparse")));
    assert!(!target.path().join("part/hole").exists());
}

#[test]
fn a_part_brings_its_directories_and_the_content_of_its_links() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = source.path();
    fs::create_dir_all(root.join("b/deep")).unwrap();
    fs::create_dir(root.join("c")).unwrap();
    fs::write(root.join("a"), "content").unwrap();
    for link in ["b/deep/1", "b/deep/2"] {
        fs::hard_link(root.join("a"), root.join(link)).unwrap();
    }
    for path in ["b/deep", "b"] {
        sample::set_mtime(&root.join(path), 1_234_567_890_123_456_789);
    }
    let packed = pack(root);
    let select = |path: &Path| path.starts_with("b/deep/1") || path.starts_with("b/deep/2");
    let extracted = packed.unpack(target.path(), Some(&select)).unwrap();
    assert_eq!((extracted.bytes, extracted.incomplete_count), (7, 0));
    let stat = |path: &str| fs::metadata(target.path().join(path)).unwrap();
    assert_eq!(fs::read(target.path().join("b/deep/1")).unwrap(), b"content");
    assert_eq!(stat("b/deep/1").ino(), stat("b/deep/2").ino());
    assert_eq!(stat("b").mtime_nsec(), 123_456_789);
    assert_eq!(stat("b/deep").mtime(), 1_234_567_890);
    assert!(!target.path().join("a").exists() && !target.path().join("c").exists());

    // Without the index the archive is read through, and the links say what they lack.
    let by_hand = tempfile::tempdir().unwrap();
    let (archive, task) = (&packed.blob(), "restore");
    let (target, select) = (by_hand.path(), Some(&select as &dyn Fn(&Path) -> bool));
    let what = Extraction { archive, locate: None, target, index: None, select, task };
    let extracted = extract(&what, &sample::silent(), &CancellationToken::new()).unwrap();
    assert_eq!(extracted.incomplete_count, 2);
}

#[test]
fn a_cancelled_restore_stops_and_a_filled_target_is_left_alone() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(source.path().join("a"), "a").unwrap();
    let packed = pack(source.path());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (archive, task) = (&packed.blob(), "restore");
    let what = Extraction {
        archive,
        locate: None,
        target: target.path(),
        index: None,
        select: None,
        task,
    };
    let error = extract(&what, &sample::silent(), &cancel).unwrap_err();
    assert_eq!(error.code(), Code::Interrupted);
    fs::write(target.path().join("precious"), "x").unwrap();
    let error = packed.unpack(target.path(), None).unwrap_err();
    assert_eq!(error.code(), Code::RestoreFailed);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);
}

#[test]
fn an_ordinary_user_restores_what_he_may() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = source.path().join("setuid");
    fs::write(&path, "#!").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::create_dir(source.path().join("read-only")).unwrap();
    fs::write(source.path().join("read-only/in"), "deep").unwrap();
    let read_only = fs::Permissions::from_mode(0o500);
    fs::set_permissions(source.path().join("read-only"), read_only).unwrap();
    sample::set_mtime(&source.path().join("read-only"), 1_000_000_001);
    let packed = pack(source.path());
    let index = packed.dir.path().join("index.parquet");
    let owned = [target.path(), packed.dir.path(), &packed.archive(), &index];
    let unpack = || packed.unpack(&target.path().join("restored"), None).unwrap();
    let restored = sample::as_nobody(unpack, &owned);
    let Some(extracted) = restored else { return };
    assert_eq!(extracted.incomplete_count, 4, "{:?}", extracted.incomplete);
    let stat = |path: &str| fs::metadata(target.path().join("restored").join(path)).unwrap();
    assert_eq!(stat("setuid").mode() & 0o7777, 0o755);
    assert_eq!(stat("read-only").mode() & 0o7777, 0o500);
    assert_eq!(stat("read-only").mtime_nsec(), 1);
    assert_eq!(fs::read(target.path().join("restored/read-only/in")).unwrap(), b"deep");
}
