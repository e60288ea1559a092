//! `docker.start` and `docker.unpause`: containers go on.

use super::select::{Wanted, patience};
use super::{Before, bring_back};
use crate::config::Timeout;
use crate::docker::{Container, Docker, RunState, waves};
use crate::error::Result;
use crate::runbook::action::shipped::outputs;
use crate::runbook::action::{Action, Outputs, Point, Scope};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;

pub(in crate::runbook) struct DockerStart;
pub(in crate::runbook) struct DockerUnpause;

/// What is started.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Started {
    /// Names, `label=KEY[=VALUE]` or `compose=PROJECT`; without it the containers of the config.
    containers: Option<Vec<String>>,
    /// Whether the step waits until they are healthy; one without a health check only has to run.
    #[serde(default = "yes")]
    healthy: bool,
    /// How long each may take for that; without it what the config says, or 2m.
    within: Option<Timeout>,
}

/// What is unpaused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Unpaused {
    /// Names, `label=KEY[=VALUE]` or `compose=PROJECT`; without it the containers of the config.
    containers: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

fn wanted(containers: Option<&[String]>) -> Wanted<'_> {
    Wanted { containers, ..Wanted::default() }
}

impl Action for DockerStart {
    type With = Started;
    const NAME: &'static str = "docker.start";
    const ABOUT: &'static str = "Starts containers, those that others depend on first.";
    const OUTPUTS: &'static [&'static str] = &["started"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn check(with: &Started) -> Result<(), String> {
        wanted(with.containers.as_deref()).check()
    }

    fn plan(&self, with: &Started) -> String {
        let healthy = if with.healthy { " and wait until they are healthy" } else { "" };
        format!("start {}{healthy}", wanted(with.containers.as_deref()).shown())
    }

    async fn run(&self, with: &Started, scope: &Scope) -> Result<Outputs> {
        let docker = Docker::connect().await?;
        let containers = wanted(with.containers.as_deref()).find(&docker, scope).await?;
        let before = Before::of(&containers, scope)?;
        let needed: BTreeSet<&str> = containers
            .iter()
            .flat_map(|container| &container.depends_on)
            .filter(|need| need.healthy)
            .map(|need| need.id.as_str())
            .collect();
        for wave in waves(&containers) {
            let starts = wave.iter().map(async |container| {
                docker.release(&container.id).await?;
                // One that needs another healthy may end when it is started too early.
                if with.healthy || needed.contains(container.id.as_str()) {
                    let patience = patience(with.within, container);
                    docker.wait_healthy(&container.id, &container.name, patience).await?;
                }
                scope.log.line(&format!("{} runs", container.name));
                Ok(())
            });
            let starts = async { join_all(starts).await.into_iter().collect::<Result<()>>() };
            scope.unless_cancelled(starts).await?;
            scope.reach(Point::MidEffect);
        }
        let started = before.names(&[RunState::Stopped, RunState::Paused]);
        Ok(outputs([("started", json!(started))]))
    }

    async fn undo(&self, _: &Started, _: Option<&Outputs>, scope: &Scope) -> Result<()> {
        bring_back(scope).await
    }
}

impl Action for DockerUnpause {
    type With = Unpaused;
    const NAME: &'static str = "docker.unpause";
    const ABOUT: &'static str = "Lets paused containers go on.";
    const OUTPUTS: &'static [&'static str] = &["unpaused"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn check(with: &Unpaused) -> Result<(), String> {
        wanted(with.containers.as_deref()).check()
    }

    fn plan(&self, with: &Unpaused) -> String {
        format!("unpause {}", wanted(with.containers.as_deref()).shown())
    }

    async fn run(&self, with: &Unpaused, scope: &Scope) -> Result<Outputs> {
        let docker = Docker::connect().await?;
        let containers = wanted(with.containers.as_deref()).find(&docker, scope).await?;
        let before = Before::of(&containers, scope)?;
        let paused = |container: &&Container| container.state == RunState::Paused;
        for wave in waves(&containers) {
            let releases = wave.iter().filter(paused).map(|it| docker.release(&it.id));
            let releases = async { join_all(releases).await.into_iter().collect::<Result<()>>() };
            scope.unless_cancelled(releases).await?;
            scope.reach(Point::MidEffect);
        }
        Ok(outputs([("unpaused", json!(before.names(&[RunState::Paused])))]))
    }

    async fn undo(&self, _: &Unpaused, _: Option<&Outputs>, scope: &Scope) -> Result<()> {
        bring_back(scope).await
    }
}
