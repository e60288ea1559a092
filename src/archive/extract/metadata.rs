//! Gives restored files their owner, attributes, mode and time, in the order that works:
//! a change of owner clears setuid and capabilities, and attributes of a read-only file can
//! only be set before it is one.

use crate::archive::entry::{Entry, Kind, from_nanoseconds};
use crate::archive::fault::{Fault, Trouble};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat,
    fchmod, fchown, fsetxattr, futimens, lsetxattr, utimensat,
};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

const MOST_FAULTS: usize = 1000;
const SETUID_SETGID: u32 = 0o6000;

/// A restored file.
pub(super) enum Subject<'a> {
    /// A file or directory, opened.
    Open(BorrowedFd<'a>),
    /// A name in an open directory; never followed.
    Named(BorrowedFd<'a>, &'a OsStr),
}

/// Restores metadata and records what could not be.
pub(super) struct Metadata {
    is_root: bool,
    user: (u32, u32),
    faults: Mutex<(Vec<Fault>, u64)>,
}

impl Metadata {
    pub(super) fn new() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let user = (uid.as_raw(), gid.as_raw());
        Self { is_root: uid.is_root(), user, faults: Mutex::default() }
    }

    pub(super) fn note(&self, fault: Fault) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let (named, count) = &mut *faults;
        *count += 1;
        if named.len() < MOST_FAULTS {
            named.push(fault);
        }
    }

    /// What was noted, by path: the first thousand, and how many in all.
    pub(super) fn faults(&self) -> (Vec<Fault>, u64) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut named, count) = std::mem::take(&mut *faults);
        named.sort_by(|one, other| one.path.cmp(&other.path));
        (named, count)
    }

    /// Gives `subject` the metadata of `entry`.
    pub(super) fn apply(&self, subject: &Subject<'_>, entry: &Entry) -> Result<(), Errno> {
        let mut mode = entry.mode;
        if !self.own(subject, entry)? {
            // A setuid program would run as whoever restores it.
            mode &= !SETUID_SETGID;
        }
        for (name, value) in &entry.xattrs {
            if let Err(error) = subject.set_xattr(name, value) {
                if matches!(error, Errno::NOSPC | Errno::DQUOT | Errno::IO) {
                    return Err(error);
                }
                let name = String::from_utf8_lossy(name);
                self.incomplete(entry, format!("attribute {name} could not be set: {error}"));
            }
        }
        if entry.kind != Kind::Symlink {
            subject.set_mode(Mode::from_raw_mode(mode))?;
        }
        subject.set_time(from_nanoseconds(entry.mtime_ns))
    }

    /// Whether the file belongs to whom it belonged.
    fn own(&self, subject: &Subject<'_>, entry: &Entry) -> Result<bool, Errno> {
        if !self.is_root && self.user == (entry.uid, entry.gid) {
            return Ok(true);
        }
        match subject.set_owner(Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)) {
            Ok(()) => Ok(true),
            // EINVAL: the id does not exist in this user namespace.
            Err(error @ (Errno::PERM | Errno::INVAL)) => {
                let owner = format!("{}:{}", entry.uid, entry.gid);
                self.incomplete(entry, format!("owner {owner} could not be set: {error}"));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn incomplete(&self, entry: &Entry, cause: String) {
        self.note(Fault::new(&entry.path, Trouble::Incomplete, cause));
    }
}

impl Subject<'_> {
    fn set_owner(&self, uid: Uid, gid: Gid) -> Result<(), Errno> {
        match self {
            Self::Open(file) => fchown(file, Some(uid), Some(gid)),
            Self::Named(directory, name) => {
                chownat(directory, *name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(file) => fsetxattr(file, name, value, XattrFlags::empty()),
            Self::Named(directory, file) => {
                let mut path = OsString::from(format!("/proc/self/fd/{}/", directory.as_raw_fd()));
                path.push(file);
                lsetxattr(path, name, value, XattrFlags::empty())
            }
        }
    }

    fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        match self {
            Self::Open(file) => fchmod(file, mode),
            Self::Named(directory, name) => chmodat(directory, *name, mode, AtFlags::empty()),
        }
    }

    fn set_time(&self, mtime: Timespec) -> Result<(), Errno> {
        let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let times = Timestamps { last_access, last_modification: mtime };
        match self {
            Self::Open(file) => futimens(file, &times),
            Self::Named(directory, name) => {
                utimensat(directory, *name, &times, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }
}
