//! Runbooks, plans and runs as people read them.

use super::super::{Ending, table};
use crate::runbook::{Checked, Ended, Listed, Plan, RunView, State, StepState};
use std::collections::BTreeMap;
use std::fmt::Write;

pub(super) fn list(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "There are no runbooks. Own ones lie in runbooks.dir of the config.\n".into();
    }
    let row = |one: &Listed| {
        let disaster = one.disaster.clone().unwrap_or_else(|| "-".into());
        vec![one.name.clone(), disaster, one.source.clone(), one.title.clone()]
    };
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    table::table(&["RUNBOOK", "DISASTER", "SOURCE", "TITLE"], &rows)
}

pub(super) fn runbook(checked: &Checked) -> String {
    let runbook = &checked.runbook;
    let mut text = format!("{}: {}\n", runbook.name, runbook.title);
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
            for line in lines {
                let _ = writeln!(text, "  {}", line.replace('\n', "\n  "));
            }
        }
    };
    section(
        "Purpose",
        Vec::from_iter(Some(runbook.purpose.trim().to_owned()).filter(|it| !it.is_empty())),
    );
    section("Prerequisites", runbook.prerequisites.clone());
    let mut goals = Vec::new();
    goals.extend(runbook.expected_duration.map(|it| format!("usually takes {it}")));
    goals.extend(runbook.objectives.rto.map(|it| format!("back within {it} (rto)")));
    goals.extend(runbook.objectives.rpo.map(|it| format!("loses at most {it} (rpo)")));
    section("Objectives", goals);
    section("Destroys", runbook.destroys.clone());
    section("Needs from a person", runbook.needs_from_a_person.clone());
    let parameters = runbook.parameters.iter().map(|(name, parameter)| {
        let need = match (parameter.required, &parameter.default, &parameter.secret) {
            (true, ..) => "required".into(),
            (_, Some(default), _) => format!("default {default}"),
            (.., Some(_)) => "secret".into(),
            _ => "optional".into(),
        };
        let kind = format!("{:?}", parameter.kind).to_lowercase();
        format!("{name} ({kind}, {need}) {}", parameter.description)
    });
    section("Parameters", parameters.collect());
    let step = |step: &crate::runbook::Step| {
        let title = step.title.as_deref().unwrap_or_default();
        let ask = if step.approval.is_some() { " [asks]" } else { "" };
        let point = if step.point_of_no_return { " [point of no return]" } else { "" };
        format!("{} ({}){ask}{point} {title}", step.id, step.action)
    };
    section("Steps", runbook.steps.iter().map(step).collect());
    section("When it fails", runbook.rescue.iter().map(step).collect());
    text
}

pub(super) fn plan(plan: &Plan) -> String {
    let mut text = format!("{}: {}\n", plan.runbook, plan.title);
    for what in &plan.destroys {
        let _ = writeln!(text, "  destroys {what}");
    }
    for (place, step) in plan.steps.iter().enumerate() {
        let title = step.title.as_ref().map(|title| format!(" {title}")).unwrap_or_default();
        let _ = writeln!(text, "{:>3}. {}:{title}", place + 1, step.id);
        let mut line = |what: &str| {
            let _ = writeln!(text, "       {}", what.trim().replace('\n', "\n       "));
        };
        line(&step.plan);
        step.condition.iter().for_each(|it| line(&format!("if: {it}")));
        for finding in &step.preconditions {
            let mark = match finding.ok {
                Some(true) => "ok",
                Some(false) => "NOT OK",
                None => "later",
            };
            let found = finding.found.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
            line(&format!("precondition {mark}: {}{found}", finding.plan));
        }
        step.probe.iter().for_each(|it| line(&format!("probe: {it}")));
        step.approval.iter().for_each(|it| line(&format!("asks: {it}")));
        step.compensate.iter().for_each(|it| line(&format!("can be undone: {it}")));
        if step.point_of_no_return {
            line("point of no return: nothing is undone by itself after this");
        }
    }
    if plan.blocked {
        text.push_str("A precondition does not hold: the run would stop there.\n");
    }
    text
}

pub(super) fn runs(views: &[RunView]) -> String {
    if views.is_empty() {
        return "No runbook was run yet.\n".into();
    }
    let row = |view: &RunView| {
        let done = view.steps.iter().filter(|step| step.state == StepState::Succeeded).count();
        vec![
            view.id.clone(),
            view.state.as_str().into(),
            view.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            format!("{done}/{}", view.steps.len()),
            view.runbook.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = views.iter().map(row).collect();
    table::table(&["RUN", "STATE", "STARTED (UTC)", "STEPS", "RUNBOOK"], &rows)
}

pub(super) fn run(view: &RunView) -> String {
    let mut text = format!("{} {}: {}\n", view.id, view.runbook, view.state.as_str());
    let rows: Vec<Vec<String>> = view
        .steps
        .iter()
        .map(|step| {
            let seconds = match step.attempts {
                0 => "-".into(),
                _ => table::seconds(step.seconds),
            };
            let why = step.reason.clone().unwrap_or_default().replace('\n', " ");
            vec![
                step.id.clone(),
                step.state.as_str().into(),
                step.attempts.to_string(),
                seconds,
                why,
            ]
        })
        .collect();
    text += &table::table(&["STEP", "STATE", "ATTEMPTS", "TIME", "WHY"], &rows);
    if let Some(waiting) = &view.waiting {
        let _ = writeln!(text, "{}", waiting.reason);
        if let Some(shown) = &waiting.shown {
            let _ = writeln!(text, "  {}", shown.replace('\n', "\n  "));
        }
        if let (State::Waiting, Some(step)) = (view.state, &waiting.step) {
            let _ = writeln!(text, "`backstop runbook approve {} {step}` agrees.", view.id);
        }
    }
    text
}

/// The exit code of a command that followed a run.
pub(super) fn ending(view: &RunView) -> Ending {
    match view.ended() {
        Some(Ended::Succeeded) => Ending::Done,
        Some(_) => Ending::Failed,
        None => Ending::Waiting,
    }
}

/// What was told of a run that is followed.
#[derive(Default)]
pub(super) struct Told(BTreeMap<String, (StepState, usize)>);

impl Told {
    /// Tells what is new.
    pub(super) fn changes(&mut self, view: &RunView, mut tell: impl FnMut(&str)) {
        for step in view.steps.iter().filter(|step| step.state != StepState::Pending) {
            let now = (step.state, step.attempts);
            if self.0.insert(step.id.clone(), now) != Some(now) {
                tell(&format!("{} {} {:.1} s", step.id, step.state.as_str(), step.seconds));
            }
        }
    }
}
