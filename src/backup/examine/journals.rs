//! What a backstop that died has left to undo.

use super::Finding;
use crate::error::{Code, Error, Result};
use crate::fence::journal::{self, Journal};
use crate::size::count;
use rustix::process::{Pid, test_kill_process};
use std::path::Path;

/// One finding for each journal: a process is at work under it, or it was left behind.
pub(super) fn examine(state_dir: &Path) -> Vec<Finding> {
    match journal::list(state_dir) {
        Ok(paths) => paths.iter().filter_map(|path| one(path)).collect(),
        Err(e) => vec![Finding::new("journals", Err(e))],
    }
}

fn one(path: &Path) -> Option<Finding> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let found = match read(path) {
        Ok(Some(journal)) if is_alive(&journal) => {
            Ok(format!("a backup or restore is at work, process {}", journal.pid))
        }
        Ok(Some(journal)) => Err(left_behind(path, &journal)),
        // Its process finished meanwhile.
        Ok(None) => return None,
        Err(e) => Err(e),
    };
    Some(Finding::new(format!("journal {}", name.get(..8).unwrap_or(&name)), found))
}

fn read(path: &Path) -> Result<Option<Journal>> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| {
            Error::new(Code::NotResumed, "read journal", path.display())
                .source(e)
                .hint("start the containers that `docker ps -a` shows as stopped, then delete it")
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read journal", path, e)),
    }
}

/// Whether the process that wrote a journal may still be at work. Its lock would tell for
/// certain, but whoever takes that, be it for a moment, keeps a recovery from it.
fn is_alive(journal: &Journal) -> bool {
    let runs = |pid: Pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    let pid = i32::try_from(journal.pid).ok().and_then(Pid::from_raw);
    let own = journal.pid == std::process::id();
    journal.is_of_this_boot() && !own && pid.is_some_and(runs)
}

fn left_behind(path: &Path, journal: &Journal) -> Error {
    let mut left = Vec::new();
    if !journal.containers.is_empty() {
        let names: Vec<&str> = journal.containers.iter().map(|c| c.name.as_str()).collect();
        left.push(format!("containers that may be held: {}", names.join(", ")));
    }
    if !journal.captures.is_empty() {
        left.push(count(journal.captures.len() as u64, "capture", "captures"));
    }
    if let Some(key) = &journal.restore {
        left.push(format!("the half-done swap of restore {key}"));
    }
    if left.is_empty() {
        left.push("nothing but the journal itself".into());
    }
    Error::new(Code::NotResumed, "find the process of journal", path.display())
        .cause(format!(
            "process {}, begun {}, is dead and left {}",
            journal.pid,
            journal.started_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            left.join("; ")
        ))
        .hint("run `backstop recover`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_of_a_living_process_is_no_fault_and_one_of_another_boot_is() {
        let state = tempfile::tempdir().unwrap();
        assert!(examine(state.path()).is_empty());
        std::fs::create_dir(state.path().join("journal")).unwrap();
        let path = state.path().join("journal/0123456789.json");
        let mut journal = Journal::new("0123456789", &[]);
        // The process that started this one.
        journal.pid = rustix::process::getppid().unwrap().as_raw_nonzero().get().unsigned_abs();
        std::fs::write(&path, serde_json::to_vec(&journal).unwrap()).unwrap();
        let found = examine(state.path());
        assert_eq!(found[0].subject, "journal 01234567");
        assert!(found[0].error.is_none(), "{found:?}");

        journal.boot_id = "another".into();
        std::fs::write(&path, serde_json::to_vec(&journal).unwrap()).unwrap();
        let error = examine(state.path())[0].error.clone().unwrap();
        assert_eq!(
            (&error["code"], &error["hint"]),
            (&"not_resumed".into(), &"run `backstop recover`".into())
        );
        assert!(path.exists(), "looking changes nothing");
    }
}
