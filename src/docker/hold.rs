//! Holding and releasing a container, and waiting for it.
//!
//! All of it may be repeated: holding what is held and releasing what runs succeeds.

use super::{Docker, Health, RunState, Status, failed};
use crate::config::Quiesce;
use crate::error::{Code, Error, Result};
use bollard::errors::Error as Cause;
use bollard::models::{ContainerStateStatusEnum, HealthStatusEnum};
use bollard::query_parameters::StopContainerOptionsBuilder;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a container that is waited for is looked at.
const POLL: Duration = Duration::from_millis(50);
/// What killing and recording the end of a container may take, beyond its stop timeout.
const KILL: Duration = Duration::from_secs(120);

impl Docker {
    /// What a container is doing.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`], [`Code::DockerUnreachable`].
    pub async fn status(&self, container: &str) -> Result<Status> {
        let inspected = self
            .client
            .inspect_container(container, None)
            .await
            .map_err(|e| failed("inspect container", container, e))?;
        let state = inspected.state.unwrap_or_default();
        Ok(Status {
            state: match state.status {
                Some(
                    ContainerStateStatusEnum::RUNNING
                    | ContainerStateStatusEnum::RESTARTING
                    | ContainerStateStatusEnum::STOPPING,
                ) => RunState::Running,
                Some(ContainerStateStatusEnum::PAUSED) => RunState::Paused,
                _ => RunState::Stopped,
            },
            health: match state.health.and_then(|h| h.status) {
                Some(HealthStatusEnum::STARTING) => Health::Starting,
                Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
                Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
                _ => Health::Unchecked,
            },
            exit_code: state.exit_code,
            started_at: state.started_at.map(|at| at.to_string()),
        })
    }

    /// Stops or pauses a container and returns once it is held. A stop gives it
    /// `stop_timeout` (whole seconds, rounded up) to end by itself.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`], [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn hold(&self, id: &str, how: Quiesce, stop_timeout: Duration) -> Result<()> {
        match how {
            Quiesce::Stop => {
                let seconds = stop_timeout.as_secs() + u64::from(stop_timeout.subsec_nanos() > 0);
                let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
                let options = StopContainerOptionsBuilder::default().t(seconds).build();
                self.patient(stop_timeout.saturating_add(KILL))
                    .stop_container(id, Some(options))
                    .await
                    .map_err(|e| failed("stop container", id, e))
            }
            Quiesce::Pause => match self.client.pause_container(id).await {
                Err(e) if conflicts(&e) => match self.status(id).await?.state {
                    RunState::Paused | RunState::Stopped => Ok(()),
                    RunState::Running => Err(failed("pause container", id, e)),
                },
                other => other.map_err(|e| failed("pause container", id, e)),
            },
        }
    }

    /// Stops a container for good: the daemon does not start it again by itself.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub async fn retire(&self, id: &str, stop_timeout: Duration) -> Result<()> {
        let body = serde_json::json!({ "RestartPolicy": { "Name": "no" } });
        self.post(&format!("/containers/{id}/update"), &body, "update container", id).await?;
        self.hold(id, Quiesce::Stop, stop_timeout).await
    }

    /// Lets a held container go on: unpauses it where it is paused, starts it where it is
    /// stopped. It runs when this returns.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`], [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn release(&self, id: &str) -> Result<()> {
        match self.status(id).await?.state {
            RunState::Running => Ok(()),
            RunState::Paused => match self.client.unpause_container(id).await {
                Err(e) if conflicts(&e) => self.start(id).await,
                other => other.map_err(|e| failed("unpause container", id, e)),
            },
            RunState::Stopped => self.start(id).await,
        }
    }

    async fn start(&self, id: &str) -> Result<()> {
        self.client.start_container(id, None).await.map_err(|e| failed("start container", id, e))
    }

    /// Waits until a container runs.
    ///
    /// # Errors
    /// [`Code::NotResumed`] after `patience`; those of [`status`](Self::status).
    pub async fn wait_running(&self, id: &str, name: &str, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.status(id).await?;
            if status.state == RunState::Running {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::new(Code::NotResumed, "wait for container", name)
                    .cause(not_running(&status)));
            }
            sleep(POLL).await;
        }
    }

    /// Waits until a container is healthy; one without a health check, until it runs.
    ///
    /// # Errors
    /// [`Code::Unhealthy`] after `patience`, or at once when it has ended; those of
    /// [`status`](Self::status).
    pub async fn wait_healthy(&self, id: &str, name: &str, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let unhealthy = |cause: String| {
            Error::new(Code::Unhealthy, "wait for health of container", name).cause(cause)
        };
        loop {
            let status = self.status(id).await?;
            match (status.state, status.health) {
                (RunState::Running, Health::Healthy | Health::Unchecked) => return Ok(()),
                (RunState::Stopped, _) => return Err(unhealthy(not_running(&status))),
                _ if Instant::now() >= deadline => {
                    let seconds = patience.as_secs();
                    let cause = match (status.state, status.health) {
                        (RunState::Paused, _) => "it is paused".to_string(),
                        (_, Health::Unhealthy) => format!("unhealthy after {seconds} s"),
                        _ => format!("no verdict of its health check after {seconds} s"),
                    };
                    return Err(unhealthy(cause));
                }
                _ => sleep(POLL).await,
            }
        }
    }
}

fn not_running(status: &Status) -> String {
    match (status.state, status.exit_code) {
        (RunState::Paused, _) => "it is paused".to_string(),
        (_, Some(code)) => format!("it ended with exit code {code}"),
        (_, None) => "it does not run".to_string(),
    }
}

/// Docker answers 409 where the container is already so, or is no longer able to.
fn conflicts(cause: &Cause) -> bool {
    matches!(cause, Cause::DockerResponseServerError { status_code: 409 | 500, .. })
}
