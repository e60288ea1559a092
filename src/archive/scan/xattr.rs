//! Reads extended attributes without opening the file.

use crate::archive::entry::Xattr;
use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};

/// `XATTR_LIST_MAX` and `XATTR_SIZE_MAX` of `linux/limits.h`.
const LARGEST: usize = 65536;
/// Tried first: the kernel allocates and clears as much as it is offered, for every file.
const USUAL: usize = 512;

pub(super) struct XattrReader {
    list: Vec<u8>,
    value: Vec<u8>,
}

impl Default for XattrReader {
    fn default() -> Self {
        Self { list: vec![0; LARGEST], value: vec![0; LARGEST] }
    }
}

impl XattrReader {
    /// The attributes of an open file or directory.
    pub(super) fn of_open(&mut self, file: BorrowedFd<'_>) -> Vec<Xattr> {
        let Self { list, value } = self;
        let length = growing(list, |list| flistxattr(file, list));
        collect(list, length, value, |name, value| fgetxattr(file, name, value))
    }

    /// The attributes of `name` inside an open directory, a symlink's own included. There
    /// is no `lgetxattrat` before Linux 6.13; the path through `/proc` reaches the name
    /// without following it.
    pub(super) fn of_name(&mut self, directory: BorrowedFd<'_>, name: &OsStr) -> Vec<Xattr> {
        let Self { list, value } = self;
        let mut path = OsString::from(format!("/proc/self/fd/{}/", directory.as_raw_fd()));
        path.push(name);
        let length = growing(list, |list| llistxattr(&path, list));
        collect(list, length, value, |name, value| lgetxattr(&path, name, value))
    }
}

/// Asks with a small buffer first and with the whole one where that is too small.
fn growing(
    buffer: &mut [u8],
    ask: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    match ask(&mut buffer[..USUAL]) {
        Err(Errno::RANGE) => ask(buffer),
        other => other,
    }
}

/// An attribute that goes away meanwhile, or that may not be read, is left out, as by tar.
fn collect(
    list: &[u8],
    length: Result<usize, Errno>,
    value: &mut [u8],
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Vec<Xattr> {
    let Ok(length) = length else { return Vec::new() };
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut xattrs = Vec::new();
    for name in names {
        if let Ok(length) = growing(value, |value| get(name, value)) {
            xattrs.push((name.to_vec(), value[..length].to_vec()));
        }
    }
    xattrs.sort();
    xattrs
}
