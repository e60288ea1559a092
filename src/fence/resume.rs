//! Making every held container run again. Shared by the process that holds them, the
//! guardian and `recover`.

use super::journal::{Journal, JournalContainer, Step};
use crate::config::Quiesce;
use crate::docker::{Docker, RunState};
use crate::error::{Code, Result};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a container whose hold is in flight is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long the others wait for a container whose hold is in flight.
const SHORT: Duration = Duration::from_secs(2);
/// What Docker may need to pause a container, or to end it beyond its stop timeout.
const GRACE: Duration = Duration::from_secs(5);

/// What became of one container.
#[derive(Debug)]
pub struct ResumedContainer {
    /// Its name.
    pub name: String,
    /// Whether it runs again.
    pub outcome: Result<Outcome>,
}

/// How a container came to run again, or why it needs not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It had not been touched yet, or ran again already.
    Untouched,
    /// It was held, and was started or unpaused.
    Resumed,
    /// It was about to be held and runs on.
    StillRunning,
    /// It exists no more.
    Gone,
}

/// Resumes the containers of `journal`, dependencies first, those of one wave together.
///
/// A container that is known to be held is released at once. Docker finishes a stop whose
/// client died, so one whose hold was only asked for is watched until it is held (and
/// then released), for its stop timeout and a little; the others do not wait for that
/// longer than two seconds. `resumed` is told the id of each container as soon as it runs.
/// Can be repeated for those that failed.
pub async fn resume_all(
    docker: &Docker,
    journal: &Journal,
    steps: &BTreeMap<String, Step>,
    resumed: &(dyn Fn(&str) + Sync),
) -> Vec<ResumedContainer> {
    let mut results = Vec::new();
    let mut in_flight = Vec::new();
    let mut restarted = BTreeSet::new();
    for wave in waves(journal) {
        let attempts = wave.into_iter().map(async |container| {
            let step = match steps.get(&container.id) {
                _ if !journal.is_of_this_boot() => Some(Step::Held),
                step => step.copied(),
            };
            let outcome = match step {
                None | Some(Step::Resumed) => Ok(Some(Outcome::Untouched)),
                Some(Step::Held) => {
                    wait_for_needs(docker, journal, container, &restarted).await;
                    release(docker, container).await.map(Some)
                }
                Some(Step::Holding) => watch(docker, container, SHORT).await,
            };
            if matches!(outcome, Ok(Some(Outcome::Resumed))) {
                resumed(&container.id);
            }
            (container, outcome)
        });
        for (container, outcome) in join_all(attempts).await {
            match outcome {
                Ok(None) => in_flight.push(container),
                Ok(Some(outcome)) => {
                    if outcome == Outcome::Resumed {
                        restarted.insert(container.id.clone());
                    }
                    results.push(result(container, Ok(outcome)));
                }
                Err(e) => results.push(result(container, Err(e))),
            }
        }
    }
    let watched = in_flight.into_iter().map(async |container| {
        let patience = match container.action {
            Quiesce::Stop => Duration::from_secs(container.stop_timeout).saturating_add(GRACE),
            Quiesce::Pause => GRACE,
        };
        let outcome = watch(docker, container, patience).await;
        if outcome.is_ok() {
            resumed(&container.id);
        }
        result(container, outcome.map(|o| o.unwrap_or(Outcome::StillRunning)))
    });
    results.extend(join_all(watched).await);
    results
}

fn result(container: &JournalContainer, outcome: Result<Outcome>) -> ResumedContainer {
    ResumedContainer { name: container.name.clone(), outcome }
}

/// The containers of a journal by wave, the first to start first.
pub(super) fn waves(journal: &Journal) -> Vec<Vec<&JournalContainer>> {
    let mut waves: BTreeMap<usize, Vec<&JournalContainer>> = BTreeMap::new();
    for container in &journal.containers {
        waves.entry(container.wave).or_default().push(container);
    }
    waves.into_values().collect()
}

async fn release(docker: &Docker, container: &JournalContainer) -> Result<Outcome> {
    match docker.release(&container.id).await {
        Ok(()) => Ok(Outcome::Resumed),
        Err(e) if e.code() == Code::ContainerNotFound => Ok(Outcome::Gone),
        Err(e) => Err(e),
    }
}

/// Releases a container as soon as it is held; `None` when it still runs after `patience`.
async fn watch(
    docker: &Docker,
    container: &JournalContainer,
    patience: Duration,
) -> Result<Option<Outcome>> {
    let deadline = Instant::now() + patience;
    loop {
        match docker.status(&container.id).await {
            Ok(status) if status.state != RunState::Running => {
                return release(docker, container).await.map(Some);
            }
            Ok(_) if Instant::now() >= deadline => return Ok(None),
            Ok(_) => sleep(POLL).await,
            Err(e) if e.code() == Code::ContainerNotFound => return Ok(Some(Outcome::Gone)),
            Err(e) => return Err(e),
        }
    }
}

/// A container that needs another one healthy may end when it is started too early, and
/// then nobody would start it again. One that does not become healthy in time is not
/// waited for any longer: its dependent may still manage.
async fn wait_for_needs(
    docker: &Docker,
    journal: &Journal,
    container: &JournalContainer,
    restarted: &BTreeSet<String>,
) {
    let needs = journal.containers.iter().filter(|other| {
        container.needs_healthy.contains(&other.id) && restarted.contains(&other.id)
    });
    let healthy = needs.map(|other| {
        docker.wait_healthy(&other.id, &other.name, Duration::from_secs(other.health_timeout))
    });
    join_all(healthy).await;
}
