//! The guardian: a small child process that undoes the journal if its parent dies.
//!
//! It holds the read end of a pipe whose write end only the parent has. When the pipe
//! closes without the line `released`, the parent is dead (or has given up), and the
//! guardian does what the journal says. It lives in a session of its own, so neither a
//! Ctrl-C nor a kill of the parent's process group reaches it.

mod child;

pub use child::serve;

use super::journal::LiveJournal;
use crate::error::{Code, Error, Result};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The line by which the guardian says that it is on guard.
const READY: &str = "ready";
/// The line by which the parent says that nothing is left to undo.
const RELEASED: &str = "released";
/// How long the guardian may take to be ready.
const START: Duration = Duration::from_secs(20);
/// How long a parent that lives waits for its guardian to undo the journal.
const UNDO: Duration = Duration::from_secs(20);

/// The parent's end of the guardian, and the journal under its guard.
#[derive(Debug)]
pub struct Guardian {
    journal: Arc<LiveJournal>,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    pipe: ChildStdin,
}

impl Guardian {
    /// Starts `exe guardian --journal PATH [--config FILE]` and returns once it is on guard.
    /// Its log is `guardian.log` in the state directory. Pass `/proc/self/exe` as `exe`: it names
    /// this program even when its file is being replaced.
    ///
    /// # Errors
    /// [`Code::GuardianFailed`].
    pub async fn spawn(
        journal: LiveJournal,
        exe: &Path,
        config: Option<&Path>,
    ) -> Result<Arc<Self>> {
        let failed = || Error::new(Code::GuardianFailed, "start the guardian", exe.display());
        let (process, output) = match start(&journal, exe, config) {
            Ok(started) => started,
            Err(e) => {
                journal.remove()?;
                return Err(failed().source(e));
            }
        };
        // Built before waiting, so that the child ends when this future is dropped.
        let guardian =
            Arc::new(Self { journal: Arc::new(journal), process: Mutex::new(Some(process)) });
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let cause = match tokio::time::timeout(START, line).await {
            Ok(Ok(Ok(line))) if line.trim() == READY => return Ok(guardian),
            Ok(Ok(Ok(_))) => "it ended early; see guardian.log".to_string(),
            Ok(Ok(Err(e))) => e.to_string(),
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("not ready after {} s", START.as_secs()),
        };
        guardian.dismiss()?;
        Err(failed().cause(cause))
    }

    /// Ends a guardian that never was on guard; nothing is held yet.
    fn dismiss(&self) -> Result<()> {
        if let Some(mut process) = self.process().take() {
            drop(process.child.kill());
            drop(process.child.wait());
        }
        self.journal.remove()
    }

    /// The journal under guard.
    pub fn journal(&self) -> &Arc<LiveJournal> {
        &self.journal
    }

    /// Fails when nobody would resume the containers.
    ///
    /// # Errors
    /// [`Code::GuardianFailed`].
    pub fn check_alive(&self) -> Result<()> {
        let mut process = self.process();
        let ended = match process.as_mut() {
            Some(process) => process.child.try_wait().ok().flatten(),
            None => return Err(dead("it has been released")),
        };
        ended.map_or(Ok(()), |status| Err(dead(&status.to_string())))
    }

    /// Ends the guard: removes the journal and releases the guardian. Whatever the
    /// journal still names (a capture that could not be removed) is left to the guardian.
    /// Blocks for a few milliseconds, then for as long as the guardian works, at most 20
    /// seconds.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin when the journal cannot be removed.
    pub fn finish(&self) -> Result<()> {
        if !self.journal.journal().is_settled() {
            self.abandon();
            return Ok(());
        }
        self.journal.remove()?;
        if let Some(mut process) = self.process().take() {
            // A guardian that died needs no release.
            drop(process.pipe.write_all(format!("{RELEASED}\n").as_bytes()));
            process.close_and_wait();
        }
        Ok(())
    }

    /// Leaves everything to the guardian and waits for it, at most 20 seconds; it goes on
    /// by itself after that.
    pub fn abandon(&self) {
        self.journal.abandon();
        if let Some(process) = self.process().take() {
            process.close_and_wait();
        }
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(
    journal: &LiveJournal,
    exe: &Path,
    config: Option<&Path>,
) -> io::Result<(Process, ChildStdout)> {
    let state_dir = journal.path().parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(state_dir.join("guardian.log"))?;
    let mut child = Command::new(exe)
        .arg0("backstop")
        .args(["guardian", "--journal"])
        .arg(std::path::absolute(journal.path())?)
        .args(config.iter().flat_map(|file| [OsStr::new("--config"), file.as_os_str()]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(pipe), Some(output)) => Ok((Process { child, pipe }, output)),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Process {
    fn close_and_wait(self) {
        let Self { mut child, pipe } = self;
        drop(pipe);
        let deadline = Instant::now() + UNDO;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn dead(cause: &str) -> Error {
    Error::new(Code::GuardianFailed, "rely on", "the guardian").cause(cause)
}
