//! Trees for the tests of this layer, and their comparison field by field.

use super::base::Base;
use super::contents::Contents;
use super::entry::{Entry, Kind};
use super::extract::{Extracted, Extraction, extract, verify};
use super::index::{IndexReader, IndexWriter, Row};
use super::lists::Lists;
use super::scan::{Excludes, Scan, Scanned};
use super::source::{LiveSource, ReadAhead, Source};
use super::write::{Tree, WrittenTree, write_tree};
use crate::encryption::NOBODY;
use crate::error::Result;
use crate::progress::{Progress, Silent};
use crate::storage::Blob;
use proptest::prelude::*;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, mknodat, utimensat,
};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The component's name in the tests.
pub(super) const COMPONENT: &str = "uploads";

/// A directory with an archive and its index.
pub(super) struct Packed {
    pub(super) dir: tempfile::TempDir,
    pub(super) id: String,
    pub(super) written: WrittenTree,
}

pub(super) fn silent() -> Arc<dyn Progress> {
    Arc::new(Silent)
}

/// Archives `source`.
pub(super) fn pack_from(source: &mut dyn Source) -> Packed {
    pack_onto("4f2a", None, source)
}

/// Archives `source` as the backup `id`, without what `contents` holds.
pub(super) fn pack_onto(id: &str, contents: Option<&Contents>, source: &mut dyn Source) -> Packed {
    pack_comparing(id, contents, None, source)
}

/// The same; `base` is what rows are compared with that `source` did not compare.
pub(super) fn pack_comparing(
    id: &str,
    contents: Option<&Contents>,
    base: Option<Base>,
    source: &mut dyn Source,
) -> Packed {
    let dir = tempfile::tempdir().unwrap();
    let index = IndexWriter::create(&dir.path().join("index.parquet")).unwrap();
    let changes = IndexWriter::create_changes(&dir.path().join("changes.parquet")).unwrap();
    let mut lists = Lists::new(index, Some(changes));
    lists.compare(base);
    let tree = Tree {
        component: COMPONENT,
        archive: &dir.path().join("uploads.tar.zst"),
        object: "files/uploads.tar.zst",
        recipients: &NOBODY,
        stored_in: id,
        level: 1,
        contents,
        total_bytes: None,
    };
    let cancel = CancellationToken::new();
    let written = write_tree(&tree, source, &mut lists, &silent(), &cancel).unwrap();
    lists.finish().unwrap();
    Packed { dir, id: id.to_owned(), written }
}

/// Archives the tree at `root`.
pub(super) fn pack(root: &Path) -> Packed {
    let live = LiveSource::open(root, Excludes::none()).unwrap();
    pack_from(&mut ReadAhead::start(live).unwrap())
}

fn opened(path: &Path) -> Blob {
    Blob::file(path).unwrap_or_else(|_| Blob::empty("a missing file"))
}

impl Packed {
    pub(super) fn archive(&self) -> PathBuf {
        self.dir.path().join("uploads.tar.zst")
    }

    /// The archive, opened; nothing in it where it is gone.
    pub(super) fn blob(&self) -> Blob {
        opened(&self.archive())
    }

    pub(super) fn index(&self) -> Result<IndexReader> {
        IndexReader::open(&opened(&self.dir.path().join("index.parquet")))
    }

    /// What differs from the backup it was packed onto, with whether it is gone.
    pub(super) fn changed(&self) -> Vec<(Row, bool)> {
        let changes = IndexReader::open_changes(&opened(&self.dir.path().join("changes.parquet")));
        changes.unwrap().changed(COMPONENT).map(Result::unwrap).collect()
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        self.index().unwrap().rows(Some(COMPONENT)).map(Result::unwrap).collect()
    }

    pub(super) fn unpack(
        &self,
        target: &Path,
        select: Option<&dyn Fn(&Path) -> bool>,
    ) -> Result<Extracted> {
        let index = self.index()?;
        let index = Some((&index, COMPONENT));
        let (archive, task) = (&self.blob(), "restore");
        let what = Extraction { archive, locate: None, target, index, select, task };
        extract(&what, &silent(), &CancellationToken::new())
    }

    pub(super) fn verify(&self) -> Result<Extracted> {
        let index = self.index()?;
        verify(&self.blob(), &index, (COMPONENT, &self.id), &silent(), &CancellationToken::new())
    }
}

/// Runs `work` as the user nobody, to whom the `owned` paths are given, in a thread of its own
/// (only that thread changes its user). Nothing when the tests do not run as root.
pub(super) fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send, owned: &[&Path]) -> Option<T> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let (uid, gid) = (rustix::fs::Uid::from_raw(65534), rustix::fs::Gid::from_raw(65534));
    owned.iter().for_each(|path| rustix::fs::chown(*path, Some(uid), Some(gid)).unwrap());
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
            work()
        });
        Some(worker.join().unwrap())
    })
}

/// Everything that a restore brings back of the tree at `root`, in order: metadata and
/// contents.
pub(super) fn entries(root: &Path) -> Vec<(Entry, Vec<u8>)> {
    let mut scan = Scan::open(root, Excludes::none()).unwrap();
    let mut entries = Vec::new();
    while let Some(scanned) = scan.next() {
        let Scanned::Entry(mut entry) = scanned else { panic!("{scanned:?}") };
        let mut content = Vec::new();
        if entry.kind == Kind::File {
            let (mut file, _) = scan.open_file(&mut entry).unwrap();
            file.read_to_end(&mut content).unwrap();
        }
        entries.push((Entry { ctime_ns: 0, device: 0, inode: 0, ..entry }, content));
    }
    entries
}

/// Asserts that two trees are equal, and says in which file they are not.
pub(super) fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (entries(one), entries(other));
    for ((left, left_bytes), (right, right_bytes)) in one.iter().zip(&other) {
        assert_eq!(left, right);
        assert!(left_bytes == right_bytes, "content of {}", left.shown());
    }
    assert_eq!(one.len(), other.len());
}

/// One file of a random tree.
#[derive(Debug, Clone)]
pub(super) struct Plant {
    names: Vec<usize>,
    what: What,
    mode: u32,
    owner: (u32, u32),
    mtime_ns: i64,
    xattr: Option<Vec<u8>>,
    acl: bool,
}

#[derive(Debug, Clone)]
enum What {
    File(usize),
    Sparse(u64, u64),
    Directory,
    Symlink(Vec<u8>),
    Hardlink(usize),
    Fifo,
    Device(u32),
}

/// Names that have been trouble somewhere.
fn names() -> Vec<OsString> {
    let long = "x".repeat(200);
    let names = [
        &b"a"[..],
        b"a-b",
        b"a.txt",
        b"new\nline",
        b"\xff\xfe",
        "\u{fc}\u{2603}".as_bytes(),
        b"sp ace",
        b"-dash",
        b"100%",
        b"a=b",
        b"*",
        b"\\back",
        long.as_bytes(),
        b"\x01\xc3",
    ];
    names.map(|name| OsString::from_vec(name.to_vec())).to_vec()
}

/// Random trees.
pub(super) fn trees() -> impl Strategy<Value = Vec<Plant>> {
    let what = prop_oneof![
        4 => (0usize..20_000).prop_map(What::File),
        1 => (0u64..9, 1u64..9).prop_map(|(at, more)| What::Sparse(at << 16, more << 16)),
        4 => Just(What::Directory),
        1 => prop::collection::vec(1u8..=255, 1..200).prop_map(What::Symlink),
        2 => any::<usize>().prop_map(What::Hardlink),
        1 => Just(What::Fifo),
        1 => (0u32..300).prop_map(What::Device),
    ];
    let path = prop::collection::vec(0..names().len(), 1..5);
    let xattr = prop::option::of(prop::collection::vec(any::<u8>(), 0..600));
    let owner = (0u32..4_000_000, 0u32..3000);
    // What ext4 can say: 1901 to 2446; here until 2262.
    let mtime = -2_100_000_000_000_000_000i64..i64::MAX;
    let plant = (path, what, 0u32..0o10000, owner, mtime, xattr, any::<bool>()).prop_map(
        |(names, what, mode, owner, mtime_ns, xattr, acl)| Plant {
            names,
            what,
            mode,
            owner,
            mtime_ns,
            xattr,
            acl,
        },
    );
    prop::collection::vec(plant, 0..40)
}

/// Makes the tree in `root`; what does not fit together is left out.
pub(super) fn plant(root: &Path, tree: &[Plant]) {
    let names = names();
    let path = |plant: &Plant| plant.names.iter().map(|name| &names[*name]).collect::<PathBuf>();
    let mut made: Vec<(PathBuf, &Plant)> = Vec::new();
    for plant in tree {
        let path = root.join(path(plant));
        let _ = fs::create_dir_all(path.parent().unwrap());
        let files: Vec<_> = made.iter().filter(|(path, _)| !path.is_dir()).collect();
        let is_made = match &plant.what {
            _ if path.symlink_metadata().is_ok() => false,
            What::File(size) => {
                let bytes: Vec<u8> = (0..*size).map(|n| (n * n / 7) as u8).collect();
                fs::write(&path, bytes).is_ok()
            }
            What::Sparse(at, more) => fs::File::create(&path).is_ok_and(|file| {
                file.write_all_at(b"data", *at).unwrap();
                file.set_len(at + more).unwrap();
                true
            }),
            What::Directory => fs::create_dir(&path).is_ok(),
            What::Symlink(to) => std::os::unix::fs::symlink(OsStr::from_bytes(to), &path).is_ok(),
            What::Hardlink(number) if !files.is_empty() => {
                fs::hard_link(&files[number % files.len()].0, &path).is_ok()
            }
            What::Hardlink(_) => false,
            What::Fifo => mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).is_ok(),
            What::Device(minor) => {
                let device = rustix::fs::makedev(300, *minor);
                mknodat(CWD, &path, FileType::CharacterDevice, Mode::RUSR, device).is_ok()
            }
        };
        if is_made {
            made.push((path, plant));
        }
    }
    for (path, plant) in made.iter().rev() {
        dress(path, plant);
    }
}

fn dress(path: &Path, plant: &Plant) {
    if rustix::process::geteuid().is_root() {
        lchown(path, Some(plant.owner.0), Some(plant.owner.1)).unwrap();
    }
    let is_symlink = path.is_symlink();
    if let Some(value) = plant.xattr.as_deref().filter(|_| !is_symlink) {
        // Fifos and devices take no user attributes.
        let _ = lsetxattr(path, "user.a=b%25", value, XattrFlags::empty());
        let _ = lsetxattr(path, "trusted.x", value, XattrFlags::empty());
    }
    if !is_symlink {
        // Readable for its owner even where the tests do not run as root.
        let mode = plant.mode | if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    if plant.acl && !is_symlink {
        let acl = "user::rwx,user:1234:r-x,group::r--,mask::rwx,other::---";
        let acl = super::entry::acl_from_text(acl).unwrap();
        let _ = lsetxattr(path, "system.posix_acl_access", &acl, XattrFlags::empty());
        if path.is_dir() {
            lsetxattr(path, "system.posix_acl_default", &acl, XattrFlags::empty()).unwrap();
        }
    }
    set_mtime(path, plant.mtime_ns);
}

pub(super) fn set_mtime(path: &Path, mtime_ns: i64) {
    let last_modification: Timespec = super::entry::from_nanoseconds(mtime_ns);
    let last_access = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access, last_modification };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
