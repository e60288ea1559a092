//! A report as Markdown.

use super::{Decision, Evidence, Report, RestoreView};
use crate::config::Timeout;
use std::fmt::Write;

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
        let rto = objective(self.objectives.rto, self.rto_met);
        row("recovery time", format!("{:.1} s ({rto})", self.measured_rto_seconds));
        let lost = self.measured_rpo_seconds.map_or("not known".into(), |s| format!("{s:.1} s"));
        row("data lost", format!("{lost} ({})", objective(self.objectives.rpo, self.rpo_met)));
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
        if !self.restores.is_empty() {
            text.push_str("\n## Restores\n\n");
            for RestoreView { step, key, stage } in &self.restores {
                let _ = writeln!(text, "- `{step}`: {key}, by now {}", stage.as_str());
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

/// What was to be reached, and whether it was.
fn objective(limit: Option<Timeout>, met: Option<bool>) -> String {
    let verdict = match met {
        Some(true) => ", met",
        Some(false) => ", missed",
        None => "",
    };
    limit.map_or("no objective".into(), |limit| format!("objective: {limit}{verdict}"))
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', "<br>")
}
