//! `files.copy_missing`: lost files come back into a live tree.

use super::outputs;
use crate::error::Result;
use crate::restore::{Returning, bring_files_back, missing_files, take_files_away};
use crate::runbook::action::{Action, Outputs, Point, Scope};
use crate::size;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// How many files are named in an output; the log has all.
const SHOWN: usize = 100;

pub(in crate::runbook) struct CopyMissing;

/// Which files come back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The file tree's name in the config.
    files: String,
    /// The output `restore` of the step that built the tree that has them.
    restore: String,
    /// Files and directories, relative to the tree; without any, all that are missing.
    #[serde(default)]
    paths: Vec<PathBuf>,
    /// Whether they are only counted and shown.
    #[serde(default)]
    dry_run: bool,
}

/// Where a step keeps what it brought back: one file for all of its attempts.
fn record_of(scope: &Scope) -> PathBuf {
    let step = scope.step.trim_end_matches(".compensate");
    scope.log.path().parent().unwrap_or(Path::new("")).join(format!("{step}.files"))
}

fn returned(scope: &Scope, found: &Returning, record: Value) -> Outputs {
    let mut files = found.files();
    let count = files.len() as u64;
    files.iter().for_each(|file| scope.log.line(file));
    files.truncate(SHOWN);
    let summary =
        format!("{}, {}", size::count(count, "file", "files"), size::bytes(found.bytes()));
    outputs([
        ("files", count.into()),
        ("bytes", found.bytes().into()),
        ("summary", summary.into()),
        ("shown", json!(files)),
        ("record", record.clone()),
        ("evidence", json!({ "files_brought_back": count, "record": record })),
    ])
}

impl Action for CopyMissing {
    type With = With;
    const NAME: &'static str = "files.copy_missing";
    const ABOUT: &'static str =
        "Brings files that a restored tree has and the live one lacks back into it.";
    const OUTPUTS: &'static [&'static str] =
        &["files", "bytes", "summary", "shown", "record", "evidence"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn plan(&self, with: &With) -> String {
        let what = if with.dry_run { "count" } else { "bring back" };
        format!("{what} the files that {} has and {} lacks", with.restore, with.files)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let tree = (with.files.as_str(), with.restore.as_str());
        if with.dry_run {
            let found = missing_files(&scope.setting, tree, &with.paths).await?;
            return Ok(returned(scope, &found, Value::Null));
        }
        let record = record_of(scope);
        let found = bring_files_back(&scope.setting, tree, &with.paths, &record).await?;
        scope.reach(Point::MidEffect);
        Ok(returned(scope, &found, json!(record)))
    }

    /// Files that somebody changed since stay, and are said to.
    async fn undo(&self, with: &With, _outputs: Option<&Outputs>, scope: &Scope) -> Result<()> {
        if with.dry_run {
            return Ok(());
        }
        let (removed, stay) = take_files_away(&scope.setting, &record_of(scope)).await?;
        scope.log.line(&format!(
            "took {} away; {stay} were changed since, and stay",
            size::count(removed, "file", "files")
        ));
        Ok(())
    }
}
