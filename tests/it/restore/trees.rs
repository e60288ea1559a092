//! A file tree with everything a file can be, out and back, compared field by field.

use crate::support::host::Host;
use crate::support::need::{self, Need};
use backstop::repository::hash_file;
use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::Command;
use tokio_util::sync::CancellationToken;

fn plant(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::write(at("plain"), "plain").unwrap();
    fs::hard_link(at("plain"), at("a second name")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    symlink("plain", at("link")).unwrap();
    symlink("/does/not/exist", at("dangling")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not-utf8-\xff\xfe-100%")), "raw").unwrap();
    fs::write(at("new\nline"), "odd").unwrap();
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();

    let deep =
        (0..6).fold(root.to_path_buf(), |path, n| path.join(format!("{n}{}", "x".repeat(80))));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("y".repeat(255)), "deep").unwrap();

    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 32 << 20).unwrap();

    fs::write(at("setuid"), "#!/bin/sh\n").unwrap();
    fs::create_dir(at("shared")).unwrap();
    fs::write(at("locked"), "nobody may").unwrap();
    lchown(at("plain"), Some(1234), Some(4321)).unwrap();
    lchown(at("link"), Some(77), Some(88)).unwrap();
    lchown(at("setuid"), Some(1001), Some(1001)).unwrap();
    for (name, mode) in [("setuid", 0o6755), ("shared", 0o3777), ("locked", 0o000)] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    xattr::set(at("plain"), "user.note", b"bytes \xff = %").unwrap();
    xattr::set(at("empty"), "user.dir", b"").unwrap();
    for arguments in [["-m", "u:1234:rw,g:4321:r"], ["-m", "d:u:1234:rwx,d:o::-"]] {
        let name = if arguments[1].starts_with('d') { "shared" } else { "setuid" };
        assert!(Command::new("setfacl").args(arguments).arg(at(name)).status().unwrap().success());
    }
    for (number, name) in ["plain", "link", "fifo", "empty", "sparse"].iter().enumerate() {
        let at_time = |tv_nsec| Timespec { tv_sec: -1_000 + 500_000_000 * number as i64, tv_nsec };
        let times = Timestamps { last_access: at_time(1), last_modification: at_time(123_456_789) };
        utimensat(CWD, at(name), &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// Every field of every file, by its name's bytes.
fn fields(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    collect(root, root, &mut found, &mut first_names);
    found
}

fn collect(
    root: &Path,
    path: &Path,
    found: &mut BTreeMap<Vec<u8>, String>,
    first_names: &mut BTreeMap<u64, Vec<u8>>,
) {
    let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
    let metadata = fs::symlink_metadata(path).unwrap();
    let mut line = format!("{:?} {:o}", metadata.file_type(), metadata.mode());
    line += &format!(" {}:{}", metadata.uid(), metadata.gid());
    line += &format!(" {}.{:09}", metadata.mtime(), metadata.mtime_nsec());
    if !metadata.is_dir() {
        let first = first_names.entry(metadata.ino()).or_insert_with(|| name.clone());
        line += &format!(" size {} same as {}", metadata.size(), first.escape_ascii());
    }
    let mut attributes: Vec<_> = xattr::list(path).unwrap().collect();
    attributes.sort();
    for attribute in attributes {
        let value = xattr::get(path, &attribute).unwrap().unwrap_or_default();
        line += &format!(" {}={}", attribute.display(), value.escape_ascii());
    }
    if metadata.is_file() {
        line += &format!(" {}", hash_file(&CancellationToken::new(), path).unwrap().1);
        if metadata.size() > 1 << 20 {
            line += &format!(" sparse {}", metadata.blocks() * 512 < metadata.size() / 2);
        }
    } else if metadata.is_symlink() {
        line += &format!(" -> {:?}", fs::read_link(path).unwrap());
    }
    found.insert(name, line);
    if metadata.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for entry in entries {
            collect(root, &entry, found, first_names);
        }
    }
}

#[test]
fn every_field_of_every_kind_of_file_comes_back() {
    if !need::all(&[Need::Root]) {
        return;
    }
    let host = Host::with_files();
    plant(&host.live());
    let planted = fields(&host.live());
    assert!(planted.len() > 20, "{planted:#?}");
    assert!(fs::symlink_metadata(host.live().join("fifo")).unwrap().file_type().is_fifo());
    let record = host.back_up();
    assert_eq!(record["warnings"], serde_json::json!([]));
    assert_eq!(fields(&host.live()), planted, "reading changes nothing");

    let to = host.path().join("look");
    host.run(&["restore", "latest", "--to", to.to_str().unwrap()]).ok();
    compare(&planted, &fields(&to.join("files/uploads")));
    fs::remove_dir_all(host.live()).unwrap();
    let ran = host.run(&["restore", "latest", "--yes"]).ok();
    assert_eq!(ran.stderr, "", "nothing came back incomplete");
    compare(&planted, &fields(&host.live()));
}

#[track_caller]
fn compare(planted: &BTreeMap<Vec<u8>, String>, restored: &BTreeMap<Vec<u8>, String>) {
    for (name, line) in planted {
        assert_eq!(restored.get(name), Some(line), "{}", name.escape_ascii());
    }
    assert_eq!(restored.len(), planted.len());
}
