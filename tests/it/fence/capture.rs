//! Captures on real btrfs and XFS.

use super::{journals, nothing_to_undo, silent};
use crate::support::mount::{LoopMount, run};
use backstop::config::Capture;
use backstop::error::Code;
use backstop::fence::capture::{Captured, Copied, Method, Plan, detect};
use backstop::fence::{Journal, LiveJournal, recover};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

fn journal(state: &Path, plans: &[&Plan]) -> Arc<LiveJournal> {
    let mut journal = Journal::new("backup", &[]);
    journal.captures.extend(plans.iter().filter_map(|p| p.journal_entry()));
    Arc::new(LiveJournal::create(state, journal).unwrap())
}

fn subvolume(path: &Path) {
    assert!(run(Command::new("btrfs").args(["subvolume", "create"]).arg(path)));
}

/// Whatever a capture has left below `dir`.
fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(".backstop")).collect()
}

#[test]
fn a_btrfs_snapshot_keeps_the_instant_and_is_removed_after_use() {
    let Some(btrfs) = LoopMount::btrfs() else { return };
    let state = tempfile::tempdir().unwrap();
    // A directory inside a subvolume, the subvolume itself, and the mounted root.
    subvolume(&btrfs.path().join("shop"));
    fs::create_dir(btrfs.path().join("shop/uploads")).unwrap();
    let sources = [btrfs.path().join("shop/uploads"), btrfs.path().join("shop")];
    for source in sources {
        let file = source.join("one");
        fs::write(&file, "before").unwrap();
        assert_eq!(detect(&source).unwrap(), [Method::Snapshot, Method::Reflink, Method::Archive]);
        let plan = Plan::new(&source, "up/loads", Capture::Auto, "id").unwrap();
        let live = journal(state.path(), &[&plan]);
        let captured = plan.take(&live, &silent()).unwrap();
        assert_eq!(captured.method(), Method::Snapshot);
        fs::write(&file, "after").unwrap();
        fs::write(source.join("two"), "new").unwrap();
        let Captured::Directory(directory) = &captured else { panic!("{captured:?}") };
        assert!(
            directory.path().ends_with(source.strip_prefix(btrfs.path().join("shop")).unwrap())
        );
        assert_eq!(fs::read_to_string(directory.path().join("one")).unwrap(), "before");
        assert!(!directory.path().join("two").exists());
        assert!(fs::write(directory.path().join("three"), "x").is_err(), "read-only");
        captured.remove().unwrap();
        assert!(live.journal().is_settled());
        live.remove().unwrap();
        assert!(leftovers(source.parent().unwrap()).is_empty());
        fs::remove_file(source.join("two")).unwrap();
    }
}

#[test]
fn a_mounted_root_is_captured_inside_itself() {
    let Some(btrfs) = LoopMount::btrfs() else { return };
    let state = tempfile::tempdir().unwrap();
    fs::write(btrfs.path().join("one"), "before").unwrap();
    for wanted in [Capture::Snapshot, Capture::Reflink] {
        let plan = Plan::new(btrfs.path(), "root", wanted, "id").unwrap();
        let live = journal(state.path(), &[]);
        let captured = plan.take(&live, &silent()).unwrap();
        assert_eq!(leftovers(btrfs.path()).len(), 1);
        assert!(!live.journal().is_settled(), "it is registered");
        if let Captured::Directory(directory) = &captured {
            assert_eq!(fs::read_to_string(directory.path().join("one")).unwrap(), "before");
        }
        drop(captured);
        assert!(leftovers(btrfs.path()).is_empty());
        assert!(live.journal().is_settled());
        live.remove().unwrap();
    }
}

#[test]
fn a_snapshot_that_would_miss_something_is_not_offered() {
    let Some(btrfs) = LoopMount::btrfs() else { return };
    let source = btrfs.path().join("shop");
    subvolume(&source);
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::create_dir(source.join("c")).unwrap();
    subvolume(&source.join("a/b/inner"));
    assert_eq!(detect(&source).unwrap(), [Method::Reflink, Method::Archive]);
    assert_eq!(detect(&source.join("c")).unwrap()[0], Method::Snapshot);
    let error = Plan::new(&source, "x", Capture::Snapshot, "id").unwrap_err();
    assert_eq!(error.code(), Code::CaptureFailed);
    assert!(error.to_string().contains("a/b/inner"), "{error}");

    let inner = source.join("c");
    assert!(run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inner)));
    fs::remove_dir(source.join("a/b/inner")).unwrap();
    let offered = detect(&source).unwrap();
    assert!(run(Command::new("umount").arg(&inner)));
    assert_eq!(offered, [Method::Reflink, Method::Archive]);
}

#[test]
fn reflinks_keep_the_instant_on_xfs_and_btrfs() {
    for mount in [LoopMount::xfs(), LoopMount::btrfs()].into_iter().flatten() {
        let (state, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = mount.path().join("uploads");
        fs::create_dir(&source).unwrap();
        let before = vec![7u8; 3_000_001];
        fs::write(source.join("one"), &before).unwrap();
        fs::write(source.join("empty"), "").unwrap();
        fs::write(elsewhere.path().join("far"), "far").unwrap();
        std::os::unix::fs::symlink("one", source.join("link")).unwrap();

        let plan = Plan::new(&source, "uploads", Capture::Reflink, "id").unwrap();
        assert_eq!(plan.method(), Method::Reflink);
        let live = journal(state.path(), &[&plan]);
        let captured = plan.take(&live, &silent()).unwrap();
        let Captured::Staging(staging) = &captured else { panic!("{captured:?}") };
        assert_eq!(staging.reflink_path(&source.join("one"), 0).unwrap(), Copied::Reflinked);
        assert_eq!(staging.reflink_path(&source.join("empty"), 1).unwrap(), Copied::Reflinked);
        let far = elsewhere.path().join("far");
        assert_eq!(staging.reflink_path(&far, 2).unwrap(), Copied::Plainly);
        assert!(staging.reflink_path(&source.join("link"), 3).is_err());
        assert!(staging.reflink_path(&source.join("one"), 0).is_err(), "each number once");
        fs::write(source.join("one"), "after").unwrap();
        assert!(fs::read(staging.copy_of(0)).unwrap() == before);
        assert_eq!(fs::read(staging.copy_of(2)).unwrap(), b"far");
        captured.remove().unwrap();
        assert!(leftovers(mount.path()).is_empty());
        assert!(live.journal().is_settled());
        live.remove().unwrap();
    }
}

#[test]
fn files_that_are_not_copied_on_write_are_reflinked_too() {
    use rustix::fs::{IFlags, ioctl_setflags};
    let Some(btrfs) = LoopMount::btrfs() else { return };
    let state = tempfile::tempdir().unwrap();
    let source = btrfs.path().join("database");
    ioctl_setflags(fs::File::create(&source).unwrap(), IFlags::NOCOW).unwrap();
    fs::write(&source, vec![1; 100_000]).unwrap();
    let plan = Plan::new(btrfs.path(), "db", Capture::Reflink, "id").unwrap();
    let live = journal(state.path(), &[&plan]);
    let captured = plan.take(&live, &silent()).unwrap();
    let Captured::Staging(staging) = &captured else { panic!("{captured:?}") };
    assert_eq!(staging.reflink_path(&source, 0).unwrap(), Copied::Reflinked);
    assert_eq!(fs::read(staging.copy_of(0)).unwrap().len(), 100_000);
}

#[test]
fn xfs_offers_no_snapshot_and_other_file_systems_only_the_archive() {
    if let Some(xfs) = LoopMount::xfs() {
        assert_eq!(detect(xfs.path()).unwrap(), [Method::Reflink, Method::Archive]);
        let error = Plan::new(xfs.path(), "x", Capture::Snapshot, "id").unwrap_err();
        assert_eq!(error.code(), Code::CaptureFailed);
    }
    let proc = Path::new("/proc/self");
    assert_eq!(detect(proc).unwrap(), [Method::Archive]);
    for wanted in [Capture::Snapshot, Capture::Reflink] {
        let error = Plan::new(proc, "x", wanted, "id").unwrap_err();
        assert_eq!(error.code(), Code::CaptureFailed);
        assert!(error.hint_text().contains("archive"));
    }
    let plan = Plan::new(proc, "x", Capture::Auto, "id").unwrap();
    assert_eq!((plan.method(), plan.journal_entry()), (Method::Archive, None));
}

#[tokio::test]
async fn captures_of_a_dead_backstop_are_removed_by_recover() {
    let Some(btrfs) = LoopMount::btrfs() else { return };
    let state = tempfile::tempdir().unwrap();
    let source = btrfs.path().join("shop");
    subvolume(&source);
    fs::write(source.join("one"), "x").unwrap();
    let snapshot = Plan::new(&source, "one", Capture::Snapshot, "id").unwrap();
    let reflink = Plan::new(&source, "two", Capture::Reflink, "id").unwrap();
    let never_taken = Plan::new(&source, "three", Capture::Reflink, "id").unwrap();
    let live = journal(state.path(), &[&snapshot, &reflink, &never_taken]);
    let captured = [&snapshot, &reflink].map(|plan| plan.take(&live, &silent()).unwrap());
    if let Captured::Staging(staging) = &captured[1] {
        staging.reflink_path(&source.join("one"), 0).unwrap();
    }
    assert_eq!(leftovers(btrfs.path()).len(), 2);
    // As after a SIGKILL: nothing is dropped, the lock is free.
    captured.into_iter().for_each(std::mem::forget);
    live.abandon();

    let done = recover(state.path(), Duration::ZERO, nothing_to_undo).await.unwrap();
    assert!(done[0].is_complete(), "{done:?}");
    assert_eq!(done[0].captures.len(), 3);
    assert!(leftovers(btrfs.path()).is_empty());
    assert_eq!(journals(state.path()), 0);
}
