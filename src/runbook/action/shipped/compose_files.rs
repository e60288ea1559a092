//! `compose.restore`: what describes the compose projects of a backup comes back.

use super::logged::logged;
use super::outputs;
use super::staged::key;
use crate::backup::{self, Wish, open_repository};
use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;
use crate::repository::manifest::Detail;
use crate::restore::{
    ComposeChange, change_compose_files, compose_changes, compose_projects, unchange_compose_files,
};
use crate::runbook::action::{Action, Outputs, Point, Scope};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;

/// Under which name it is noted what changes.
const NOTE: &str = "changes";

pub(in crate::runbook) struct ComposeRestore;

/// What comes back, and where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The backup: a unique prefix of its id, its name, or `latest`.
    backup: String,
    /// The directory that the files go to, one below it for each project where there are several;
    /// without it they go to where they were.
    dir: Option<PathBuf>,
    /// Whether it is only shown what differs.
    #[serde(default)]
    dry_run: bool,
}

async fn open(with: &With, scope: &Scope) -> Result<PublishedBackup> {
    let wish = Wish { backup: with.backup.clone(), ..Wish::default() };
    let record = backup::choose(&logged(scope), &wish).await?;
    open_repository(&scope.setting)?.backup(&record.name)
}

/// The changes of the first attempt; else those that are due, which are noted.
fn changes(
    scope: &Scope,
    due: impl FnOnce() -> Result<Vec<ComposeChange>>,
) -> Result<Vec<ComposeChange>> {
    if let Some(noted) = noted(scope)? {
        return Ok(noted);
    }
    let due = due()?;
    scope.note(NOTE, json!(due))?;
    Ok(due)
}

fn noted(scope: &Scope) -> Result<Option<Vec<ComposeChange>>> {
    let Some(noted) = scope.all_noted(NOTE).into_iter().next() else { return Ok(None) };
    serde_json::from_value(noted)
        .map(Some)
        .map_err(|e| Error::new(Code::RunDamaged, "read what was noted of", &scope.step).source(e))
}

/// Containers of the backup that no compose project makes.
fn others(backup: &PublishedBackup) -> Vec<&str> {
    let components = backup.manifest().components.iter();
    let alone = components.filter(|component| match &component.detail {
        Detail::Container(detail) => detail.compose_project.is_none(),
        _ => false,
    });
    alone.map(|component| component.name.as_str()).collect()
}

fn told(change: &ComposeChange) -> String {
    let state = if change.exists { "differs" } else { "is missing" };
    format!("{} {state}", change.path.display())
}

impl Action for ComposeRestore {
    type With = With;
    const NAME: &'static str = "compose.restore";
    const ABOUT: &'static str =
        "Brings back the files of compose projects; what they replace is kept.";
    const OUTPUTS: &'static [&'static str] =
        &["projects", "selectors", "others", "changed", "kept", "summary", "evidence"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn check(with: &With) -> Result<(), String> {
        match with.backup.trim().is_empty() {
            true => Err("`backup` is empty".into()),
            false => Ok(()),
        }
    }

    fn plan(&self, with: &With) -> String {
        let what = if with.dry_run { "compare" } else { "bring back" };
        let place = match &with.dir {
            Some(dir) => format!(" in {}", dir.display()),
            None => String::new(),
        };
        format!("{what} the compose files of backup {}{place}", with.backup)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let backup = open(with, scope).await?;
        let projects = compose_projects(&backup, with.dir.as_deref())?;
        let found = || compose_changes(&backup, &projects, &key(scope));
        let changes = if with.dry_run { found()? } else { changes(scope, found)? };
        let lines: Vec<String> = changes.iter().map(told).collect();
        lines.iter().for_each(|line| scope.log.line(line));
        let summary = match lines.as_slice() {
            [] => "all files are as they were".to_owned(),
            lines => lines.join(", "),
        };
        let kept = match with.dry_run {
            true => Vec::new(),
            false => change_compose_files(&backup, &changes)?,
        };
        scope.reach(Point::MidEffect);
        let changed: Vec<&PathBuf> = changes.iter().map(|change| &change.path).collect();
        Ok(outputs([
            ("projects", json!(projects)),
            ("selectors", projects.iter().map(|it| format!("compose={}", it.project)).collect()),
            ("others", json!(others(&backup))),
            ("changed", json!(changed)),
            ("kept", json!(kept)),
            ("summary", summary.into()),
            (
                "evidence",
                json!({ "backup": backup.manifest().name, "replaced": changed, "kept": kept }),
            ),
        ]))
    }

    async fn undo(&self, with: &With, _: Option<&Outputs>, scope: &Scope) -> Result<()> {
        match noted(scope)? {
            Some(changes) if !with.dry_run => {
                let stay = unchange_compose_files(&open(with, scope).await?, &changes)?;
                let told = |path: &PathBuf| {
                    scope.log.line(&format!("{} was changed since, and stays", path.display()));
                };
                stay.iter().for_each(told);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
