use super::*;
use crate::archive::entry::Entry;
use crate::archive::index::IndexWriter;
use crate::archive::sample::{self, Packed, assert_same, pack, pack_from};
use crate::archive::scan::Excludes;
use crate::archive::source::{Content, LiveSource, Spool, StreamSource};
use crate::encryption::NOBODY;
use crate::storage::Blob;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// A live tree in which something happens right after a file was opened.
struct Meddling<F> {
    inner: LiveSource,
    before: bool,
    meddle: F,
}

impl<F: FnMut(&Path)> Source for Meddling<F> {
    fn next(&mut self) -> Result<Option<Scanned>> {
        self.inner.next()
    }

    fn open(&mut self, entry: &mut Entry) -> io::Result<Content<'_>> {
        if self.before {
            (self.meddle)(&entry.path);
            return self.inner.open(entry);
        }
        let content = self.inner.open(entry);
        (self.meddle)(&entry.path);
        content
    }

    fn forget(&mut self, entry: &Entry) {
        self.inner.forget(entry);
    }
}

fn meddled(root: &Path, before: bool, meddle: impl FnMut(&Path)) -> Packed {
    let inner = LiveSource::open(root, Excludes::none()).unwrap();
    pack_from(&mut Meddling { inner, before, meddle })
}

fn tree(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        fs::write(dir.path().join(file), vec![b'x'; 10_000]).unwrap();
    }
    dir
}

fn restored(packed: &Packed, file: &str) -> Vec<u8> {
    let target = tempfile::tempdir().unwrap();
    packed.unpack(target.path(), None).unwrap();
    fs::read(target.path().join(file)).unwrap()
}

fn append(path: PathBuf, bytes: &[u8]) {
    use std::io::Write;
    fs::File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn rows_say_where_the_bytes_lie_and_what_they_hash_to() {
    let dir = tree(&["a", "b"]);
    let packed = pack(dir.path());
    let rows = packed.rows();
    assert_eq!(rows.len(), 3);
    let tar = fs::File::open(packed.archive()).unwrap();
    let tar = zstd::decode_all(tar).unwrap();
    for row in &rows[1..] {
        let place = row.place.unwrap();
        assert_eq!((place.frame, place.sparse), (0, false));
        let bytes = &tar[place.offset as usize..][..row.entry.size as usize];
        assert_eq!(bytes, fs::read(dir.path().join(&row.entry.path)).unwrap());
        assert_eq!(row.sha256, Some(Sha256::digest(bytes).into()));
        assert_eq!(
            (row.stored_in.as_str(), row.archive.as_str()),
            ("4f2a", "files/uploads.tar.zst")
        );
    }
    assert_eq!(packed.written.file_count, 2);
    assert_eq!(packed.written.source_bytes, 20_000);
    let hash = Sha256::digest(fs::read(packed.archive()).unwrap());
    assert_eq!(packed.written.stored.sha256, crate::hex::hex(&hash));
}

#[test]
fn a_file_that_shrinks_while_read_is_recorded_and_filled_up() {
    let dir = tree(&["a", "b"]);
    let packed = meddled(dir.path(), false, |path| {
        if path == Path::new("a") {
            fs::File::options().write(true).open(dir.path().join("a")).unwrap().set_len(3).unwrap();
        }
    });
    // The size in the header was taken after the file had shrunk or before: both are fine.
    assert_eq!(packed.written.changed, ["a"]);
    assert!(packed.rows()[1].changed && !packed.rows()[2].changed);
    assert!(restored(&packed, "a").starts_with(b"xxx"));
    packed.verify().unwrap();
}

#[test]
fn a_file_that_grows_while_read_is_recorded() {
    let dir = tree(&["a", "b"]);
    let packed = meddled(dir.path(), false, |path| {
        if path == Path::new("b") {
            append(dir.path().join("b"), b"more");
        }
    });
    assert_eq!(packed.written.changed, ["b"]);
    packed.verify().unwrap();
}

#[test]
fn a_vanished_file_is_recorded_and_its_other_name_keeps_the_content() {
    let dir = tree(&["a", "c"]);
    fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    let packed = meddled(dir.path(), true, |path| {
        if path == Path::new("a") {
            fs::remove_file(dir.path().join("a")).unwrap();
        }
    });
    assert_eq!(packed.written.changed, ["a"]);
    assert_eq!(packed.written.file_count, 2);
    assert_eq!(restored(&packed, "b").len(), 10_000);
    packed.verify().unwrap();
}

#[test]
fn unreadable_files_and_directories_are_named_and_the_rest_is_archived() {
    let dir = tree(&["a", "b"]);
    fs::create_dir_all(dir.path().join("closed/in")).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for closed in ["a", "closed"] {
        let nothing = fs::Permissions::from_mode(0o0);
        fs::set_permissions(dir.path().join(closed), nothing).unwrap();
    }
    let scratch = tempfile::tempdir().unwrap();
    // Root may read everything.
    let Some(packed) = sample::as_nobody(|| pack(dir.path()), &[scratch.path()]) else { return };
    assert_eq!(packed.written.unreadable, ["a", "closed"]);
    let paths: Vec<_> = packed.rows().iter().map(|row| row.entry.shown()).collect();
    assert_eq!(paths, [".", "b", "closed"]);
}

#[test]
fn a_symlink_put_in_a_files_place_is_not_followed() {
    let (dir, secret) = (tree(&["a"]), tree(&["secret"]));
    let packed = meddled(dir.path(), true, |path| {
        if path == Path::new("a") {
            fs::remove_file(dir.path().join("a")).unwrap();
            let to = secret.path().join("secret");
            std::os::unix::fs::symlink(to, dir.path().join("a")).unwrap();
        }
    });
    assert_eq!(packed.written.unreadable, ["a"]);
    assert_eq!(packed.rows().len(), 1);
}

#[test]
fn a_file_that_changed_while_it_was_copied_is_recorded() {
    let (dir, staging) = (tree(&["a", "b", "c"]), tempfile::tempdir().unwrap());
    let copy = |entry: &Entry, number: u64, _: &fs::File| {
        let from = dir.path().join(&entry.path);
        fs::copy(&from, staging.path().join(number.to_string()))?;
        match entry.path.to_str() {
            Some("a") => append(from, b"more"),
            Some("b") => return Err(io::ErrorKind::PermissionDenied.into()),
            _ => {}
        }
        Ok(())
    };
    let cancel = CancellationToken::new();
    let spool =
        Spool::scan(dir.path(), Excludes::none(), None, staging.path(), &cancel, copy).unwrap();
    let packed = pack_from(&mut spool.into_source(staging.path()).unwrap());
    assert_eq!(packed.written.changed, ["a"]);
    assert_eq!(packed.written.unreadable, ["b"]);
    packed.verify().unwrap();
}

#[test]
fn a_copy_that_cannot_be_made_ends_the_capture() {
    let (dir, staging) = (tree(&["a"]), tempfile::tempdir().unwrap());
    let copy = |_: &Entry, _: u64, _: &fs::File| Err(io::ErrorKind::Unsupported.into());
    let cancel = CancellationToken::new();
    let spool = Spool::scan(dir.path(), Excludes::none(), None, staging.path(), &cancel, copy);
    assert_eq!(spool.err().unwrap().code(), Code::CaptureFailed);
}

#[test]
fn a_foreign_tar_is_archived_below_its_prefix() {
    let (dir, target) = (tree(&["a", "skip.tmp"]), tempfile::tempdir().unwrap());
    let long = "y".repeat(180);
    fs::create_dir(dir.path().join(&long)).unwrap();
    fs::write(dir.path().join(&long).join("in"), "deep").unwrap();
    fs::hard_link(dir.path().join("a"), dir.path().join(&long).join("link")).unwrap();
    for format in ["gnu", "pax"] {
        let mut tar = Command::new("tar");
        let name = dir.path().file_name().unwrap();
        tar.arg(format!("--format={format}")).args(["--sort=name", "-C"]);
        let output = tar.arg(dir.path().parent().unwrap()).arg("-c").arg(name).output().unwrap();
        let excludes = Excludes::new(&["*.tmp"]).unwrap();
        let mut source =
            StreamSource::new(&output.stdout[..], "container", Path::new(name), excludes);
        let packed = pack_from(&mut source);
        packed.verify().unwrap();
        let target = target.path().join(format);
        packed.unpack(&target, None).unwrap();
        let paths: Vec<_> = packed.rows().iter().map(|row| row.entry.shown()).collect();
        assert!(!paths.contains(&"skip.tmp".to_owned()));
        assert_eq!(fs::read(target.join(&long).join("in")).unwrap(), b"deep");
        assert_eq!(fs::read(target.join(&long).join("link")).unwrap().len(), 10_000);
    }
}

#[test]
fn of_a_foreign_tar_only_backstops_own_directories_are_left_out_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let own = ".backstop-quarantine-r0123456789ab-uploads";
    for directory in [own, ".backstop-notes", "x/.backstop-y"] {
        fs::create_dir_all(dir.path().join(directory)).unwrap();
        fs::write(dir.path().join(directory).join("a"), directory).unwrap();
    }
    let mut tar = Command::new("tar");
    tar.args(["--format=posix", "--sort=name", "-C"]).arg(dir.path()).args(["-c", "."]);
    let output = tar.output().unwrap();
    let mut source =
        StreamSource::new(&output.stdout[..], "container", Path::new(""), Excludes::none());
    let packed = pack_from(&mut source);
    assert_eq!(packed.written.skipped, [own]);
    let paths: Vec<_> = packed.rows().iter().map(|row| row.entry.shown()).collect();
    let expected =
        [".", ".backstop-notes", ".backstop-notes/a", "x", "x/.backstop-y", "x/.backstop-y/a"];
    assert_eq!(paths, expected);
}

#[test]
fn a_foreign_tar_that_leads_elsewhere_is_refused() {
    let dir = tree(&["a"]);
    let output = Command::new("tar").arg("-C").arg(dir.path()).args(["-c", "a"]).output().unwrap();
    let mut source =
        StreamSource::new(&output.stdout[..], "container", Path::new("data"), Excludes::none());
    assert_eq!(source.next().unwrap_err().code(), Code::UnsafePath);
}

#[test]
fn several_trees_share_an_index() {
    let (dir, one, other) = (tempfile::tempdir().unwrap(), tree(&["a"]), tree(&["b", "c"]));
    let path = dir.path().join("index.parquet");
    let mut lists = Lists::new(IndexWriter::create(&path).unwrap(), None);
    for (component, root) in [("one", one.path()), ("other", other.path())] {
        let archive = dir.path().join(component);
        let (object, stored_in) = (component, "4f2a");
        let (recipients, level, contents, total_bytes) = (&NOBODY, 1, None, None);
        let archive = archive.as_path();
        let tree = Tree {
            component,
            archive,
            object,
            recipients,
            stored_in,
            level,
            contents,
            total_bytes,
        };
        let mut source = LiveSource::open(root, Excludes::none()).unwrap();
        let cancel = CancellationToken::new();
        write_tree(&tree, &mut source, &mut lists, &sample::silent(), &cancel).unwrap();
    }
    assert_eq!(lists.finish().unwrap().0.rows, 5);
    let index = crate::archive::index::IndexReader::open(&Blob::file(&path).unwrap()).unwrap();
    for (component, count) in [("one", 2), ("other", 3)] {
        assert_eq!(index.rows(Some(component)).count(), count);
        let archive = Blob::file(&dir.path().join(component)).unwrap();
        let cancel = CancellationToken::new();
        let progress = sample::silent();
        crate::archive::verify(&archive, &index, (component, "4f2a"), &progress, &cancel).unwrap();
    }
}

#[test]
fn a_cancelled_write_is_interrupted() {
    let (dir, output) = (tree(&["a"]), tempfile::tempdir().unwrap());
    let index = IndexWriter::create(&output.path().join("index")).unwrap();
    let mut lists = Lists::new(index, None);
    let archive = output.path().join("archive");
    let tree = Tree {
        component: "x",
        archive: &archive,
        object: "x",
        recipients: &NOBODY,
        stored_in: "4f2a",
        level: 1,
        contents: None,
        total_bytes: None,
    };
    let mut source = LiveSource::open(dir.path(), Excludes::none()).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = write_tree(&tree, &mut source, &mut lists, &sample::silent(), &cancel).unwrap_err();
    assert_eq!(error.code(), Code::Interrupted);
    assert_same(dir.path(), dir.path());
}
