//! Runs as people and programs see them.

use super::mirror::is_alive;
use super::run::{Ended, Run, State, StepState, Store};
use super::{Runbook, check::check};
use crate::clock;
use crate::error::Result;
use crate::runbook::action::Registry;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// The runbook's name.
    pub runbook: String,
    /// The runbook's title.
    pub title: String,
    /// `RUNNING`, `WAITING`, `PAUSED`, `SUCCEEDED`, `FAILED` or `ABORTED`.
    pub state: State,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it ended; null before.
    pub finished_at: Option<Timestamp>,
    /// Who began it.
    pub user: String,
    /// On which host.
    pub host: String,
    /// Why it stands still, and at which step; null while it does not.
    pub waiting: Option<WaitingView>,
    /// Why it failed; null where it did not.
    pub error: Option<Value>,
    /// Its steps, in order, those to come too.
    pub steps: Vec<StepView>,
}

/// Why a run stands still.
#[derive(Debug, Clone, Serialize)]
pub struct WaitingView {
    /// The step.
    pub step: Option<String>,
    /// The question, or the reason.
    pub reason: String,
    /// What would be done.
    pub shown: Option<String>,
}

/// A step of a run.
#[derive(Debug, Clone, Serialize)]
pub struct StepView {
    /// Its id.
    pub id: String,
    /// Its title, where it has one.
    pub title: Option<String>,
    /// `PENDING`, `WAITING`, `STARTED`, `SUCCEEDED`, `FAILED`, `SKIPPED` or `UNKNOWN`.
    pub state: StepState,
    /// How many attempts there were.
    pub attempts: usize,
    /// How long they took.
    pub seconds: f64,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
}

impl RunView {
    /// How the exit code of a command says where the run stands.
    pub fn ended(&self) -> Option<Ended> {
        match self.state {
            State::Succeeded => Some(Ended::Succeeded),
            State::Failed => Some(Ended::Failed),
            State::Aborted => Some(Ended::Aborted),
            _ => None,
        }
    }
}

/// Looks at a run.
///
/// # Errors
/// `run_damaged` where its text is not the one with which it was begun.
pub fn view(run: &Run, state_dir: &Path, registry: &Registry) -> Result<RunView> {
    let state = &run.state;
    let now = clock::now();
    let alive = is_alive(run, state_dir);
    // A later version may not understand the text; what was done can be shown all the same.
    let runbook = check(&state.created.source, &run.text()?, registry)
        .and_then(|it| it.unrolled(&state.created.parameters))
        .ok()
        .map(|it| it.runbook);
    let steps = names(run, runbook.as_ref()).into_iter().map(|(id, title)| {
        let unit = state.unit(&id);
        let said = unit.error.as_ref().and_then(|error| error["message"].as_str());
        StepView {
            id,
            title,
            state: unit.state,
            attempts: unit.attempts.len(),
            seconds: (unit.seconds(now) * 1000.0).round() / 1000.0,
            reason: said.map(str::to_owned).or(unit.reason),
            retry_at: unit.retry_at,
        }
    });
    Ok(RunView {
        id: run.id().to_owned(),
        runbook: state.created.runbook.clone(),
        title: state.created.title.clone(),
        state: state.state(alive),
        started_at: state.started_at,
        finished_at: state.ended().map(|_| state.last_at),
        user: state.created.who.user.clone(),
        host: state.created.who.host.clone(),
        waiting: waiting(run, alive),
        error: state.failure.as_ref().map(|(_, error)| error.clone()),
        steps: steps.collect(),
    })
}

/// The runs on `target` that have not ended, by their ids.
///
/// # Errors
/// Where the state directory cannot be read.
pub fn unfinished(state_dir: &Path, target: &str) -> Result<Vec<String>> {
    let runs = Store::in_dir(state_dir).all(|_| {})?;
    let open =
        runs.iter().filter(|run| run.state.ended().is_none() && run.state.created.target == target);
    Ok(open.map(|run| run.id().to_owned()).collect())
}

/// The steps with their titles, then the parts that were done by themselves.
fn names(run: &Run, runbook: Option<&Runbook>) -> Vec<(String, Option<String>)> {
    let mut names: Vec<(String, Option<String>)> = Vec::new();
    if let Some(runbook) = runbook {
        // The rescue shows once it was needed.
        let needed = |id: &str| run.state.units.contains_key(id);
        let rescue = runbook.rescue.iter().filter(|step| needed(&step.id));
        names.extend(
            runbook.steps.iter().chain(rescue).map(|step| (step.id.clone(), step.title.clone())),
        );
    }
    for name in &run.state.order {
        if !names.iter().any(|(known, _)| known == name) {
            names.push((name.clone(), None));
        }
    }
    names
}

fn waiting(run: &Run, alive: bool) -> Option<WaitingView> {
    let state = &run.state;
    if state.ended().is_some() {
        return None;
    }
    let asked = state.units.iter().find(|(_, unit)| unit.state == StepState::Waiting);
    if let Some((step, unit)) = asked {
        let asked = unit.asked.clone();
        return Some(WaitingView {
            step: Some(step.clone()),
            reason: asked.as_ref().map(|asked| asked.prompt.clone()).unwrap_or_default(),
            shown: asked.map(|asked| asked.shown),
        });
    }
    match &state.paused {
        Some((step, reason)) => {
            Some(WaitingView { step: step.clone(), reason: reason.clone(), shown: None })
        }
        None if alive => None,
        None => Some(WaitingView {
            step: None,
            reason: format!("its runner is gone: `backstop runbook resume {}`", run.id()),
            shown: None,
        }),
    }
}
