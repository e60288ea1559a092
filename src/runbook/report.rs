//! The report of a run: what was done, when, by whom, and how it compares with the objectives.

mod markdown;

use super::action::Registry;
use super::check::check;
use super::model::{INCIDENT, Objectives};
use super::run::{Ended, Entry, RESTORE, Run};
use super::view::{RunView, view};
use crate::config::Timeout;
use crate::error::Result;
use crate::restore::{RestoreRecord, Stage};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// The output of a step that says up to which instant the restored data reaches.
const DATA_AS_OF: &str = "data_as_of";
/// The output of a step that lists what it preserved.
const EVIDENCE: &str = "evidence";

/// What is known about a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The run.
    #[serde(flatten)]
    pub run: RunView,
    /// How long it took, in seconds; so far where it has not ended.
    pub seconds: f64,
    /// The SHA-256 of the runbook's text.
    pub sha256: String,
    /// The version of backstop.
    pub version: String,
    /// What it was given, secrets as references.
    pub parameters: Value,
    /// What was to be achieved.
    pub objectives: Objectives,
    /// How long the recovery took, in seconds, from the incident where its time was given.
    pub measured_rto_seconds: f64,
    /// How much of the newest data is gone, in seconds: from the instant up to which the restored
    /// data reaches until the incident. Null where no step says the former.
    pub measured_rpo_seconds: Option<f64>,
    /// Whether the run succeeded within `objectives.rto`; null where there is no such objective,
    /// or the run goes on and still has time.
    pub rto_met: Option<bool>,
    /// Whether no more is gone than `objectives.rpo` allows; null where there is no such
    /// objective, or `measured_rpo_seconds` is null.
    pub rpo_met: Option<bool>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// What people decided.
    pub approvals: Vec<Decision>,
    /// What steps preserved, by step.
    pub evidence: Vec<Evidence>,
    /// What became of the restores that the run made.
    pub restores: Vec<RestoreView>,
}

/// A restore that a run made.
#[derive(Debug, Clone, Serialize)]
pub struct RestoreView {
    /// The step that built it.
    pub step: String,
    /// Its key.
    pub key: String,
    /// How far it has come by now: what a rollback has taken back since is `rolled_back`.
    pub stage: Stage,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// The step.
    pub step: Option<String>,
    /// What.
    pub what: String,
}

/// What a person decided.
#[derive(Debug, Clone, Serialize)]
pub struct Decision {
    /// The step.
    pub step: String,
    /// `approved`, `done`, `retry` or `skip`.
    pub decision: &'static str,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub user: String,
    /// On which host.
    pub host: String,
    /// `terminal`, `yes` or `command`.
    pub means: &'static str,
    /// What was shown, or the reason that was given.
    pub shown: String,
}

/// What a step preserved.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// The step.
    pub step: String,
    /// As the step returned it.
    pub evidence: Value,
}

/// Reports on a run.
///
/// # Errors
/// As [`view`].
pub fn report(run: &Run, state_dir: &Path, registry: &Registry) -> Result<Report> {
    let state = &run.state;
    let created = &state.created;
    let checked = check(&created.source, &run.text()?, registry);
    let objectives = checked.map(|checked| checked.runbook.objectives).unwrap_or_default();
    let outputs = |name: &str| {
        let units = state.order.iter().filter_map(|id| Some((id, state.units.get(id)?)));
        let found =
            units.filter_map(|(id, unit)| Some((id.clone(), unit.outputs.get(name)?.clone())));
        found.collect::<Vec<_>>()
    };
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let incident = INCIDENT.iter().find_map(|name| time(created.parameters.values.get(*name)?));
    let incident = incident.unwrap_or(state.started_at);
    let span = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64().max(0.0);
    let data = outputs(DATA_AS_OF).iter().filter_map(|(_, value)| time(value)).min();
    let rto = span(incident.min(state.started_at), state.last_at);
    let rpo = data.map(|data| span(data, incident));
    let keeps = |limit: Timeout, seconds: f64| seconds <= limit.duration().as_secs_f64();
    let evidence =
        outputs(EVIDENCE).into_iter().map(|(step, evidence)| Evidence { step, evidence });
    let records = RestoreRecord::all(state_dir)?;
    let restores = outputs(RESTORE).into_iter().filter_map(|(step, key)| {
        let record = records.iter().find(|record| key == record.key.as_str())?;
        Some(RestoreView { step, key: record.key.clone(), stage: record.stage })
    });
    Ok(Report {
        run: view(run, state_dir, registry)?,
        seconds: span(state.started_at, state.last_at),
        sha256: created.sha256.clone(),
        version: created.version.clone(),
        parameters: serde_json::to_value(created.parameters.shown()).unwrap_or_default(),
        rto_met: objectives.rto.and_then(|limit| match state.ended() {
            Some(Ended::Succeeded) => Some(keeps(limit, rto)),
            Some(_) => Some(false),
            None => (!keeps(limit, rto)).then_some(false),
        }),
        rpo_met: objectives.rpo.and_then(|limit| rpo.map(|rpo| keeps(limit, rpo))),
        objectives,
        measured_rto_seconds: rto,
        measured_rpo_seconds: rpo,
        timeline: run.lines.iter().filter_map(moment).collect(),
        approvals: state
            .approvals
            .iter()
            .map(|approval| Decision {
                step: approval.step.clone(),
                decision: approval.decision(),
                at: approval.at,
                user: approval.who.user.clone(),
                host: approval.who.host.clone(),
                means: approval.means.as_str(),
                shown: approval.shown.clone(),
            })
            .collect(),
        evidence: evidence.collect(),
        restores: restores.collect(),
    })
}

fn moment(line: &super::run::Line) -> Option<Moment> {
    let said = |error: &Value| error["message"].as_str().unwrap_or_default().to_owned();
    let (step, what) = match &line.entry {
        Entry::RunCreated(created) => (None, format!("begun by {}", created.who)),
        Entry::RunnerBegan { pid, who, .. } => {
            (None, format!("runner {}: process {pid}, {who}", line.epoch))
        }
        Entry::StepSkipped { step, reason } => (Some(step), format!("skipped: {reason}")),
        Entry::ApprovalAsked { step, prompt, .. } => (Some(step), format!("asked: {prompt}")),
        Entry::Approved { step, who, means, .. } => {
            (Some(step), format!("approved by {who} ({})", means.as_str()))
        }
        Entry::AttemptStarted { unit, attempt, plan, .. } => {
            (Some(unit), format!("attempt {attempt}: {plan}"))
        }
        Entry::AttemptEnded { unit, state, error, .. } => match error {
            Some(error) => (Some(unit), format!("{}: {}", state.as_str(), said(error))),
            None => (Some(unit), state.as_str().to_owned()),
        },
        Entry::AttemptLost { unit, attempt } => {
            (Some(unit), format!("UNKNOWN: the runner of attempt {attempt} died"))
        }
        Entry::UnitFailed { unit, error } => (Some(unit), format!("FAILED: {}", said(error))),
        Entry::Resolved { unit, verdict, means, reason, who, .. } => {
            let by = who.as_ref().map_or_else(|| means.as_str().to_owned(), ToString::to_string);
            (Some(unit), format!("{verdict:?} by {by}: {reason}").to_lowercase())
        }
        Entry::Paused { step, reason } => (step.as_ref(), format!("paused: {reason}")),
        Entry::AbortRequested { who, reason, .. } => (None, format!("abort by {who}: {reason}")),
        Entry::Failing { step, error, rollback, .. } => {
            let then = if *rollback { "; what was done is undone" } else { "" };
            (step.as_ref(), format!("the run fails: {}{then}", said(error)))
        }
        Entry::RolledBack => (None, "all that was to be undone is".to_owned()),
        Entry::RunEnded { state, .. } => (None, format!("ended: {state:?}").to_uppercase()),
        Entry::CompensationRegistered { .. }
        | Entry::Noted { .. }
        | Entry::ChildStarted { .. }
        | Entry::ChildEnded { .. } => return None,
    };
    Some(Moment { at: line.at, step: step.cloned(), what })
}
