//! Metadata as the system calls give it.

use super::{Entry, Kind, Owners, Xattr};
use rustix::fs::{FileType, Stat, Timespec, major, minor};
use std::path::PathBuf;

const SECOND: i128 = 1_000_000_000;

/// A time as one number, held to what 64 bits can say (the years 1677 to 2262).
pub(crate) fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    let whole = i128::from(seconds) * SECOND + i128::from(nanoseconds);
    whole.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// The reverse of [`nanoseconds`].
pub(crate) fn from_nanoseconds(time: i64) -> Timespec {
    let second = SECOND as i64;
    Timespec { tv_sec: time.div_euclid(second), tv_nsec: time.rem_euclid(second) as _ }
}

impl Entry {
    /// The entry of a file that `stat` describes; nothing for a socket.
    pub(crate) fn from_stat(
        path: PathBuf,
        stat: &Stat,
        owners: &Owners,
        xattrs: Vec<Xattr>,
    ) -> Option<Self> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Socket | FileType::Unknown => return None,
        };
        let special = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let mut entry = Self {
            path,
            kind,
            size: 0,
            mode: 0,
            uid: stat.st_uid,
            gid: stat.st_gid,
            user: owners.user(stat.st_uid),
            group: owners.group(stat.st_gid),
            mtime_ns: 0,
            ctime_ns: 0,
            device: stat.st_dev,
            inode: stat.st_ino,
            nlink: 1,
            link_target: None,
            xattrs,
            rdev: special.then(|| (major(stat.st_rdev), minor(stat.st_rdev))),
        };
        entry.refresh(stat);
        Some(entry)
    }

    /// Takes over what changes while a file is written to.
    pub(crate) fn refresh(&mut self, stat: &Stat) {
        self.size = if self.kind == Kind::File { stat.st_size as u64 } else { 0 };
        self.mode = stat.st_mode & 0o7777;
        self.mtime_ns = nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64);
        self.ctime_ns = nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64);
        // The type of this field differs between processors.
        self.nlink = i128::from(stat.st_nlink) as u64;
        self.inode = stat.st_ino;
    }

    /// Whether `stat` still describes the same content as this entry.
    pub(crate) fn is_unchanged(&self, stat: &Stat) -> bool {
        self.size == stat.st_size as u64
            && self.inode == stat.st_ino
            && self.mtime_ns == nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64)
            && self.ctime_ns == nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        for (seconds, nanos) in [(-2, 500_000_000), (0, 0), (1_700_000_000, 123_456_789)] {
            let spec = from_nanoseconds(nanoseconds(seconds, nanos));
            assert_eq!((spec.tv_sec, spec.tv_nsec), (seconds, nanos));
        }
        assert_eq!(nanoseconds(i64::MAX, 0), i64::MAX);
    }
}
