//! Archives that try to reach outside.

use super::*;
use crate::archive::frame::FrameWriter;
use crate::storage::Blob;
use ::tar::{EntryType, Header};
use std::io::Write;

struct Hostile {
    dir: tempfile::TempDir,
    tar: Vec<u8>,
}

impl Hostile {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/victim"), "untouched").unwrap();
        Self { dir, tar: Vec::new() }
    }

    fn member(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.tar.extend_from_slice(header.as_bytes());
        self.tar.extend_from_slice(content);
        self.tar.resize(self.tar.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str) -> Self {
        self.member(EntryType::Regular, name, "", b"evil")
    }

    fn symlink(self, name: &str, to: &str) -> Self {
        self.member(EntryType::Symlink, name, to, b"")
    }

    fn hardlink(self, name: &str, to: &str) -> Self {
        self.member(EntryType::Link, name, to, b"")
    }

    fn outside(&self) -> String {
        self.dir.path().join("outside").display().to_string()
    }

    /// Unpacks, and asserts that nothing outside the target has changed.
    #[track_caller]
    fn refused(mut self) {
        self.tar.extend_from_slice(&[0; 1024]);
        let archive = self.dir.path().join("hostile.tar.zst");
        let mut frames = FrameWriter::create(&archive, 1).unwrap();
        frames.write_all(&self.tar).unwrap();
        frames.finish().unwrap();
        let target = self.dir.path().join("target");
        let what = Extraction {
            archive: &Blob::file(&archive).unwrap(),
            locate: None,
            target: &target,
            index: None,
            select: None,
            task: "restore",
        };
        let error = extract(&what, &sample::silent(), &CancellationToken::new()).unwrap_err();
        assert_eq!(error.code(), Code::UnsafePath, "{error}");
        let outside = self.dir.path().join("outside");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        let victim = outside.join("victim");
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(fs::metadata(&victim).unwrap().nlink(), 1);
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 3);
    }
}

#[test]
fn a_path_with_dots_is_refused() {
    Hostile::new().file("../outside/new").refused();
    Hostile::new().file("a/../../outside/new").refused();
    Hostile::new().member(EntryType::Directory, "..", "", b"").refused();
}

#[test]
fn an_absolute_path_is_refused() {
    let hostile = Hostile::new();
    let name = format!("{}/new", hostile.outside());
    hostile.file(&name).refused();
    Hostile::new().member(EntryType::Directory, "/", "", b"").refused();
}

#[test]
fn a_file_or_directory_through_a_symlink_is_refused() {
    let outside = Hostile::new().outside();
    for to in [outside.as_str(), "../outside", "."] {
        Hostile::new().symlink("x", to).file("x/new").refused();
        let hostile = Hostile::new().symlink("x", to);
        hostile.member(EntryType::Directory, "x/new", "", b"").refused();
        let hostile = Hostile::new().symlink("x", to);
        hostile.member(EntryType::Directory, "x", "", b"").refused();
    }
    let hostile = Hostile::new().member(EntryType::Directory, "d", "", b"");
    hostile.symlink("d/x", "../../outside").file("d/x/new").refused();
}

#[test]
fn a_file_over_a_symlink_does_not_write_through_it() {
    Hostile::new().symlink("x", "../outside/victim").file("x").refused();
    Hostile::new().symlink("x", "../outside/none").file("x").refused();
}

#[test]
fn a_hard_link_outside_is_refused() {
    let hostile = Hostile::new();
    let victim = format!("{}/victim", hostile.outside());
    hostile.hardlink("x", &victim).refused();
    Hostile::new().hardlink("x", "../outside/victim").refused();
    Hostile::new().symlink("s", "../outside").hardlink("x", "s/victim").refused();
    Hostile::new().hardlink("x", "").refused();
}

#[test]
fn a_file_without_a_name_and_a_name_twice_are_refused() {
    Hostile::new().file("./").refused();
    Hostile::new().file("a").file("a").refused();
}
