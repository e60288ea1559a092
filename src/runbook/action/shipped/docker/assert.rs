//! `docker.assert`: containers do what they should.

use super::select::Wanted;
use crate::config::Timeout;
use crate::docker::{Container, Docker, Health, RunState, Status};
use crate::error::{Code, Result};
use crate::runbook::action::shipped::outputs;
use crate::runbook::action::{Action, Outputs, Scope, not_held};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it looks again.
const POLL: Duration = Duration::from_millis(200);

pub(in crate::runbook) struct DockerAssert;

/// What is expected of which containers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// Names, `label=KEY[=VALUE]` or `compose=PROJECT`; without it the containers of the config.
    containers: Option<Vec<String>>,
    /// What each of them has to do.
    #[serde(default)]
    state: Expected,
    /// How long they may take to come there; without it they have to be there now.
    within: Option<Timeout>,
}

/// What a container has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Expected {
    /// It runs and is healthy; one without a health check only has to run.
    #[default]
    Healthy,
    /// It runs.
    Running,
    /// It is paused.
    Paused,
    /// It exists and does not run.
    Stopped,
    /// It exists, whatever it does.
    Present,
    /// There is none.
    Absent,
}

impl Expected {
    fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Present => "present",
            Self::Absent => "absent",
        }
    }

    fn fits(self, status: &Status) -> bool {
        match self {
            Self::Healthy => {
                let sound = matches!(status.health, Health::Healthy | Health::Unchecked);
                status.state == RunState::Running && sound
            }
            Self::Running => status.state == RunState::Running,
            Self::Paused => status.state == RunState::Paused,
            Self::Stopped => status.state == RunState::Stopped,
            Self::Present => true,
            Self::Absent => false,
        }
    }
}

impl With {
    fn wanted(&self) -> Wanted<'_> {
        let missing_ok = self.state == Expected::Absent;
        Wanted { containers: self.containers.as_deref(), missing_ok, stop_timeout: None }
    }

    async fn look(&self, docker: &Docker, scope: &Scope) -> Result<Outputs> {
        let what = format!("{} is {}", self.wanted().shown(), self.state.as_str());
        let found = match self.wanted().find(docker, scope).await {
            Err(e) if e.code() == Code::ContainerNotFound => return Err(not_held(what, e)),
            found => found?,
        };
        let mut wrong = Vec::new();
        for Container { id, name, .. } in &found {
            match docker.status(id).await {
                Ok(status) if self.state.fits(&status) => {}
                Ok(status) => wrong.push(format!("{name} {}", described(&status))),
                Err(e) if e.code() == Code::ContainerNotFound => {
                    wrong.push(format!("{name} is gone"));
                }
                Err(e) => return Err(e),
            }
        }
        let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
        match wrong.is_empty() {
            true => Ok(outputs([("containers", json!(names))])),
            false => Err(not_held(what, wrong.join(", "))),
        }
    }
}

impl Action for DockerAssert {
    type With = With;
    const NAME: &'static str = "docker.assert";
    const ABOUT: &'static str = "Fails unless containers do what they should.";
    const OUTPUTS: &'static [&'static str] = &["containers"];
    const READS_ONLY: bool = true;

    fn check(with: &With) -> Result<(), String> {
        with.wanted().check()
    }

    fn plan(&self, with: &With) -> String {
        format!("check that {} is {}", with.wanted().shown(), with.state.as_str())
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        // Of no container everything holds, also where there is no Docker.
        if with.containers.as_ref().is_some_and(Vec::is_empty) {
            return Ok(outputs([("containers", json!([]))]));
        }
        let docker = Docker::connect().await?;
        let deadline = Instant::now() + with.within.map_or(Duration::ZERO, Timeout::duration);
        loop {
            let found = scope.unless_cancelled(with.look(&docker, scope)).await;
            match found {
                Err(e) if e.code() == Code::AssertionFailed && Instant::now() < deadline => {
                    let pause = async {
                        sleep(POLL).await;
                        Ok(())
                    };
                    scope.unless_cancelled(pause).await?;
                }
                found => return found,
            }
        }
    }
}

fn described(status: &Status) -> String {
    match (status.state, status.health, status.exit_code) {
        (RunState::Running, Health::Unhealthy, _) => "is unhealthy".into(),
        (RunState::Running, Health::Starting, _) => "has no verdict of its health check yet".into(),
        (RunState::Running, ..) => "is running".into(),
        (RunState::Paused, ..) => "is paused".into(),
        (RunState::Stopped, _, Some(code)) => format!("is stopped, with exit code {code}"),
        (RunState::Stopped, _, None) => "is stopped".into(),
    }
}
