//! One runner for each target: a lock that a runner's children inherit.
//!
//! The descriptor stays open in every child, so the lock is free only when the runner and all
//! that it started are gone. A runner that ends in good order releases it for all of them; one
//! that is killed leaves it to its children, which the successor ends first.

use crate::error::{Code, Error, Result};
use crate::host;
use crate::repository::create_dir;
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);

/// A held lock.
#[derive(Debug)]
pub(in crate::runbook) struct TargetLock {
    file: File,
}

/// Who holds it, as it says in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runbook) struct Holder {
    pub(in crate::runbook) run: String,
    pub(in crate::runbook) pid: i32,
    pub(in crate::runbook) started: u64,
    pub(in crate::runbook) host: String,
}

impl Holder {
    /// Whether its process lives.
    pub(in crate::runbook) fn is_alive(&self) -> bool {
        self.host != host::name() || is_alive(self.pid, self.started)
    }
}

impl TargetLock {
    /// Takes the lock of `target` for `run`, asking again for at most `wait`. `orphaned` is called
    /// once with the id of a run whose runner is dead while something still holds the lock.
    ///
    /// # Errors
    /// `locked`, naming the holder.
    pub(in crate::runbook) fn take(
        state_dir: &Path,
        target: &str,
        run: &str,
        wait: Duration,
        orphaned: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let path = place(state_dir, target);
        if let Some(dir) = path.parent() {
            create_dir(dir)?;
        }
        let mut file = open(&path)?;
        let mut deadline = Instant::now() + wait;
        let mut told = false;
        while let Err(e) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if e != rustix::io::Errno::WOULDBLOCK {
                return Err(Error::io("lock", &path, e.into()));
            }
            let holder = read(&mut file);
            if let Some(holder) = &holder
                && !holder.is_alive()
                && !told
            {
                told = true;
                orphaned(&holder.run);
                // What was ended takes a moment to be gone.
                deadline = deadline.max(Instant::now() + Duration::from_secs(10));
            }
            if Instant::now() >= deadline {
                return Err(held(target, holder));
            }
            std::thread::sleep(POLL);
        }
        let holder = Holder {
            run: run.to_owned(),
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            started: process_start(rustix::process::getpid().as_raw_nonzero().get()).unwrap_or(0),
            host: host::name(),
        };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| fcntl_setfd(&file, FdFlags::empty()).map_err(Into::into))
            .map_err(|e| Error::io("lock", &path, e))?;
        Ok(Self { file })
    }

    /// The run that a living runner works on now.
    pub(in crate::runbook) fn holder(state_dir: &Path, target: &str) -> Option<Holder> {
        // To ask by locking would refuse a runner that begins just then.
        let mut file = File::open(place(state_dir, target)).ok()?;
        read(&mut file).filter(Holder::is_alive)
    }
}

impl Drop for TargetLock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        // Closing would leave it to children, such as a server that a step has started.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn place(state_dir: &Path, target: &str) -> PathBuf {
    state_dir.join("locks").join(format!("runbook-{target}.lock"))
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| Error::io("lock", path, e))
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn held(target: &str, holder: Option<Holder>) -> Error {
    let error = Error::new(Code::Locked, "work with a runbook on", target);
    match holder {
        Some(Holder { run, pid, host, .. }) => error
            .cause(format!("run {run} works on it: process {pid} on {host}"))
            .hint(format!("wait for it, or see `backstop runbook status {run}`")),
        None => error.cause("another runner holds it"),
    }
}

/// When a process was started, in clock ticks since the boot; none where it is gone.
///
/// Source: proc_pid_stat(5), field 22. The name in field 2 may hold blanks and parentheses.
pub(in crate::runbook) fn process_start(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // A zombie has ended.
    if fields.first() == Some(&"Z") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// Whether the process of this number is the one that was started then.
pub(in crate::runbook) fn is_alive(pid: i32, started: u64) -> bool {
    process_start(pid) == Some(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(dir: &Path, run: &str) -> Result<TargetLock> {
        TargetLock::take(dir, "shop", run, Duration::ZERO, &mut |_| {})
    }

    #[test]
    fn a_second_runner_is_refused_and_told_who_holds_the_target() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(dir.path(), "one").unwrap();
        assert_eq!(TargetLock::holder(dir.path(), "shop").unwrap().run, "one");
        let error = take(dir.path(), "two").unwrap_err();
        assert_eq!(error.code(), Code::Locked);
        let pid = std::process::id().to_string();
        assert!(error.to_string().contains("one") && error.to_string().contains(&pid), "{error}");
        drop(held);
        assert_eq!(TargetLock::holder(dir.path(), "shop"), None);
        take(dir.path(), "two").unwrap();
    }

    #[test]
    fn a_child_inherits_the_lock_and_the_end_of_the_runner_releases_it_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(dir.path(), "one").unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let inherited = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
            .unwrap()
            .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
            .any(|path| path.ends_with("locks/runbook-shop.lock"));
        drop(held);
        let again = take(dir.path(), "two").is_ok();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(inherited && again);
    }

    #[test]
    fn a_process_is_told_from_a_later_one_of_the_same_number() {
        let own = std::process::id() as i32;
        let started = process_start(own).unwrap();
        assert!(is_alive(own, started));
        assert!(!is_alive(own, started + 1));
    }
}
