//! The catalog's rows of runs, made of their journals.

use super::run::{Run, State, Store, TargetLock};
use crate::catalog::{Catalog, RunApprovalRow, RunAttemptRow, RunRow, RunStepRow, Session};
use crate::clock;
use crate::error::Result;
use crate::progress::Progress;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Brings the catalog of a state directory in line with the journals in it.
///
/// # Errors
/// As [`Catalog::session`].
pub fn mirror(state_dir: &Path, progress: &Arc<dyn Progress>) -> Result<()> {
    let mut session = Catalog::in_dir(state_dir).session(progress)?;
    mirror_into(&mut session, state_dir, progress)
}

/// As [`mirror`], into an open catalog. Runs whose rows are up to date cost one look at their
/// journal's size.
///
/// # Errors
/// `catalog_failed`; a journal that cannot be read is a warning.
pub fn mirror_into(
    session: &mut Session,
    state_dir: &Path,
    progress: &Arc<dyn Progress>,
) -> Result<()> {
    let store = Store::in_dir(state_dir);
    let recorded = session.recorded_runs()?;
    for id in store.ids()? {
        let known = recorded.get(&id);
        let unchanged = known.is_some_and(|(bytes, state)| {
            let ended = ["SUCCEEDED", "FAILED", "ABORTED"].contains(&state.as_str());
            ended && store.journal_bytes(&id).is_ok_and(|now| now == *bytes)
        });
        if unchanged {
            continue;
        }
        match store.open(&id) {
            Ok(run) => session.put_run(&row(&run, state_dir))?,
            Err(error) => progress.warn(error.code(), error.to_string()),
        }
    }
    Ok(())
}

/// Whether a runner works on a run now.
pub(super) fn is_alive(run: &Run, state_dir: &Path) -> bool {
    TargetLock::holder(state_dir, &run.state.created.target).is_some_and(|it| it.run == run.id())
}

fn row(run: &Run, state_dir: &Path) -> RunRow {
    let state = &run.state;
    let created = &state.created;
    let now = clock::now();
    let shown: State = state.state(is_alive(run, state_dir));
    let steps = state.order.iter().filter_map(|name| Some((name, state.units.get(name)?)));
    RunRow {
        id: created.run.clone(),
        runbook: created.runbook.clone(),
        title: created.title.clone(),
        state: shown.as_str(),
        stack: created.stack.clone(),
        started_at: state.started_at,
        finished_at: state.ended().map(|_| state.last_at),
        user: created.who.user.clone(),
        host: created.who.host.clone(),
        version: created.version.clone(),
        sha256: created.sha256.clone(),
        parameters: serde_json::to_value(created.parameters.shown()).unwrap_or(Value::Null),
        error: state.failure.as_ref().map(|(_, error)| error.clone()),
        journal_bytes: run.journal_bytes(),
        steps: steps
            .clone()
            .map(|(name, unit)| RunStepRow {
                step: name.clone(),
                state: unit.state.as_str(),
                attempts: unit.attempts.len(),
                seconds: unit.seconds(now),
                outputs: unit.outputs.clone(),
                error: unit.error.clone(),
            })
            .collect(),
        attempts: steps
            .flat_map(|(name, unit)| {
                unit.attempts.iter().map(|attempt| RunAttemptRow {
                    step: name.clone(),
                    attempt: attempt.number,
                    state: attempt.state.as_str(),
                    plan: attempt.plan.clone(),
                    started_at: attempt.started_at,
                    finished_at: attempt.ended_at,
                    error: attempt.error.clone(),
                })
            })
            .collect(),
        approvals: state
            .approvals
            .iter()
            .map(|approval| RunApprovalRow {
                step: approval.step.clone(),
                decision: approval.decision().into(),
                at: approval.at,
                user: approval.who.user.clone(),
                host: approval.who.host.clone(),
                means: approval.means.as_str(),
                shown: approval.shown.clone(),
            })
            .collect(),
    }
}
