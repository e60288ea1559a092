//! A guard as people and programs see it.

use super::command::EXIT_CODE;
use super::record::{Guard, Standing};
use crate::error::Result;
use crate::runbook::{self, Registry, RunView};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where `guard/rollback.yaml` lets them go, in the directory of its run.
const LOGS: &str = "failed";

/// A guard, with its runs.
#[derive(Debug, Clone, Serialize)]
pub struct GuardView {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub standing: Standing,
    /// Whether nothing is left to do.
    pub over: bool,
    /// The version that came; null where none was said.
    pub version_label: Option<String>,
    /// The command and its arguments; null before its run.
    pub command: Option<Value>,
    /// The command's exit code; null where it has not ended by itself.
    pub exit_code: Option<i64>,
    /// Whether the command was cut off with its guard.
    pub cut_off: bool,
    /// The id of the backup before it; null where there is none.
    pub backup: Option<String>,
    /// When it was begun.
    pub started_at: Option<Timestamp>,
    /// Where the containers' logs of the failure lie; null where nothing went back.
    pub logs: Option<PathBuf>,
    /// Its runs, in the order in which they were begun.
    pub runs: Vec<RunView>,
}

/// Looks at a guard.
///
/// # Errors
/// `run_damaged` where the text of a run was changed.
pub fn view(guard: &Guard, state_dir: &Path, registry: &Registry) -> Result<GuardView> {
    let runs = guard.runs().map(|run| runbook::view(run, state_dir, registry));
    let runs: Vec<RunView> = runs.collect::<Result<_>>()?;
    let given = |run: &Option<runbook::Run>, name: &str| {
        let value = run.as_ref()?.state.created.parameters.values.get(name)?.clone();
        (!value.is_null()).then_some(value)
    };
    let version = given(&guard.protect, "version_label");
    let ended = guard.upgrade.as_ref().map(|run| run.state.unit("upgrade"));
    let exit_code = ended.and_then(|unit| match unit.outputs["exit_code"].as_i64() {
        Some(code) => Some(code),
        None => unit.attempts.last()?.notes.get(EXIT_CODE)?.as_i64(),
    });
    Ok(GuardView {
        id: guard.id.clone(),
        standing: guard.standing(),
        over: guard.is_over(),
        version_label: version.and_then(|it| it.as_str().map(str::to_owned)),
        command: given(&guard.upgrade, "command"),
        exit_code,
        cut_off: guard.was_cut_off(),
        backup: guard.backup(),
        logs: guard.rollbacks.iter().map(|run| run.dir.join(LOGS)).find(|dir| dir.is_dir()),
        started_at: guard.runs().next().map(|run| run.state.started_at),
        runs,
    })
}
