//! The report of a run: what was done, when, by whom, and how it compares with the objectives.

use super::action::Registry;
use super::check::check;
use super::model::Objectives;
use super::run::{Entry, Run};
use super::view::{RunView, view};
use crate::error::Result;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// The output of a step that says up to which instant the restored data reaches.
const DATA_AS_OF: &str = "data_as_of";
/// The output of a step that lists what it preserved.
const EVIDENCE: &str = "evidence";
/// The parameter that says when the disaster happened.
const INCIDENT: [&str; 2] = ["incident_at", "compromised_since"];

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
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// What people decided.
    pub approvals: Vec<Decision>,
    /// What steps preserved, by step.
    pub evidence: Vec<Evidence>,
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
    let evidence =
        outputs(EVIDENCE).into_iter().map(|(step, evidence)| Evidence { step, evidence });
    Ok(Report {
        run: view(run, state_dir, registry)?,
        seconds: span(state.started_at, state.last_at),
        sha256: created.sha256.clone(),
        version: created.version.clone(),
        parameters: serde_json::to_value(&created.parameters).unwrap_or_default(),
        objectives,
        measured_rto_seconds: span(incident.min(state.started_at), state.last_at),
        measured_rpo_seconds: data.map(|data| span(data, incident)),
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

impl Report {
    /// The report as Markdown.
    pub fn to_markdown(&self) -> String {
        let run = &self.run;
        let mut text = format!("# {}\n\n", run.title);
        let _ = writeln!(text, "| | |\n| --- | --- |");
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "| {name} | {} |", cell(&value));
        };
        row("run", run.id.clone());
        row("runbook", format!("{} (SHA-256 {})", run.runbook, self.sha256));
        row("state", run.state.as_str().into());
        row("begun", format!("{:.0} by {} on {}", run.started_at, run.user, run.host));
        if let Some(end) = run.finished_at {
            row("ended", format!("{end:.0}"));
        }
        row("version", self.version.clone());
        let rto = self.objectives.rto.map_or("none".into(), |rto| rto.to_string());
        row("recovery time", format!("{:.1} s (objective: {rto})", self.measured_rto_seconds));
        let rpo = self.objectives.rpo.map_or("none".into(), |rpo| rpo.to_string());
        let lost = self.measured_rpo_seconds.map_or("not known".into(), |s| format!("{s:.1} s"));
        row("data lost", format!("{lost} (objective: {rpo})"));
        text.push_str("\n## Steps\n\n| step | state | attempts | seconds | why |\n| --- | --- | --- | --- | --- |\n");
        for step in &run.steps {
            let why = step.reason.as_deref().unwrap_or_default();
            let state = step.state.as_str();
            let (attempts, seconds) = (step.attempts, step.seconds);
            let _ = writeln!(
                text,
                "| `{}` | {state} | {attempts} | {seconds:.1} | {} |",
                step.id,
                cell(why)
            );
        }
        text.push_str("\n## Decisions\n\n");
        if self.approvals.is_empty() {
            text.push_str("None.\n");
        }
        for decision in &self.approvals {
            let Decision { step, decision, at, user, host, means, shown } = decision;
            let _ = writeln!(text, "- {at:.0} `{step}`: {decision} by {user} on {host} ({means})");
            for line in shown.lines() {
                let _ = writeln!(text, "  > {line}");
            }
        }
        if !self.evidence.is_empty() {
            text.push_str("\n## Evidence\n\n");
            for Evidence { step, evidence } in &self.evidence {
                let _ = writeln!(text, "- `{step}`: {evidence}");
            }
        }
        text.push_str("\n## Timeline\n\n| time (UTC) | step | what |\n| --- | --- | --- |\n");
        for moment in &self.timeline {
            let step = moment.step.as_ref().map(|step| format!("`{step}`")).unwrap_or_default();
            let _ = writeln!(text, "| {:.3} | {step} | {} |", moment.at, cell(&moment.what));
        }
        text
    }
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', "<br>")
}
