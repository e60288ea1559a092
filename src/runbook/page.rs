//! A runbook as a page of Markdown: for the day on which somebody does it by hand, and for
//! everybody who wants to know beforehand.

use super::action::Registry;
use super::check::Checked;
use super::model::{OnFailure, Parameter, Runbook, Step};
use std::fmt::Write;

/// The page. The same runbook gives the same page.
pub fn page(checked: &Checked, registry: &Registry) -> String {
    let runbook = &checked.runbook;
    let mut page = format!("# {}\n\n{}\n", runbook.title, runbook.purpose.trim());
    let name = &runbook.name;
    let _ = write!(page, "\n```sh\nbackstop runbook plan {name}{}\n", required(runbook));
    let run = match &runbook.disaster {
        Some(disaster) => format!("backstop recover-from {disaster}"),
        None => format!("backstop runbook run {name}"),
    };
    let _ = writeln!(page, "{run}{}\n```", required(runbook));
    objectives(&mut page, runbook);
    list(&mut page, "Before it begins", &runbook.prerequisites);
    list(&mut page, "What it destroys", &runbook.destroys);
    list(&mut page, "What it needs from a person", &runbook.needs_from_a_person);
    parameters(&mut page, runbook);
    steps(&mut page, "Steps", &runbook.steps, registry);
    steps(&mut page, "When it fails", &runbook.rescue, registry);
    by_hand(&mut page, runbook);
    page
}

/// The parameters without which it does not begin.
fn required(runbook: &Runbook) -> String {
    let required =
        |(_, parameter): &(&String, &Parameter)| parameter.required && !parameter.kind.is_list();
    let needed = runbook.parameters.iter().filter(required);
    needed.map(|(name, _)| format!(" --param {name}=…")).collect()
}

fn objectives(page: &mut String, runbook: &Runbook) {
    let lines = [
        ("usually takes", runbook.expected_duration),
        ("has to be back within (rto)", runbook.objectives.rto),
        ("may lose what was written in the last (rpo)", runbook.objectives.rpo),
    ];
    let known: Vec<String> = lines
        .iter()
        .filter_map(|(what, time)| Some(format!("| {what} | {} |", (*time)?)))
        .collect();
    if !known.is_empty() {
        let _ = write!(page, "\n| it | |\n| --- | --- |\n{}\n", known.join("\n"));
    }
}

fn list(page: &mut String, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = write!(page, "\n## {title}\n\n");
    for item in items {
        let _ = writeln!(page, "- {}", item.trim());
    }
}

fn parameters(page: &mut String, runbook: &Runbook) {
    if runbook.parameters.is_empty() {
        return;
    }
    page.push_str("\n## Parameters\n\n| `--param` | | what it is |\n| --- | --- | --- |\n");
    for (name, parameter) in &runbook.parameters {
        let kind = format!("{:?}", parameter.kind).to_lowercase();
        let kind = match (parameter.required, &parameter.default, &parameter.secret) {
            (true, ..) if !parameter.kind.is_list() => format!("{kind}, required"),
            (_, Some(default), _) => format!("{kind}, {}", cell(&default.to_string())),
            (.., Some(_)) => "secret".into(),
            _ => kind,
        };
        let _ = writeln!(page, "| `{name}` | {kind} | {} |", cell(&parameter.description));
    }
}

/// A text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.trim().replace('\n', " ").replace('|', "\\|")
}

fn steps(page: &mut String, title: &str, steps: &[Step], registry: &Registry) {
    if steps.is_empty() {
        return;
    }
    let _ = write!(page, "\n## {title}\n\n");
    for (place, step) in steps.iter().enumerate() {
        let what = step.title.as_deref().unwrap_or(&step.id).trim();
        let _ = writeln!(page, "{}. **{what}** (`{}`, `{}`)", place + 1, step.id, step.action);
        for line in rules(step, registry) {
            let _ = writeln!(page, "   - {line}");
        }
    }
}

/// What else is said about a step.
fn rules(step: &Step, registry: &Registry) -> Vec<String> {
    let mut rules = Vec::new();
    if let Some(list) = &step.for_each {
        rules.push(format!("once for each of `{}`", inside(list)));
    }
    if let Some(condition) = &step.condition {
        rules.push(format!("only if `{}`", inside(condition)));
    }
    if let Some(approval) = &step.approval {
        rules.push(format!("asks: {}", approval.prompt.trim()));
    }
    let undoes = registry.get(&step.action).is_some_and(|action| action.undoes());
    if step.point_of_no_return {
        rules.push("from here on nothing is undone by itself".into());
    } else if step.compensate.is_some() || undoes {
        rules.push("can be undone".into());
    }
    rules.extend(match (step.on_failure(), step.critical) {
        (OnFailure::Rollback, _) => Some("where it fails, what was done is undone".to_owned()),
        (OnFailure::Pause, _) => Some("where it fails, the run waits for a person".to_owned()),
        (OnFailure::Continue, false) => Some("where it fails, the run goes on".to_owned()),
        _ => None,
    });
    rules
}

/// An expression without its braces.
fn inside(text: &str) -> &str {
    let bare = text.trim().strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
    bare.unwrap_or(text).trim()
}

fn by_hand(page: &mut String, runbook: &Runbook) {
    if runbook.all_steps().all(|step| step.by_hand.is_empty()) {
        return;
    }
    page.push_str(
        "\n## By hand\n\nWhat a person would type, without backstop or in its place. `$BACKUP` is the \
         directory of the backup in the repository, `$COMPONENT` the name of a database or file tree \
         in the config; the other variables are yours to set. Of encrypted backups decrypt each object \
         first (`age --decrypt --identity KEY`); an incremental backup's files lie in several \
         archives (see [the format](../repository-format.md)). A step with several commands needs \
         them all.\n\n```sh\n",
    );
    for step in runbook.steps.iter().filter(|step| !step.by_hand.is_empty()) {
        let _ = writeln!(page, "# {}: {}", step.id, step.title.as_deref().unwrap_or_default());
        for command in &step.by_hand {
            let _ = writeln!(page, "{command}");
        }
    }
    page.push_str("```\n");
}
