//! Work that may never return. The kernel lets nobody out of a look at a network mount whose
//! server is gone, so it is done on a thread of its own, which is left behind: neither the
//! command nor the end of the process waits for it.

use crate::error::{Code, Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

/// How long a part of the surroundings may take to answer.
pub const LIMIT: Duration = Duration::from_secs(2);

/// Paths that did not answer. They are not asked again by the same process.
static MUTE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// What `work` returns; none where it takes longer than `limit`, or no thread can be started.
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, awaited) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("backstop-probe".into()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = done.send(work());
    });
    thread.ok().and_then(|_| awaited.recv_timeout(limit).ok())
}

/// The same for an async caller.
pub async fn within_async<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, awaited) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("backstop-probe".into()).spawn(move || {
        let _ = done.send(work());
    });
    thread.ok()?;
    tokio::time::timeout(limit, awaited).await.ok().and_then(std::result::Result::ok)
}

/// What `work` says of `path`; none where that does not answer, or did not before.
pub fn of_path<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> T + Send + 'static,
) -> Option<T> {
    if is_mute(path) {
        return None;
    }
    let asked = path.to_path_buf();
    let found = within(LIMIT, move || work(&asked));
    if found.is_none() {
        MUTE.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_path_buf());
    }
    found
}

/// Whether `path`, or a directory that it lies in, did not answer before.
fn is_mute(path: &Path) -> bool {
    let mute = MUTE.lock().unwrap_or_else(PoisonError::into_inner);
    path.ancestors().any(|ancestor| mute.contains(ancestor))
}

/// Fails where the file system of `path` does not answer. That there is nothing is an answer.
///
/// # Errors
/// `path_unreachable`.
pub fn answers(path: &Path) -> Result<()> {
    of_path(path, look).ok_or_else(|| unreachable(path))
}

/// That a path does not answer.
pub fn unreachable(path: &Path) -> Error {
    Error::new(Code::PathUnreachable, "reach", path.display())
        .cause(format!("it does not answer within {} s", LIMIT.as_secs()))
}

/// Attributes may be remembered by the kernel; names and free space are asked for.
fn look(path: &Path) {
    let existing = path.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok());
    let Some(existing) = existing else { return };
    if let Ok(mut entries) = std::fs::read_dir(existing) {
        let _ = entries.next();
    }
    let _ = rustix::fs::statvfs(existing);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_left_behind() {
        let (hold, held) = mpsc::channel::<()>();
        let stuck = within(Duration::from_millis(20), move || held.recv().is_ok());
        assert_eq!(stuck, None);
        drop(hold);
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
    }

    #[test]
    fn what_did_not_answer_once_is_not_asked_again() {
        let path = Path::new("/no/such/path/of-a-test");
        MUTE.lock().unwrap().insert(path.to_path_buf());
        assert_eq!(of_path(&path.join("below"), |_| ()), None);
        assert_eq!(answers(path).unwrap_err().code(), Code::PathUnreachable);
        assert!(answers(Path::new("/no/such/other")).is_ok(), "nothing there is an answer");
    }
}
