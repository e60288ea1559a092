//! What a person decides about a run, from any shell: written into its journal, where a living
//! runner finds it, and the next one else.

use super::mirror::is_alive;
use super::run::{Ended, Entry, Means, Run, RunState, StepState, Store, Verdict, Who};
use crate::error::{Code, Error, Result};
use crate::restore::require_way_back;
use serde_json::{Map, Value};
use std::path::Path;

/// What a decision leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The run's whole id.
    pub run: String,
    /// A living runner goes on by itself; without one the run has to be resumed.
    pub alive: bool,
}

/// Agrees to a step that waits for it, or says that what a person has to do is done.
///
/// # Errors
/// `run_not_found`, `step_not_found`; `run_refused` where the step does not wait.
pub fn approve(state_dir: &Path, wanted: &str, step: &str) -> Result<Decided> {
    let (run, alive) = open(state_dir, wanted)?;
    let id = run.id().to_owned();
    let asked = known(&run.state, step)?.asked.clone();
    let shown = asked.map(|asked| format!("{}\n{}", asked.prompt, asked.shown));
    let entry = Entry::Approved {
        step: step.to_owned(),
        who: Who::current(),
        means: Means::Command,
        shown: shown.unwrap_or_default(),
    };
    run.into_recorder().record_if(entry, &mut |state| match state.state_of(step) {
        StepState::Waiting => Ok(()),
        other => Err(refused("approve step", step)
            .cause(format!("it does not wait, it is {}", other.as_str()))
            .hint(format!("`backstop runbook status {wanted}` shows what waits"))),
    })?;
    Ok(Decided { run: id, alive })
}

/// Says what is to become of a step that failed, or of which nobody knows.
///
/// # Errors
/// `run_not_found`, `step_not_found`; `run_refused` where nobody asks, or the run has ended.
pub fn resolve(
    state_dir: &Path,
    wanted: &str,
    step: &str,
    verdict: Verdict,
    reason: &str,
) -> Result<Decided> {
    let (run, alive) = open(state_dir, wanted)?;
    let id = run.id().to_owned();
    known(&run.state, step)?;
    let outputs = match verdict {
        Verdict::Done => Value::Object(Map::new()),
        _ => Value::Null,
    };
    let entry = Entry::Resolved {
        unit: step.to_owned(),
        verdict,
        means: Means::Command,
        reason: reason.to_owned(),
        who: Some(Who::current()),
        outputs,
    };
    run.into_recorder().record_if(entry, &mut |state| {
        let at = state.state_of(step);
        let refused = |cause: String| Err(refused("resolve step", step).cause(cause));
        match at {
            _ if state.ended().is_some() => refused("the run has ended".into()),
            _ if alive => refused("a runner works on it; abort the run or wait".into()),
            StepState::Failed | StepState::Unknown | StepState::Started => Ok(()),
            _ => refused(format!("it is {}, so there is nothing to say", at.as_str())),
        }
    })?;
    Ok(Decided { run: id, alive: false })
}

/// Wants a run to end; with `rollback` what was done is undone.
///
/// # Errors
/// `run_not_found`; `run_refused` where it has ended.
pub fn abort(state_dir: &Path, wanted: &str, reason: &str, rollback: bool) -> Result<Decided> {
    let (run, alive) = open(state_dir, wanted)?;
    let id = run.id().to_owned();
    if rollback && run.state.ended() == Some(Ended::Succeeded) {
        // Before anything of it is touched.
        swaps(&run.state).try_for_each(|key| require_way_back(state_dir, key))?;
    }
    let entry = Entry::AbortRequested { who: Who::current(), reason: reason.to_owned(), rollback };
    run.into_recorder().record_if(entry, &mut |state| match state.ended() {
        None => Ok(()),
        // What it did can still be undone.
        Some(Ended::Succeeded) if rollback => Ok(()),
        Some(Ended::Aborted) => Err(refused("abort run", wanted).cause("it is aborted")),
        Some(Ended::Succeeded) => Err(refused("abort run", wanted)
            .cause("it has succeeded")
            .hint("with --rollback, what it did is undone")),
        Some(Ended::Failed) => Err(refused("abort run", wanted).cause("it has failed")),
    })?;
    Ok(Decided { run: id, alive })
}

/// The keys of what the steps of a run have made live.
fn swaps(state: &RunState) -> impl Iterator<Item = &str> {
    let outputs = state.units.values().map(|unit| &unit.outputs);
    outputs.filter(|it| it.get("live").is_some()).filter_map(|it| it.get("restore")?.as_str())
}

fn open(state_dir: &Path, wanted: &str) -> Result<(Run, bool)> {
    let run = Store::in_dir(state_dir).find(wanted)?;
    let alive = is_alive(&run, state_dir);
    Ok((run, alive))
}

fn known<'a>(state: &'a RunState, step: &str) -> Result<&'a super::run::UnitRecord> {
    state.units.get(step).ok_or_else(|| {
        let names: Vec<&str> = state.order.iter().map(String::as_str).collect();
        Error::new(Code::StepNotFound, "find step", step)
            .cause("the run has not come to it, or has none of this name")
            .hint(format!("so far it has come to: {}", names.join(", ")))
    })
}

fn refused(attempted: &str, subject: &str) -> Error {
    Error::new(Code::RunRefused, attempted, subject)
        .hint("`backstop runbook status RUN` shows where the run stands")
}
