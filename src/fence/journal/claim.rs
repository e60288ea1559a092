//! Finding the journals of dead processes, and taking them over.

use super::LiveJournal;
use super::live::{open_lock, remove_if_there};
use crate::error::{Code, Error, Result};
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What became of the attempt to take over a journal.
#[derive(Debug)]
pub enum Claim {
    /// Its process is dead: it is ours.
    Claimed(LiveJournal),
    /// A living backstop works under it.
    Alive,
    /// Its process is dead and another one, most likely the guardian, is undoing it.
    BeingUndone,
    /// It was removed meanwhile: nothing is left to undo.
    Gone,
}

/// The journals below a state directory, whether their processes live or not.
///
/// # Errors
/// [`Code::Io`] and its kin.
pub fn list(state_dir: &Path) -> Result<Vec<PathBuf>> {
    let dir = state_dir.join("journal");
    let failed = |e| Error::io("read journals in", &dir, e);
    let entries = match fs::read_dir(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Takes over the journal at `path` if its process is dead. Does not wait.
///
/// # Errors
/// [`Code::Io`] and its kin; [`Code::NotResumed`] when it cannot be understood.
pub fn claim(path: &Path) -> Result<Claim> {
    let failed = |e| Error::io("take over journal", path, e);
    let lock = match open_lock(path) {
        Ok(lock) => lock,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Claim::Gone),
        Err(e) => return Err(failed(e)),
    };
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let lines = fs::read_to_string(path.with_extension("lock")).unwrap_or_default();
            let undone = lines.lines().any(|line| line == UNDOING);
            return Ok(if undone { Claim::BeingUndone } else { Claim::Alive });
        }
        Err(TryLockError::Error(e)) => return Err(failed(e)),
    }
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            remove_if_there(&path.with_extension("lock")).map_err(failed)?;
            return Ok(Claim::Gone);
        }
        Err(e) => return Err(failed(e)),
    };
    let journal = serde_json::from_slice(&text).map_err(|e| {
        Error::new(Code::NotResumed, "read journal", path.display())
            .source(e)
            .hint("start the containers that `docker ps -a` shows as stopped, then delete it")
    })?;
    // Only tells others why they wait. A full disk must not keep containers stopped.
    drop((&lock).write_all(format!("{UNDOING}\n").as_bytes()));
    Ok(Claim::Claimed(LiveJournal::held(path, journal, lock)))
}

/// The line of a process that undoes what a dead one left.
const UNDOING: &str = "undoing";

/// Says that the process of the journal at `path` is dead and that the caller is about to take
/// it over: so whoever finds the lock taken from now on waits. Nothing is done where it is gone.
pub(in crate::fence) fn announce(path: &Path) {
    let lock = OpenOptions::new().append(true).open(path.with_extension("lock"));
    // As in `claim`: it only tells others why they wait.
    drop(lock.and_then(|mut lock| lock.write_all(format!("{UNDOING}\n").as_bytes())));
}

#[cfg(test)]
mod tests {
    use super::super::{CaptureKind, Journal, JournalCapture, Step};
    use super::*;

    fn claimed(path: &Path) -> LiveJournal {
        match claim(path).unwrap() {
            Claim::Claimed(live) => live,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_living_process_keeps_its_journal_and_a_dead_one_loses_it() {
        let state = tempfile::tempdir().unwrap();
        let live = LiveJournal::create(state.path(), Journal::new("one", &[])).unwrap();
        let path = live.path().to_path_buf();
        assert_eq!(list(state.path()).unwrap(), std::slice::from_ref(&path));
        assert!(matches!(claim(&path).unwrap(), Claim::Alive));
        live.note(Step::Holding, "c").unwrap();
        drop(live);

        let heir = claimed(&path);
        assert_eq!(heir.steps().get("c"), Some(&Step::Holding));
        assert!(heir.journal().is_of_this_boot());
        assert!(matches!(claim(&path).unwrap(), Claim::BeingUndone));
        heir.remove().unwrap();
        assert!(matches!(claim(&path).unwrap(), Claim::Gone));
        assert_eq!(fs::read_dir(state.path().join("journal")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_announced_is_never_taken_for_the_work_of_a_living_process() {
        let state = tempfile::tempdir().unwrap();
        let live = LiveJournal::create(state.path(), Journal::new("one", &[])).unwrap();
        let path = live.path().to_path_buf();
        announce(&path);
        assert!(matches!(claim(&path).unwrap(), Claim::BeingUndone));
        drop(live);
        claimed(&path).remove().unwrap();
        announce(&path);
        assert_eq!(fs::read_dir(state.path().join("journal")).unwrap().count(), 0);
    }

    #[test]
    fn a_journal_that_was_only_reserved_leaves_nothing_to_undo() {
        let state = tempfile::tempdir().unwrap();
        let live = LiveJournal::reserve(state.path(), Journal::new("one", &[])).unwrap();
        let path = live.path().to_path_buf();
        assert!(list(state.path()).unwrap().is_empty());
        drop(live);
        assert!(matches!(claim(&path).unwrap(), Claim::Gone));
        let live = LiveJournal::reserve(state.path(), Journal::new("one", &[])).unwrap();
        live.write().unwrap();
        drop(live);
        claimed(&path).remove().unwrap();
        assert_eq!(fs::read_dir(state.path().join("journal")).unwrap().count(), 0);
    }

    #[test]
    fn an_abandoned_journal_is_written_by_its_heir_alone() {
        let state = tempfile::tempdir().unwrap();
        let live = LiveJournal::create(state.path(), Journal::new("two", &[])).unwrap();
        let capture = JournalCapture {
            path: "/x/.backstop-capture-two-a".into(),
            kind: CaptureKind::Staging,
        };
        live.register(&capture).unwrap();
        live.abandon();
        assert_eq!(live.forget(&capture).unwrap_err().code(), Code::NotResumed);
        assert!(live.note(Step::Held, "c").is_err());
        let heir = claimed(live.path());
        assert_eq!(heir.journal().captures, std::slice::from_ref(&capture));
        heir.forget(&capture).unwrap();
        assert!(heir.journal().is_settled());
        live.remove().unwrap();
        assert!(live.path().exists());
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_reported_and_kept() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("journal")).unwrap();
        let path = state.path().join("journal/bad.json");
        fs::write(&path, "{").unwrap();
        assert_eq!(claim(&path).unwrap_err().code(), Code::NotResumed);
        assert!(path.exists());
    }
}
