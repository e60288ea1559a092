//! Undoing what a dead backstop left: containers held, captures not removed.

use super::capture;
use super::journal::{Claim, Journal, LiveJournal, Step, claim, list};
use super::resume::{Outcome, ResumedContainer, resume_all, waves};
use crate::docker::Docker;
use crate::error::{Code, Error, Result};
use futures_util::future::join_all;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a journal that its guardian works on is looked at.
const POLL: Duration = Duration::from_millis(50);

/// What was done about one journal.
#[derive(Debug)]
pub struct Recovered {
    /// The journal's id: that of the backup or restore that died.
    pub id: String,
    /// What became of each container.
    pub containers: Vec<ResumedContainer>,
    /// The captures that were removed.
    pub captures: Vec<PathBuf>,
    /// What could not be done; the journal then stays for the next attempt.
    pub failed: Vec<Error>,
}

impl Recovered {
    /// Whether everything is undone, and the journal gone.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.containers.iter().all(|c| c.outcome.is_ok())
    }

    /// One sentence for each thing that was done or failed.
    pub fn lines(&self) -> Vec<String> {
        let containers = self.containers.iter().map(|c| match &c.outcome {
            Ok(Outcome::Untouched) => format!("container {} was not held", c.name),
            Ok(Outcome::Resumed) => format!("container {} runs again", c.name),
            Ok(Outcome::StillRunning) => format!("container {} runs on", c.name),
            Ok(Outcome::Gone) => format!("container {} exists no more", c.name),
            Err(e) => format!("container {}: {e}", c.name),
        });
        let captures = self.captures.iter().map(|path| format!("removed {}", path.display()));
        let failed = self.failed.iter().map(Error::to_string);
        containers.chain(captures).chain(failed).collect()
    }
}

/// Undoes every journal below `state_dir` whose process is dead. Journals of living
/// processes are left alone; one that a guardian is undoing is waited for, for as long as its
/// containers may take and `patience` more. Cheap when there is none. `before_resume` undoes the restore that a journal
/// names, before its containers are resumed.
///
/// # Errors
/// [`Code::Io`] and its kin when the journals cannot be read; what fails for one journal
/// is in its [`Recovered`].
pub async fn recover(
    state_dir: &Path,
    patience: Duration,
    before_resume: impl AsyncFn(&Journal) -> Result<()>,
) -> Result<Vec<Recovered>> {
    let mut done = Vec::new();
    for path in list(state_dir)? {
        match claim_within(&path, patience).await {
            Ok(Some(live)) => done.push(undo(&live, &before_resume).await),
            Ok(None) => {}
            Err(error) => done.push(Recovered {
                id: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
                containers: Vec::new(),
                captures: Vec::new(),
                failed: vec![error],
            }),
        }
    }
    Ok(done)
}

async fn claim_within(path: &Path, patience: Duration) -> Result<Option<LiveJournal>> {
    let patience = longest_undo(path).saturating_add(patience);
    let deadline = Instant::now() + patience;
    let mut seen_alive = false;
    loop {
        match claim(path)? {
            Claim::Claimed(live) => return Ok(Some(live)),
            Claim::Gone => return Ok(None),
            // One that has just taken the lock may not have said yet that it undoes.
            Claim::Alive if seen_alive => return Ok(None),
            Claim::Alive => {
                seen_alive = true;
                sleep(POLL).await;
            }
            Claim::BeingUndone if Instant::now() < deadline => sleep(POLL).await,
            Claim::BeingUndone => {
                return Err(Error::new(
                    Code::NotResumed,
                    "wait for the guardian of",
                    path.display(),
                )
                .cause(format!("it is still at work after {} s", patience.as_secs()))
                .hint("guardian.log in the state directory says what it waits for"));
            }
        }
    }
}

/// Holds the containers of a journal whose restore is still to be undone, dependents first.
/// Nothing happens to those that are held.
async fn hold_again(live: &LiveJournal, journal: &Journal) -> Result<()> {
    if journal.containers.is_empty() {
        return Ok(());
    }
    let docker = Docker::connect().await?;
    for wave in waves(journal).into_iter().rev() {
        let holds = wave.into_iter().map(async |container| {
            let timeout = Duration::from_secs(container.stop_timeout);
            live.note(Step::Holding, &container.id)?;
            match docker.hold(&container.id, container.action, timeout).await {
                Err(e) if e.code() != Code::ContainerNotFound => Err(e),
                _ => live.note(Step::Held, &container.id),
            }
        });
        join_all(holds).await.into_iter().collect::<Result<()>>()?;
    }
    Ok(())
}

/// What the undoing of the journal at `path` may take. Read without its lock: it is replaced
/// as a whole, and when it is gone nothing is waited for.
fn longest_undo(path: &Path) -> Duration {
    let journal =
        fs::read(path).ok().and_then(|text| serde_json::from_slice::<Journal>(&text).ok());
    journal.map_or(Duration::ZERO, |journal| journal.longest_undo())
}

/// One attempt to undo a journal. What is done is taken out of it, and it is removed when
/// nothing is left.
pub(super) async fn undo(
    live: &LiveJournal,
    before_resume: &impl AsyncFn(&Journal) -> Result<()>,
) -> Recovered {
    let journal = live.journal();
    let mut left = journal.clone();
    let mut recovered = Recovered {
        id: journal.id.clone(),
        containers: Vec::new(),
        captures: Vec::new(),
        failed: Vec::new(),
    };
    if journal.restore.is_some() {
        // The application is started even when this fails: it is never left stopped.
        // An earlier attempt may have started it on what is about to be turned back.
        let undone = match hold_again(live, &journal).await {
            Ok(()) => before_resume(&journal).await,
            held => held,
        };
        match undone {
            Ok(()) => left.restore = None,
            Err(e) => recovered.failed.push(e),
        }
    }
    if !journal.containers.is_empty() {
        match Docker::connect().await {
            Ok(docker) => {
                let note = |id: &str| drop(live.note(Step::Resumed, id));
                recovered.containers = resume_all(&docker, &journal, &live.steps(), &note).await;
                let resumed = recovered.containers.iter().all(|c| c.outcome.is_ok());
                if resumed && left.restore.is_none() {
                    left.containers.clear();
                }
            }
            Err(e) => recovered.failed.push(e),
        }
    }
    for capture in &journal.captures {
        match capture::discard(capture) {
            Ok(()) => {
                left.captures.retain(|c| c != capture);
                recovered.captures.push(capture.path.clone());
            }
            Err(e) => recovered.failed.push(e),
        }
    }
    recovered.failed.extend(live.keep(left).err());
    recovered
}
