//! Everything that is known about one file of a tree.

mod acl;
mod owner;
mod stat;

pub use acl::{acl_from_text, acl_to_text};
pub use owner::Owners;
pub(crate) use stat::{from_nanoseconds, nanoseconds};

use std::cmp::Ordering;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a file is. Sockets are never archived: they mean nothing without their process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of a file that comes earlier in the tree.
    Hardlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl Kind {
    const NAMES: [(Kind, &'static str); 7] = [
        (Kind::File, "file"),
        (Kind::Directory, "directory"),
        (Kind::Symlink, "symlink"),
        (Kind::Hardlink, "hardlink"),
        (Kind::Fifo, "fifo"),
        (Kind::CharDevice, "chardev"),
        (Kind::BlockDevice, "blockdev"),
    ];

    /// Its name in the index.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("file", |(_, name)| name)
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// One extended attribute: its whole name (`user.comment`) and its value, any bytes.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// One file of a tree with all its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the tree, without `.` and `..`; empty for the tree's own directory.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Bytes of its content, holes included; 0 for all but files and hard links to them.
    pub size: u64,
    /// Permissions with setuid, setgid and sticky, `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The owner's name, where the system that wrote it knew one.
    pub user: Option<String>,
    /// The group's name, where the system that wrote it knew one.
    pub group: Option<String>,
    /// Last change of the content: nanoseconds since 1970, held to what 64 bits can say.
    pub mtime_ns: i64,
    /// Last change of content or metadata, likewise; 0 where unknown.
    pub ctime_ns: i64,
    /// The file system's device number; 0 where unknown.
    pub device: u64,
    /// The inode; 0 where unknown.
    pub inode: u64,
    /// How many names it had.
    pub nlink: u64,
    /// A symlink's text; a hard link's earlier name, relative to the tree.
    pub link_target: Option<OsString>,
    /// Extended attributes, ordered by name. POSIX ACLs are among them, as
    /// `system.posix_acl_access` and `system.posix_acl_default`.
    pub xattrs: Vec<Xattr>,
    /// Major and minor number of a device.
    pub rdev: Option<(u32, u32)>,
}

impl Entry {
    /// Whether the other one tells the same of its file: all that a user may know of one, so
    /// neither change time, device, inode nor number of names.
    pub fn tells_the_same(&self, other: &Self) -> bool {
        let Self { path, kind, size, mode, uid, gid, user, group, .. } = self;
        let Self { mtime_ns, link_target, xattrs, rdev, .. } = self;
        (path, kind, size, mode, uid, gid)
            == (&other.path, &other.kind, &other.size, &other.mode, &other.uid, &other.gid)
            && (user, group, mtime_ns) == (&other.user, &other.group, &other.mtime_ns)
            && (link_target, xattrs, rdev) == (&other.link_target, &other.xattrs, &other.rdev)
    }

    /// The path for people and messages: `.` for the tree's own directory.
    pub fn shown(&self) -> String {
        shown(&self.path)
    }
}

/// A path for people and messages: `.` for the tree's own directory.
pub(crate) fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() { ".".into() } else { path.display().to_string() }
}

/// The order of a tree in scans, archives and indexes: component by component, each by its
/// bytes. A directory comes right before what it holds.
pub fn tree_order(one: &Path, other: &Path) -> Ordering {
    let (one, other) = (one.as_os_str().as_bytes(), other.as_os_str().as_bytes());
    // The separator sorts below every byte that a name can hold.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    one.iter().map(key).cmp(other.iter().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_comes_right_before_what_it_holds() {
        let mut paths = ["a.txt", "a/b", "", "a", "b", "a-b", "a/b/c"].map(PathBuf::from);
        paths.sort_by(|one, other| tree_order(one, other));
        assert_eq!(paths, ["", "a", "a/b", "a/b/c", "a-b", "a.txt", "b"].map(PathBuf::from));
    }

    #[test]
    fn kinds_have_names_that_lead_back() {
        for (kind, name) in Kind::NAMES {
            assert_eq!((kind.as_str(), Kind::from_name(name)), (name, Some(kind)));
        }
        assert_eq!(Kind::from_name("socket"), None);
    }
}
