//! `files.restore`, `database.restore`, `files.swap`, `database.swap` and
//! `database.drop_scratch`: a restore in parts, with whatever else a runbook does in between.

use super::logged::logged;
use super::outputs;
use crate::backup::{self, Wish, data_as_of};
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::restore::{
    RestoreRecord, Stage, discard_staged, find_staged, resume, rollback, stage, swap_staged,
};
use crate::runbook::action::{Action, Outputs, Probe, Scope};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(in crate::runbook) struct FilesRestore;
pub(in crate::runbook) struct DatabaseRestore;
pub(in crate::runbook) struct FilesSwap;
pub(in crate::runbook) struct DatabaseSwap;

/// Which files come back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Tree {
    /// The file tree's name in the config.
    files: String,
    /// The backup: a unique prefix of its id, its name, or `latest`.
    backup: String,
}

/// Which database comes back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Dump {
    /// The database's name in the config.
    database: String,
    /// The backup: a unique prefix of its id, its name, or `latest`.
    backup: String,
}

/// What was built.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Built {
    /// The output `restore` of the step that built it.
    restore: String,
}

/// The key of what a step builds: the same in all of its attempts, and short, since names of
/// databases and directories end in it.
pub(super) fn key(scope: &Scope) -> String {
    let step = scope.step.trim_end_matches(".compensate");
    let digest = Sha256::digest(format!("{}/{step}", scope.run));
    format!("r{}", hex(digest.get(..6).unwrap_or_default()))
}

/// What later steps may know of what was built.
fn built(record: &RestoreRecord, compared: Value) -> Outputs {
    let tree = record.trees.first().map(|tree| tree.shown(&tree.new));
    let database = record.databases.first().map(|database| database.new.clone());
    let scratch = tree.or(database).unwrap_or_default();
    outputs([
        ("restore", record.key.clone().into()),
        ("scratch", scratch.clone().into()),
        ("backup", record.backup.to_string().into()),
        ("rows", compared["rows"].clone()),
        ("tables", compared["tables"].clone()),
        (
            "evidence",
            json!({ "backup": record.backup_name, "built": scratch, "compared": compared }),
        ),
    ])
}

const BUILT: &[&str] =
    &["restore", "scratch", "backup", "data_as_of", "rows", "tables", "evidence"];

/// Under which name it is noted of which backup a step builds.
const BACKUP: &str = "backup";

async fn build(scope: &Scope, component: &str, wanted: &str) -> Result<Outputs> {
    let setting = logged(scope);
    // Another attempt builds of the same backup, also where `latest` is another one by then.
    let first = scope.all_noted(BACKUP).into_iter().next();
    let wanted = first.as_ref().and_then(Value::as_str).unwrap_or(wanted);
    let wish = Wish {
        backup: wanted.to_owned(),
        components: vec![component.to_owned()],
        ..Wish::default()
    };
    let backup = backup::choose(&setting, &wish).await?;
    if first.is_none() {
        scope.note(BACKUP, backup.id.to_string())?;
    }
    let data_as_of = data_as_of(&backup).to_string();
    scope.note("data_as_of", data_as_of.clone())?;
    let staged = stage(&setting, &backup, component, &key(scope)).await?;
    let mut found = built(&staged.record, json!(staged.compared));
    found.insert("data_as_of".into(), data_as_of.into());
    Ok(found)
}

/// What is built is recorded as such once it is whole and verified.
fn built_already(scope: &Scope) -> Result<Probe> {
    let Some(record) = find_staged(&scope.setting, &key(scope))? else { return Ok(Probe::NotDone) };
    Ok(match record.stage {
        Stage::Built => {
            let mut found = built(&record, Value::Null);
            let data_as_of = scope.noted("data_as_of").unwrap_or_default();
            found.insert("data_as_of".into(), data_as_of);
            Probe::Done(found)
        }
        // The next attempt begins by removing it.
        Stage::Building | Stage::Abandoned | Stage::Purged => Probe::NotDone,
        stage => Probe::Unknown(format!("what it built is {}", stage.as_str())),
    })
}

/// Removes what was built. What was live since may hold what was written then: it stays aside.
async fn unbuild(scope: &Scope) -> Result<()> {
    let (setting, key) = (logged(scope), key(scope));
    match find_staged(&setting, &key)?.map(|record| record.stage) {
        Some(Stage::RolledBack) => {
            scope.log.line(&format!(
                "what was live as {key} is kept: `backstop rollback {key} --purge` removes it"
            ));
            Ok(())
        }
        _ => discard_staged(&setting, &key).await,
    }
}

fn not_empty(name: &str, value: &str) -> std::result::Result<(), String> {
    match value.trim().is_empty() {
        true => Err(format!("`{name}` is empty")),
        false => Ok(()),
    }
}

impl Action for FilesRestore {
    type With = Tree;
    const NAME: &'static str = "files.restore";
    const ABOUT: &'static str = "Builds a file tree of a backup beside the live one.";
    const OUTPUTS: &'static [&'static str] = BUILT;
    const PROBES: bool = true;
    const UNDOES: bool = true;

    fn check(with: &Tree) -> std::result::Result<(), String> {
        not_empty("files", &with.files)
    }

    fn plan(&self, with: &Tree) -> String {
        format!("build the files {} of backup {} beside the live ones", with.files, with.backup)
    }

    async fn run(&self, with: &Tree, scope: &Scope) -> Result<Outputs> {
        build(scope, &with.files, &with.backup).await
    }

    async fn probe(&self, _with: &Tree, scope: &Scope) -> Result<Probe> {
        built_already(scope)
    }

    async fn undo(&self, _with: &Tree, _outputs: Option<&Outputs>, scope: &Scope) -> Result<()> {
        unbuild(scope).await
    }
}

impl Action for DatabaseRestore {
    type With = Dump;
    const NAME: &'static str = "database.restore";
    const ABOUT: &'static str =
        "Builds a database of a backup beside the live one, and compares its rows.";
    const OUTPUTS: &'static [&'static str] = BUILT;
    const PROBES: bool = true;
    const UNDOES: bool = true;

    fn check(with: &Dump) -> std::result::Result<(), String> {
        not_empty("database", &with.database)
    }

    fn plan(&self, with: &Dump) -> String {
        format!(
            "build the database {} of backup {} beside the live one, and compare its rows",
            with.database, with.backup
        )
    }

    async fn run(&self, with: &Dump, scope: &Scope) -> Result<Outputs> {
        build(scope, &with.database, &with.backup).await
    }

    async fn probe(&self, _with: &Dump, scope: &Scope) -> Result<Probe> {
        built_already(scope)
    }

    async fn undo(&self, _with: &Dump, _outputs: Option<&Outputs>, scope: &Scope) -> Result<()> {
        unbuild(scope).await
    }
}

/// What a swap put where.
fn swapped(record: &RestoreRecord, seconds: f64) -> Outputs {
    let place = record.places().into_iter().next();
    let kept = place.as_ref().and_then(|place| place.kept.clone());
    let live = place.map(|place| place.place).unwrap_or_default();
    outputs([
        ("restore", record.key.clone().into()),
        ("live", live.clone().into()),
        ("kept", json!(kept)),
        ("downtime_seconds", json!(seconds)),
        ("evidence", json!({ "backup": record.backup_name, "live": live, "kept": kept })),
    ])
}

const SWAPPED: &[&str] = &["restore", "live", "kept", "downtime_seconds", "evidence"];

async fn swap(scope: &Scope, key: &str, of_files: bool) -> Result<Outputs> {
    let setting = logged(scope);
    put_right(scope).await?;
    if let Some(record) = find_staged(&setting, key)?
        && record.databases.is_empty() != of_files
    {
        return Err(Error::new(Code::ActionFailed, "swap", key).cause(match of_files {
            true => "it is a database: `database.swap` makes it live",
            false => "these are files: `files.swap` makes them live",
        }));
    }
    let (record, downtime) = swap_staged(&setting, key).await?;
    let seconds = downtime.iter().map(|held| held.seconds).fold(0.0, f64::max);
    Ok(swapped(&record, seconds))
}

/// A swap whose backstop died is turned back before anybody looks.
async fn put_right(scope: &Scope) -> Result<()> {
    let (setting, runtime) = (scope.setting.clone(), tokio::runtime::Handle::current());
    // On a thread of its own: what it waits for need not move between threads.
    let work = move || runtime.block_on(resume(&setting));
    let recovery = scope.setting.blocking(work).await?;
    recovery.done.iter().for_each(|line| scope.log.line(line));
    recovery.require_complete()
}

async fn swapped_already(scope: &Scope, key: &str) -> Result<Probe> {
    put_right(scope).await?;
    let Some(record) = find_staged(&scope.setting, key)? else {
        return Ok(Probe::Unknown(format!("nothing is built as {key}")));
    };
    Ok(match record.stage {
        Stage::Swapped => Probe::Done(swapped(&record, 0.0)),
        Stage::Built | Stage::RolledBack => Probe::NotDone,
        stage => Probe::Unknown(format!("what was built is {}", stage.as_str())),
    })
}

async fn swap_back(scope: &Scope, key: &str, outputs: Option<&Outputs>) -> Result<()> {
    put_right(scope).await?;
    let setting = logged(scope);
    let was_done = outputs.is_some_and(|outputs| outputs.contains_key("live"));
    match find_staged(&setting, key)? {
        Some(record) if record.stage == Stage::Swapped => {
            rollback(&setting, record).await.map(drop)
        }
        Some(record) if record.stage != Stage::Purged => Ok(()),
        _ if !was_done => Ok(()),
        _ => Err(Error::new(Code::NothingToRollBack, "swap back", key)
            .cause("what it replaced is kept no more")),
    }
}

impl Action for FilesSwap {
    type With = Built;
    const NAME: &'static str = "files.swap";
    const ABOUT: &'static str =
        "Makes files live that `files.restore` built; the replaced ones are kept.";
    const OUTPUTS: &'static [&'static str] = SWAPPED;
    const PROBES: bool = true;
    const UNDOES: bool = true;

    fn check(with: &Built) -> std::result::Result<(), String> {
        not_empty("restore", &with.restore)
    }

    fn plan(&self, with: &Built) -> String {
        format!(
            "stop the stack's containers that run, make the files {} live, keep the replaced ones, \
             start the containers",
            with.restore
        )
    }

    async fn run(&self, with: &Built, scope: &Scope) -> Result<Outputs> {
        swap(scope, &with.restore, true).await
    }

    async fn probe(&self, with: &Built, scope: &Scope) -> Result<Probe> {
        swapped_already(scope, &with.restore).await
    }

    async fn undo(&self, with: &Built, outputs: Option<&Outputs>, scope: &Scope) -> Result<()> {
        swap_back(scope, &with.restore, outputs).await
    }
}

impl Action for DatabaseSwap {
    type With = Built;
    const NAME: &'static str = "database.swap";
    const ABOUT: &'static str =
        "Makes a database live that `database.restore` built; the replaced one is kept.";
    const OUTPUTS: &'static [&'static str] = SWAPPED;
    const PROBES: bool = true;
    const UNDOES: bool = true;

    fn check(with: &Built) -> std::result::Result<(), String> {
        not_empty("restore", &with.restore)
    }

    fn plan(&self, with: &Built) -> String {
        format!(
            "stop the stack's containers that run, end sessions, make the database {} live, keep \
             the replaced one, start the containers",
            with.restore
        )
    }

    async fn run(&self, with: &Built, scope: &Scope) -> Result<Outputs> {
        swap(scope, &with.restore, false).await
    }

    async fn probe(&self, with: &Built, scope: &Scope) -> Result<Probe> {
        swapped_already(scope, &with.restore).await
    }

    async fn undo(&self, with: &Built, outputs: Option<&Outputs>, scope: &Scope) -> Result<()> {
        swap_back(scope, &with.restore, outputs).await
    }
}
