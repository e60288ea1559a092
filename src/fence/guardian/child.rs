//! What the guardian process does.

use super::super::journal::{Claim, Journal, LiveJournal, announce, claim};
use super::super::recover::undo;
use super::{READY, RELEASED};
use crate::clock;
use crate::error::{Code, Error, Result};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

/// How long it keeps trying, while Docker is unreachable or refuses.
const STAMINA: Duration = Duration::from_secs(3600);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it looks whether the journal is free.
const POLL: Duration = Duration::from_millis(20);

/// The guardian's whole life: `backstop guardian --journal PATH`. Takes the process over
/// (session, signals, working directory, standard output), says `ready`, and waits for
/// its parent to release it or to die. Then it undoes the journal; `before_resume` first
/// undoes the restore that the journal names, if any. Logs to standard error.
///
/// # Errors
/// [`Code::GuardianFailed`] before it is ready; [`Code::NotResumed`] when it gave up after
/// an hour.
pub async fn serve(
    journal: &Path,
    before_resume: impl AsyncFn(&Journal) -> Result<()>,
) -> Result<()> {
    detach().map_err(|e| {
        Error::new(Code::GuardianFailed, "start the guardian of", journal.display()).source(e)
    })?;
    if released().await {
        return Ok(());
    }
    log(&format!("{}: its backstop is gone", journal.display()));
    announce(journal);
    let Some(live) = claim_when_free(journal).await? else {
        log("another process has undone it");
        return Ok(());
    };
    let deadline = Instant::now() + STAMINA;
    let mut pause = Duration::from_millis(100);
    loop {
        let recovered = undo(&live, &before_resume).await;
        for line in recovered.lines() {
            log(&line);
        }
        if recovered.is_complete() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::new(Code::NotResumed, "undo", journal.display()));
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Leaves the parent's session and its terminal, keeps no directory busy and no pipe of
/// the parent's open, and outlives the signals that end the parent.
fn detach() -> io::Result<()> {
    // Fails only for a process group leader, which the parent does not make it.
    rustix::process::setsid()?;
    std::env::set_current_dir("/")?;
    for kind in
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()]
    {
        // The handler stays for the life of the process, also without its stream.
        drop(signal(kind)?);
    }
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(nowhere)?;
    Ok(())
}

/// Waits for the parent's word, or its death.
async fn released() -> bool {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == RELEASED {
            return true;
        }
    }
    false
}

/// The pipe of a dying parent may close a moment before its lock, and `recover` may have
/// been faster.
async fn claim_when_free(path: &Path) -> Result<Option<LiveJournal>> {
    loop {
        match claim(path) {
            Ok(Claim::Claimed(live)) => return Ok(Some(live)),
            Ok(Claim::Gone) => return Ok(None),
            Ok(Claim::Alive | Claim::BeingUndone) => sleep(POLL).await,
            Err(e) => {
                log(&e.to_string());
                return Err(e);
            }
        }
    }
}

fn log(line: &str) {
    // Nobody is left to be told when the log cannot be written.
    drop(writeln!(io::stderr(), "{} guardian {}: {line}", clock::now(), std::process::id()));
}
