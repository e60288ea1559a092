//! Guards as people read them.

use super::super::table;
use crate::guard::{GuardView, Standing};
use crate::runbook::State;
use std::fmt::Write;

pub(super) fn guards(views: &[GuardView]) -> String {
    if views.is_empty() {
        return "No upgrade was guarded yet.\n".into();
    }
    let row = |view: &GuardView| {
        let started = view.started_at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string());
        vec![
            view.id.clone(),
            view.standing.as_str().into(),
            started.unwrap_or_default(),
            view.version_label.clone().unwrap_or_else(|| "-".into()),
            view.backup.clone().unwrap_or_else(|| "-".into()),
        ]
    };
    let rows: Vec<Vec<String>> = views.iter().map(row).collect();
    table::table(&["GUARD", "STANDING", "STARTED (UTC)", "VERSION", "BACKUP"], &rows)
}

/// One guard; `commands` are those to go on by hand.
pub(super) fn guard(view: &GuardView, commands: &[String]) -> String {
    let version = view.version_label.iter().map(|it| format!(" ({it})")).collect::<String>();
    let mut text = format!("guard {}{version}: {}\n", view.id, said(view));
    if let Some(backup) = &view.backup {
        let _ = writeln!(text, "  backup {backup}");
    }
    for run in &view.runs {
        let _ = writeln!(text, "  run {} {}: {}", run.id, run.runbook, run.state.as_str());
        let failed = run.error.as_ref().and_then(|error| error["message"].as_str());
        if let Some(why) = failed {
            let _ = writeln!(text, "    {}", why.replace('\n', "\n    "));
        }
    }
    if let Some(logs) = &view.logs {
        let _ = writeln!(text, "  the containers' logs of the failure: {}", logs.display());
    }
    if let Some(run) = view.runs.iter().find(|run| run.runbook == "guard-upgrade") {
        let output = "shows the command's output";
        let _ = writeln!(text, "  `backstop runbook log {} upgrade` {output}", run.id);
    }
    if view.runs.iter().any(|run| run.runbook == "guard-rollback") {
        text.push_str(
            "  `backstop rollback --list` shows what is kept aside of the failed state\n",
        );
    }
    if !view.over && view.runs.iter().all(|run| run.state != State::Running) {
        let _ = writeln!(text, "  `backstop guard resume {}` finishes it", view.id);
    }
    if !commands.is_empty() {
        text.push_str("  to go on by hand:\n");
        for command in commands {
            let _ = writeln!(text, "    {command}");
        }
    }
    text
}

fn said(view: &GuardView) -> &'static str {
    // Somebody works on it now.
    let at_work = view.runs.iter().any(|run| run.state == State::Running);
    match view.standing {
        Standing::Upgrading if at_work => "the command or the look at the application is under way",
        Standing::RollingBack if at_work => "the upgrade failed, going back is under way",
        Standing::Closed => "the upgrade failed, and was brought to an end by hand",
        Standing::Protecting => "the backup is being taken",
        Standing::Protected => "the backup is there, the command has not begun",
        Standing::Upgrading => "the command has begun, and how it went is not known",
        Standing::RollingBack => "the upgrade failed, going back is not finished",
        Standing::Failed => "the upgrade failed, and nothing was undone",
        Standing::GivenUp => "given up before the command began, nothing was changed",
        Standing::Upgraded => "the upgrade is made",
        Standing::RolledBack => "the upgrade failed, all is as it was before",
        Standing::RollbackFailed => "the upgrade failed, and so did going back",
    }
}
