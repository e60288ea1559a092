//! A tree whose top is a mount point: it cannot be renamed, its entries are.

use crate::support::host::{Host, listing};
use crate::support::mount::SmallMount;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

/// What a listing of its entries does not say about the top directory.
fn top(path: &Path) -> String {
    let found = fs::metadata(path).unwrap();
    let acl = Command::new("getfacl").args(["-cnp"]).arg(path).output().unwrap();
    format!(
        "{:o} {}:{} {}.{:09} {}",
        found.mode(),
        found.uid(),
        found.gid(),
        found.mtime(),
        found.mtime_nsec(),
        String::from_utf8(acl.stdout).unwrap().trim()
    )
}

#[test]
fn its_entries_and_its_own_metadata_are_replaced_and_come_back() {
    let host = Host::with_files();
    let Some(_mount) = SmallMount::at(&host.live(), "16m") else { return };
    for name in ["one.txt", "two.txt", "below/three"] {
        host.write(name, "saved");
    }
    let live = host.live();
    fs::set_permissions(&live, fs::Permissions::from_mode(0o2750)).unwrap();
    chown(&live, Some(1234), Some(4321)).unwrap();
    let acl = ["-m", "u:1234:rwx,d:g:4321:r"];
    assert!(Command::new("setfacl").args(acl).arg(&live).status().unwrap().success());
    let saved = (listing(&live), top(&live));
    host.back_up();
    assert_eq!(top(&live), saved.1, "reading changes nothing");

    assert!(Command::new("setfacl").arg("-b").arg(&live).status().unwrap().success());
    fs::set_permissions(&live, fs::Permissions::from_mode(0o755)).unwrap();
    chown(&live, Some(0), Some(0)).unwrap();
    fs::remove_file(live.join("two.txt")).unwrap();
    host.write("one.txt", "later");
    host.write("later.txt", "later");
    let later = (listing(&live), top(&live));

    let restored = host.json(&["restore", "latest", "--yes", "--no-safety"]);
    let own = |line: &&str| !line.starts_with(".backstop-");
    let shown = |listing: &str| listing.lines().filter(own).collect::<Vec<_>>().join("\n");
    assert_eq!((shown(&listing(&live)), top(&live)), saved);

    // The application replaces entries, as it does by writing a new file and renaming it.
    host.write("one.new", "after the restore");
    fs::rename(live.join("one.new"), live.join("one.txt")).unwrap();
    fs::remove_dir_all(live.join("below")).unwrap();
    host.write("below", "now a file");
    host.write("two.txt", "after the restore");
    let key = restored["key"].as_str().unwrap();
    host.run(&["rollback", key, "--yes"]).ok();
    assert_eq!((shown(&listing(&live)), top(&live)), later);
    let kept = live.join(format!(".backstop-restore-{key}-uploads"));
    assert_eq!(fs::read_to_string(kept.join("one.txt")).unwrap(), "after the restore");
    assert_eq!(fs::read_to_string(kept.join("below")).unwrap(), "now a file");

    host.run(&["rollback", key, "--purge", "--yes"]).ok();
    assert_eq!(listing(&live), later.0);
}

/// Only what backstop itself makes is its own; what begins alike is the user's.
#[test]
fn directories_that_look_like_backstops_come_back_with_the_rest() {
    const LEFT: &str = ".backstop-kept-20260102030405_4f2a-uploads";
    let names = [".backstop-notes/a", "x/.backstop-y/b", &format!("x/{LEFT}/c")];
    for is_mount_point in [false, true] {
        let host = Host::with_files();
        let mount = match is_mount_point {
            false => None,
            true => match SmallMount::at(&host.live(), "16m") {
                None => return,
                mount => mount,
            },
        };
        names.iter().for_each(|name| host.write(name, "saved"));
        host.write(&format!("{LEFT}/d"), "kept by an earlier restore");
        let ran = host.run(&["backup", "--json"]).ok();
        assert!(ran.stderr.contains(LEFT), "what is left out is named: {ran:?}");
        names.iter().for_each(|name| host.write(name, "later"));
        let read = |name: &str| fs::read_to_string(host.live().join(name)).unwrap();

        let restored = host.json(&["restore", "latest", "--yes", "--no-safety"]);
        names.iter().for_each(|name| assert_eq!(read(name), "saved", "{name}"));
        let key = restored["key"].as_str().unwrap();
        host.run(&["rollback", key, "--yes"]).ok();
        names.iter().for_each(|name| assert_eq!(read(name), "later", "{name}"));
        host.run(&["rollback", key, "--purge", "--yes"]).ok();
        assert_eq!(read(&format!("{LEFT}/d")), "kept by an earlier restore");
        drop(mount);
    }
}
