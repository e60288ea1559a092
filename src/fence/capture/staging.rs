//! A directory of reflink copies (ioctl_ficlone(2)), on the file system of the source.

use super::guard::Guard;
use crate::error::{Error, Result};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A place for copies of files as they are now, known by number.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    guard: Guard,
}

/// How a file was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// It shares the source's blocks; its size did not matter.
    Reflinked,
    /// Its bytes were copied, because this file cannot be reflinked (it lies in another
    /// file system mounted inside the source, or is a swap file, or has other attributes).
    Plainly,
}

impl Staging {
    pub(super) fn create(path: &Path, guard: Guard) -> Result<Self> {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .map_err(|e| Error::io("create staging directory", path, e))?;
        Ok(Self { path: path.to_path_buf(), guard })
    }

    /// The directory of the copies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the copy with this number lies.
    pub fn copy_of(&self, number: u64) -> PathBuf {
        self.path.join(number.to_string())
    }

    /// Copies the contents of the regular file `source`, as they are now, under `number`;
    /// its metadata is the caller's business. Each number once. The copy does not depend
    /// on the source any more when this returns.
    ///
    /// # Errors
    /// Those of open(2), ioctl_ficlone(2) and write(2).
    pub fn reflink(&self, source: &File, number: u64) -> io::Result<Copied> {
        let path = self.copy_of(number);
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        if clone(source, &copy).is_ok() {
            return Ok(Copied::Reflinked);
        }
        let mut source = source;
        source.rewind()?;
        io::copy(&mut source, &mut copy)?;
        Ok(Copied::Plainly)
    }

    /// [`reflink`](Self::reflink) of the file at a path; symlinks are not followed.
    ///
    /// # Errors
    /// As there.
    pub fn reflink_path(&self, source: &Path, number: u64) -> io::Result<Copied> {
        use rustix::fs::{Mode, OFlags, open};
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.reflink(&File::from(open(source, flags, Mode::empty())?), number)
    }

    /// Removes all copies. Blocking.
    ///
    /// # Errors
    /// [`Code::Io`](crate::error::Code::Io) and its kin; the guardian tries again.
    pub fn remove(self) -> Result<()> {
        self.guard.remove()
    }
}

/// btrfs refuses to share blocks between a file whose data is copied on write and one
/// whose is not (`chattr +C`, usual for database files), so the copy becomes alike.
fn clone(source: &File, copy: &File) -> io::Result<()> {
    use rustix::fs::{IFlags, ioctl_ficlone, ioctl_getflags, ioctl_setflags};
    match ioctl_ficlone(copy, source) {
        Err(rustix::io::Errno::INVAL) if ioctl_getflags(source)?.contains(IFlags::NOCOW) => {
            ioctl_setflags(copy, ioctl_getflags(copy)? | IFlags::NOCOW)?;
            Ok(ioctl_ficlone(copy, source)?)
        }
        done => Ok(done?),
    }
}

/// Tries a reflink between two files without names in `dir`; nothing is left of them.
pub(super) fn probe(dir: &Path) -> io::Result<()> {
    let mut one = tempfile::tempfile_in(dir)?;
    let other = tempfile::tempfile_in(dir)?;
    one.write_all(&[1; 4096])?;
    Ok(rustix::fs::ioctl_ficlone(&other, &one)?)
}
