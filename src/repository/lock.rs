//! The lock of a repository: `flock(2)` on one file, released by the kernel when its
//! holder ends, however it ends.

use crate::error::{Code, Error, Result};
use crate::host;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);

/// Who else may hold the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Other readers: backups are read, none is added or deleted.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A held lock; dropping it, or dying, releases it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, asking again for at most `wait`.
    ///
    /// # Errors
    /// `locked`, naming the holder, when it is not free by then.
    pub fn take(path: &Path, mode: LockMode, wait: Duration) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .or_else(|e| match (mode, e.kind()) {
                // A repository on read-only media can still be read, and restored from; whoever
                // writes is told when it does.
                (LockMode::Shared, _) | (_, ErrorKind::ReadOnlyFilesystem) => {
                    File::open(path).map_err(|_| e)
                }
                (LockMode::Exclusive, _) => Err(e),
            })
            .map_err(|e| Error::io("lock", path, e))?;
        let operation = match mode {
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        let deadline = Instant::now() + wait;
        loop {
            match flock(&file, operation) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(POLL);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(held_by(&mut file, path)),
                Err(e) => return Err(Error::io("lock", path, e.into())),
            }
        }
        if mode == LockMode::Exclusive {
            sign(&mut file);
        }
        Ok(Self { _file: file })
    }
}

/// Notes who holds the lock. Only for the message of others, so failing does no harm.
fn sign(file: &mut File) {
    let host = host::name();
    let _ = file.set_len(0);
    let _ = file.rewind();
    let _ = writeln!(file, "process {} on {host}", std::process::id());
}

fn held_by(file: &mut File, path: &Path) -> Error {
    let mut holder = String::new();
    let _ = file.rewind();
    let _ = file.read_to_string(&mut holder);
    let holder = holder.trim();
    Error::new(Code::Locked, "lock", path.display()).cause(if holder.is_empty() {
        "another backstop holds it".to_string()
    } else {
        format!("held by {holder}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_lock_excludes_everybody_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::take(&path, LockMode::Exclusive, Duration::ZERO).unwrap();
        for mode in [LockMode::Shared, LockMode::Exclusive] {
            let error = Lock::take(&path, mode, Duration::ZERO).unwrap_err();
            assert_eq!(error.code(), Code::Locked);
            assert!(error.to_string().contains(&format!("process {}", std::process::id())));
        }
        drop(held);
        Lock::take(&path, LockMode::Exclusive, Duration::ZERO).unwrap();
    }

    #[test]
    fn readers_share() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _one = Lock::take(&path, LockMode::Shared, Duration::ZERO).unwrap();
        let _two = Lock::take(&path, LockMode::Shared, Duration::ZERO).unwrap();
        assert!(Lock::take(&path, LockMode::Exclusive, Duration::ZERO).is_err());
    }
}
