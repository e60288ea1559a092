//! Other file systems mounted inside of a tree.

use super::{id, kind, let_changes_age};
use crate::support::host::Host;
use crate::support::mount::{LoopMount, SmallMount};
use crate::support::need::{self, Need};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Stores `OLD!` at the beginning of every file that it is given, through a mapping, and `NEW!`
/// through the same one when it is told to go on.
const STORE: &str = "import mmap, os, sys\n\
    pages = [mmap.mmap(os.open(path, os.O_RDWR), 4096) for path in sys.argv[1:]]\n\
    for word in (b'OLD!', b'NEW!'):\n\
    \x20   for page in pages: page[0:4] = word\n\
    \x20   print('stored', flush=True)\n\
    \x20   sys.stdin.readline()";

struct Mapped {
    python: Child,
    said: BufReader<ChildStdout>,
    tell: Option<ChildStdin>,
}

impl Mapped {
    fn store(files: &[PathBuf]) -> Self {
        let mut python = Command::new("python3")
            .args(["-c", STORE])
            .args(files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, tell) = (python.stdout.take().unwrap(), python.stdin.take());
        let mut mapped = Self { python, said: BufReader::new(said), tell };
        mapped.wait();
        mapped
    }

    fn wait(&mut self) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line, "stored\n");
    }

    fn store_again(&mut self) {
        self.tell.as_mut().unwrap().write_all(b"\n").unwrap();
        self.wait();
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // It ends with its input.
        self.tell = None;
        let _ = self.python.wait();
    }
}

/// The last backup builds upon an incremental one: that one, too, has to have settled every file
/// system before it looked at its change times.
#[test]
fn a_store_through_a_mapping_is_noticed_on_every_file_system_of_a_tree() {
    if !need::all(&[Need::Root, Need::Python]) {
        return;
    }
    let host = Host::with_files();
    let Some(_memory) = SmallMount::at(&host.live().join("sub"), "16m") else { return };
    let Some(_disk) = LoopMount::ext4_at(&host.live().join("ext")) else { return };
    // A file may be a mount point, too.
    let single = host.path().join("elsewhere/single");
    let names = ["mapped", "sub/mapped", "ext/mapped", "single"];
    for name in names {
        host.write(name, &"x".repeat(4096));
    }
    let _other = LoopMount::ext4_at(single.parent().unwrap()).unwrap();
    fs::write(&single, "x".repeat(4096)).unwrap();
    let bound = Bound::at(single, host.live().join("single"));

    let files = names.map(|name| host.live().join(name));
    let mut mapped = Mapped::store(&files);
    let_changes_age();
    host.back_up();
    let_changes_age();
    host.back_up();
    mapped.store_again();
    let last = host.back_up();
    drop(mapped);
    assert_eq!(kind(&last), "incremental");
    for name in names {
        let path = format!("uploads/{name}");
        let content = host.command(&["cat", id(&last), &path]).output().unwrap().stdout;
        assert_eq!(content[..4].escape_ascii().to_string(), "NEW!", "{name}");
    }
    host.run(&["verify", id(&last), "--level", "deep"]).ok();
    drop(bound);
}

/// Where change times prove something, a file on a mount is still not stored again.
#[test]
fn what_did_not_change_on_a_mount_inside_is_not_stored_again() {
    if !need::all(&[Need::Root]) {
        return;
    }
    let host = Host::with_files();
    let Some(_memory) = SmallMount::at(&host.live().join("sub"), "16m") else { return };
    let Some(_disk) = LoopMount::ext4_at(&host.live().join("ext")) else { return };
    for name in ["sub/same", "ext/same"] {
        host.write(name, &"same ".repeat(50_000));
    }
    let_changes_age();
    let full = host.back_up();
    let_changes_age();
    let last = host.back_up();
    let [all, none] = [&full, &last].map(super::files_component);
    assert_eq!(none["source_bytes"], all["source_bytes"]);
    assert!(none["stored_bytes"].as_u64().unwrap() < 200, "nothing is stored: {none}");
    let changes = host.json(&["diff", id(&full), id(&last)]);
    assert_eq!(changes, serde_json::json!([]));
}

/// A file that is mounted over another one.
struct Bound(PathBuf);

impl Bound {
    fn at(file: PathBuf, over: PathBuf) -> Self {
        let bound = Command::new("mount").arg("--bind").args([&file, &over]).status().unwrap();
        assert!(bound.success());
        Self(over)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
