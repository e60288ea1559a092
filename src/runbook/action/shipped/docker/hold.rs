//! `docker.stop` and `docker.pause`: containers do nothing for a while.

use super::select::Wanted;
use super::{Before, bring_back};
use crate::config::{Quiesce, Timeout};
use crate::docker::{Container, Docker, RunState, waves};
use crate::error::Result;
use crate::runbook::action::shipped::outputs;
use crate::runbook::action::{Action, Outputs, Point, Scope};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

pub(in crate::runbook) struct DockerStop;
pub(in crate::runbook) struct DockerPause;

/// What is stopped.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Stopped {
    /// Names, `label=KEY[=VALUE]` or `compose=PROJECT`; without it the containers of the config.
    containers: Option<Vec<String>>,
    /// How long each may take to end by itself; without it what the config says, or 30s.
    timeout: Option<Timeout>,
    /// Whether it is well that there is none of them.
    #[serde(default)]
    missing_ok: bool,
}

/// What is paused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Paused {
    /// Names, `label=KEY[=VALUE]` or `compose=PROJECT`; without it the containers of the config.
    containers: Option<Vec<String>>,
    /// Whether it is well that there is none of them.
    #[serde(default)]
    missing_ok: bool,
}

impl Stopped {
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            containers: self.containers.as_deref(),
            stop_timeout: self.timeout,
            missing_ok: self.missing_ok,
        }
    }
}

impl Paused {
    fn wanted(&self) -> Wanted<'_> {
        let containers = self.containers.as_deref();
        Wanted { containers, missing_ok: self.missing_ok, stop_timeout: None }
    }
}

/// Holds those for which `due` holds, dependents first.
async fn hold(
    docker: &Docker,
    containers: &[Container],
    how: Quiesce,
    due: impl Fn(&Container) -> bool,
    scope: &Scope,
) -> Result<()> {
    for wave in waves(containers).into_iter().rev() {
        let holds = wave.iter().filter(|container| due(container)).map(async |container| {
            docker.hold(&container.id, how, container.stop_timeout).await?;
            scope.log.line(&format!("{} is held", container.name));
            Ok(())
        });
        let holds = async { join_all(holds).await.into_iter().collect::<Result<()>>() };
        scope.unless_cancelled(holds).await?;
        scope.reach(Point::MidEffect);
    }
    Ok(())
}

impl Action for DockerStop {
    type With = Stopped;
    const NAME: &'static str = "docker.stop";
    const ABOUT: &'static str = "Stops containers, those that depend on others first.";
    const OUTPUTS: &'static [&'static str] = &["stopped"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn check(with: &Stopped) -> Result<(), String> {
        with.wanted().check()
    }

    fn plan(&self, with: &Stopped) -> String {
        format!("stop {}", with.wanted().shown())
    }

    async fn run(&self, with: &Stopped, scope: &Scope) -> Result<Outputs> {
        let docker = Docker::connect().await?;
        let containers = with.wanted().find(&docker, scope).await?;
        let before = Before::of(&containers, scope)?;
        let due = |container: &Container| container.state != RunState::Stopped;
        hold(&docker, &containers, Quiesce::Stop, due, scope).await?;
        let stopped = before.names(&[RunState::Running, RunState::Paused]);
        Ok(outputs([("stopped", json!(stopped))]))
    }

    async fn undo(&self, _: &Stopped, _: Option<&Outputs>, scope: &Scope) -> Result<()> {
        bring_back(scope).await
    }
}

impl Action for DockerPause {
    type With = Paused;
    const NAME: &'static str = "docker.pause";
    const ABOUT: &'static str = "Freezes the processes of containers where they are.";
    const OUTPUTS: &'static [&'static str] = &["paused"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn check(with: &Paused) -> Result<(), String> {
        with.wanted().check()
    }

    fn plan(&self, with: &Paused) -> String {
        format!("pause {}", with.wanted().shown())
    }

    async fn run(&self, with: &Paused, scope: &Scope) -> Result<Outputs> {
        let docker = Docker::connect().await?;
        let containers = with.wanted().find(&docker, scope).await?;
        let before = Before::of(&containers, scope)?;
        hold(&docker, &containers, Quiesce::Pause, Container::is_running, scope).await?;
        Ok(outputs([("paused", json!(before.names(&[RunState::Running])))]))
    }

    async fn undo(&self, _: &Paused, _: Option<&Outputs>, scope: &Scope) -> Result<()> {
        bring_back(scope).await
    }
}
