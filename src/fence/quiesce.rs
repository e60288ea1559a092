//! Holding the containers of a journal, and letting them go on.

use super::guardian::Guardian;
use super::journal::{Journal, JournalContainer, Step};
use super::resume::{Outcome, ResumedContainer, resume_all, waves};
use crate::config::Quiesce;
use crate::docker::{Container, Docker, Health, RunState};
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use crate::repository::manifest::Downtime;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the process that holds the containers tries to resume them, before it leaves
/// them to the guardian.
const ATTEMPTS: u32 = 3;
/// The exit code of a container that was ended by SIGKILL: 128 and the signal's number.
const KILLED: i64 = 128 + 9;

type Clock = Mutex<BTreeMap<String, Instant>>;

/// Containers that are held, or were let go on trial. Dropping it without
/// [`resume`](Self::resume) or [`settle`](Self::settle) lets the guardian resume them.
#[derive(Debug)]
#[must_use = "dropping it makes the guardian resume the containers"]
pub struct HeldContainers {
    docker: Docker,
    guardian: Arc<Guardian>,
    progress: Arc<dyn Progress>,
    journal: Journal,
    asked_at: Clock,
    /// When each was started last before it was held.
    started_at: Mutex<BTreeMap<String, Option<String>>>,
    settled: bool,
}

/// Holds the running containers of the guardian's journal, dependents first, independent
/// ones together, and returns when all are held.
///
/// # Errors
/// [`Code::GuardianFailed`] before anything is held when the guardian is dead. When a
/// container cannot be held, those that are held are resumed and its error is returned:
/// [`Code::ContainerNotFound`], [`Code::DockerFailed`], [`Code::DockerUnreachable`].
pub async fn quiesce(
    docker: &Docker,
    guardian: &Arc<Guardian>,
    progress: &Arc<dyn Progress>,
) -> Result<HeldContainers> {
    guardian.check_alive()?;
    let journal = guardian.journal().journal();
    let held = HeldContainers {
        docker: docker.clone(),
        guardian: Arc::clone(guardian),
        progress: Arc::clone(progress),
        journal,
        asked_at: Clock::default(),
        started_at: Mutex::default(),
        settled: false,
    };
    held.note_starts().await;
    for wave in waves(&held.journal).into_iter().rev() {
        let holds = join_all(wave.into_iter().map(|c| held.hold(c))).await;
        if let Err(error) = holds.into_iter().collect::<Result<()>>() {
            if let Err(left) = held.resume().await {
                progress.warn(left.code(), left.to_string());
            }
            return Err(error);
        }
    }
    Ok(held)
}

impl HeldContainers {
    /// The names of the containers that are held.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.journal.containers.iter().map(|c| c.name.as_str())
    }

    async fn hold(&self, container: &JournalContainer) -> Result<()> {
        let journal = self.guardian.journal();
        journal.note(Step::Holding, &container.id)?;
        lock(&self.asked_at).entry(container.id.clone()).or_insert_with(Instant::now);
        let timeout = Duration::from_secs(container.stop_timeout);
        let (asked_at, held) =
            (Instant::now(), self.docker.hold(&container.id, container.action, timeout).await);
        match held {
            // The request may have arrived, and Docker finish it later.
            Err(e) if e.code() == Code::DockerUnreachable => return Err(e),
            // Held, or refused: nothing is in flight any more.
            answered => journal.note(Step::Held, &container.id).and(answered)?,
        }
        if container.action == Quiesce::Stop && asked_at.elapsed() >= timeout {
            self.tell_killed(container).await;
        }
        Ok(())
    }

    /// Says so where a container did not end by itself: what it had not written yet is lost,
    /// as with a crash.
    async fn tell_killed(&self, container: &JournalContainer) {
        let status = self.docker.status(&container.id).await;
        if status.is_ok_and(|status| status.exit_code == Some(KILLED)) {
            let JournalContainer { name, stop_timeout, .. } = container;
            self.progress.warn(
                Code::ContainerKilled,
                format!("{name} did not stop within {stop_timeout} s and was killed"),
            );
        }
    }

    /// Takes note of when each container was started last.
    async fn note_starts(&self) {
        let looks = self.journal.containers.iter().map(async |container| {
            let status = self.docker.status(&container.id).await.ok()?;
            Some((container.id.clone(), status.started_at))
        });
        let starts = join_all(looks).await.into_iter().flatten().collect();
        *self.started_at.lock().unwrap_or_else(PoisonError::into_inner) = starts;
    }

    /// Holds once more what runs again, dependents first. A container that exists no more
    /// writes nothing.
    ///
    /// # Errors
    /// As [`quiesce`]; what is held then stays held.
    pub async fn hold_again(&self) -> Result<()> {
        for wave in waves(&self.journal).into_iter().rev() {
            let holds = join_all(wave.into_iter().map(|c| self.hold(c))).await;
            for held in holds {
                held.or_else(
                    |e| if e.code() == Code::ContainerNotFound { Ok(()) } else { Err(e) },
                )?;
            }
        }
        self.note_starts().await;
        Ok(())
    }

    /// Which of the containers somebody else let go or removed since they were held, each as
    /// a sentence. A pause that was lifted and made again leaves no trace.
    pub async fn strays(&self) -> Vec<String> {
        let started_at = self.started_at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let looks = self.journal.containers.iter().map(async |container| {
            let name = &container.name;
            match self.docker.status(&container.id).await {
                Ok(status) if status.state == RunState::Running => {
                    Some(format!("somebody let {name} go on while it was held"))
                }
                Ok(status) if started_at.get(&container.id) != Some(&status.started_at) => {
                    Some(format!("somebody started {name} while it was held"))
                }
                Ok(_) => None,
                Err(e) if e.code() == Code::ContainerNotFound => {
                    Some(format!("somebody removed {name} while it was held"))
                }
                Err(e) => Some(format!("whether {name} was still held is not known: {e}")),
            }
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    /// Lets the containers go on for good; as [`release`](Self::release).
    ///
    /// # Errors
    /// [`Code::NotResumed`] when one does not run again; the guardian keeps trying.
    pub async fn resume(mut self) -> Result<Vec<Downtime>> {
        let downtime = self.release().await?;
        self.guardian.journal().forget_containers()?;
        self.settled = true;
        Ok(downtime)
    }

    /// They run, and nobody has to hold them again: ends the guard over them and over the
    /// restore that the journal names.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin when the journal cannot be written.
    pub fn settle(mut self) -> Result<()> {
        self.guardian.journal().settle()?;
        self.settled = true;
        Ok(())
    }

    /// Lets the containers go on, dependencies first, and returns how long each was held:
    /// from the request to hold it until it ran again, by the monotonic clock. They stay in
    /// the journal: whoever comes after a death may have to hold them again.
    ///
    /// # Errors
    /// [`Code::NotResumed`] when one does not run again, or exists no more.
    pub async fn release(&mut self) -> Result<Vec<Downtime>> {
        let running_at = Clock::default();
        let note = |id: &str| {
            lock(&running_at).insert(id.to_string(), Instant::now());
            // Only a hint for whoever comes after a death; Docker knows the truth.
            drop(self.guardian.journal().note(Step::Resumed, id));
        };
        let mut left = Vec::new();
        for attempt in 1..=ATTEMPTS {
            let steps = self.guardian.journal().steps();
            let results = resume_all(&self.docker, &self.journal, &steps, &note).await;
            let may_succeed = results.iter().any(|container| container.outcome.is_err());
            left = results.into_iter().filter_map(failure).collect::<Vec<_>>();
            if !may_succeed {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200) * attempt).await;
        }
        if !left.is_empty() {
            return Err(Error::new(Code::NotResumed, "resume", "the held containers")
                .cause(left.join("; "))
                .hint("the guardian keeps trying for an hour; see guardian.log, `docker ps -a`"));
        }
        Ok(self.downtime(&lock(&running_at)))
    }

    fn downtime(&self, running_at: &BTreeMap<String, Instant>) -> Vec<Downtime> {
        let asked_at = lock(&self.asked_at);
        let held = self.journal.containers.iter().filter_map(|c| {
            let (asked, running) = (asked_at.get(&c.id)?, running_at.get(&c.id)?);
            let seconds = running.duration_since(*asked).as_secs_f64();
            Some(Downtime { container: c.name.clone(), seconds })
        });
        held.collect()
    }
}

impl Drop for HeldContainers {
    fn drop(&mut self) {
        if !self.settled {
            self.guardian.abandon();
        }
    }
}

fn failure(container: ResumedContainer) -> Option<String> {
    match container.outcome {
        Ok(Outcome::Gone) => Some(format!("{} exists no more", container.name)),
        Ok(_) => None,
        Err(error) => Some(format!("{}: {error}", container.name)),
    }
}

fn lock(clock: &Clock) -> std::sync::MutexGuard<'_, BTreeMap<String, Instant>> {
    clock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those of `containers` that run and have nothing wrong with them now, so that they can be
/// expected to be so again after a hold.
pub async fn sound(docker: &Docker, containers: &[Container]) -> Vec<Container> {
    let looks = containers.iter().map(async |container| {
        let status = docker.status(&container.id).await.ok()?;
        let sound = status.state == RunState::Running
            && matches!(status.health, Health::Healthy | Health::Unchecked);
        sound.then(|| container.clone())
    });
    join_all(looks).await.into_iter().flatten().collect()
}

/// Waits until those of `containers` that ran before are healthy, each for at most its
/// `health_timeout`; one without a health check needs only to run. Returns what failed.
pub async fn wait_healthy(docker: &Docker, containers: &[Container]) -> Vec<Error> {
    let ran = containers.iter().filter(|c| c.is_running());
    let waits = ran.map(|c| docker.wait_healthy(&c.id, &c.name, c.health_timeout));
    join_all(waits).await.into_iter().filter_map(Result::err).collect()
}
