//! What containers were doing before a step, and leading them back there.

use crate::config::{ContainerSelection, Quiesce, Selector};
use crate::docker::{Container, Docker, RunState, waves};
use crate::error::{Code, Result};
use crate::runbook::action::Scope;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Under which name it is noted.
const NOTE: &str = "before";

/// What each container was doing before the first attempt, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::runbook::action::shipped) struct Before(BTreeMap<String, RunState>);

impl Before {
    /// What an earlier attempt noted; else what `containers` do now, which is noted.
    pub(in crate::runbook::action::shipped) fn of(
        containers: &[Container],
        scope: &Scope,
    ) -> Result<Self> {
        if let Some(noted) = scope.all_noted(NOTE).first() {
            return Ok(Self::read(noted));
        }
        let before = Self(containers.iter().map(|it| (it.name.clone(), it.state)).collect());
        scope.note(NOTE, before.to_json())?;
        Ok(before)
    }

    /// The names of those that were in one of these states.
    pub(in crate::runbook::action::shipped) fn names(&self, states: &[RunState]) -> Vec<String> {
        let fitting = self.0.iter().filter(|(_, state)| states.contains(state));
        fitting.map(|(name, _)| name.clone()).collect()
    }

    fn to_json(&self) -> Value {
        let word = |state: &RunState| match state {
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Stopped => "stopped",
        };
        self.0.iter().map(|(name, state)| (name.clone(), json!(word(state)))).collect()
    }

    fn read(noted: &Value) -> Self {
        let entries = noted.as_object().into_iter().flatten();
        Self(
            entries
                .map(|(name, state)| {
                    let state = match state.as_str() {
                        Some("running") => RunState::Running,
                        Some("paused") => RunState::Paused,
                        _ => RunState::Stopped,
                    };
                    (name.clone(), state)
                })
                .collect(),
        )
    }
}

/// Makes the containers of a step do again what they did before it. One that exists no more is
/// left out.
pub(super) async fn bring_back(scope: &Scope) -> Result<()> {
    let Some(before) = scope.all_noted(NOTE).first().map(Before::read) else {
        // Nothing is touched before it is noted.
        return Ok(());
    };
    let docker = Docker::connect().await?;
    let mut containers = Vec::new();
    for name in before.0.keys() {
        let one = ContainerSelection::of(Selector::Name(name.clone()));
        match docker.select(&[one]).await {
            Ok(selected) => containers.extend(selected.containers),
            Err(e) if e.code() == Code::ContainerNotFound => {}
            Err(e) => return Err(e),
        }
    }
    lead_back(&docker, &containers, &before).await
}

/// As [`bring_back`], where a step may have made some of `containers`: these are stopped.
pub(in crate::runbook::action::shipped) async fn bring_back_made(
    docker: &Docker,
    containers: &[Container],
    scope: &Scope,
) -> Result<()> {
    match scope.all_noted(NOTE).first().map(Before::read) {
        Some(before) => lead_back(docker, containers, &before).await,
        None => Ok(()),
    }
}

/// First what is to be still, dependents first, then what is to run, dependencies first.
async fn lead_back(docker: &Docker, containers: &[Container], before: &Before) -> Result<()> {
    let wanted =
        |container: &Container| before.0.get(&container.name).copied().unwrap_or(RunState::Stopped);
    for wave in waves(containers).into_iter().rev() {
        let still = |container: &&Container| {
            wanted(container) == RunState::Stopped && container.state != RunState::Stopped
        };
        let stop = |it: &Container| (it.id.clone(), it.stop_timeout);
        let stops = wave
            .iter()
            .filter(still)
            .map(stop)
            .map(async |(id, timeout)| docker.hold(&id, Quiesce::Stop, timeout).await);
        join_all(stops).await.into_iter().collect::<Result<()>>()?;
    }
    for wave in waves(containers) {
        let releases = wave.iter().map(async |container| match wanted(container) {
            RunState::Running => docker.release(&container.id).await,
            RunState::Paused if container.state != RunState::Paused => {
                docker.release(&container.id).await?;
                docker.hold(&container.id, Quiesce::Pause, container.stop_timeout).await
            }
            _ => Ok(()),
        });
        join_all(releases).await.into_iter().collect::<Result<()>>()?;
    }
    Ok(())
}
