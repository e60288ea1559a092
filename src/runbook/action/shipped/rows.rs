//! `database.copy_rows`: lost rows come back into a live table.

use super::outputs;
use super::sql::Session;
use crate::database::{
    Connection, Outcome, Wanted, bring_back, common_tables, find_missing, take_away,
};
use crate::error::{Code, Error, Result};
use crate::restore::{Stage, find_staged};
use crate::runbook::action::{Action, Outputs, Point, Probe, Scope};
use crate::size;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The ending of the records beside the logs of a run.
const RECORD: &str = "rows";

pub(in crate::runbook) struct CopyRows;

/// Which rows come back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The live database's name in the config.
    database: String,
    /// The output `restore` of the step that built the database that has them.
    restore: String,
    /// The tables, those that others refer to first; without any, all that both databases have and
    /// that have a primary key.
    #[serde(default)]
    tables: Vec<Named>,
    /// Which rows of those tables for which nothing else is said, as a condition of SQL; without it
    /// all that are missing.
    #[serde(rename = "where")]
    condition: Option<String>,
    /// Whether they are only counted and shown.
    #[serde(default)]
    dry_run: bool,
}

/// A table, by its name alone or with more about it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Named {
    /// `table` or `schema.table`.
    Name(String),
    /// With more about it.
    Table(Table),
}

/// Which rows of one table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Table {
    /// `table` or `schema.table`.
    table: String,
    /// Which of its rows, as a condition of SQL; without it all that are missing.
    #[serde(rename = "where")]
    condition: Option<String>,
    /// The columns that tell rows apart; without any, the primary key.
    #[serde(default)]
    key: Vec<String>,
}

impl Named {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Table(table) => &table.table,
        }
    }
}

impl With {
    fn wanted(&self, named: &Named) -> Wanted {
        let (own, key) = match named {
            Named::Name(_) => (None, Vec::new()),
            Named::Table(table) => (table.condition.clone(), table.key.clone()),
        };
        let condition = own.or_else(|| self.condition.clone());
        Wanted { table: named.name().to_owned(), condition, key }
    }

    /// The tables that are looked through, and, where none is named, those whose rows cannot come
    /// back.
    async fn tables(
        &self,
        from: &Connection,
        live: &Connection,
        scope: &Scope,
    ) -> Result<(Vec<Wanted>, Vec<String>)> {
        if !self.tables.is_empty() {
            return Ok((self.tables.iter().map(|named| self.wanted(named)).collect(), Vec::new()));
        }
        let tables = common_tables(from, live).await?;
        for table in &tables.unkeyed {
            scope.log.line(&format!("{table} has no primary key: its rows are not compared"));
        }
        let unsaved = tables.unsaved(from, live).await?;
        for table in &unsaved {
            scope.log.line(&format!("cannot bring back: {table}"));
        }
        let wanted = tables.keyed.into_iter().map(|table| self.wanted(&Named::Name(table)));
        Ok((wanted.collect(), unsaved))
    }
}

/// A session in the live database.
async fn live<'a>(with: &'a With, scope: &Scope) -> Result<Session<'a>> {
    Session::open(scope, &with.database, None).await
}

/// The name of the database that has the rows.
fn restored(with: &With, scope: &Scope) -> Result<String> {
    let missing =
        |cause: &str| Error::new(Code::ActionFailed, "copy rows of", &with.restore).cause(cause);
    let record = find_staged(&scope.setting, &with.restore)?;
    let record = record.ok_or_else(|| missing("nothing is built as that"))?;
    let swap = record.databases.first().ok_or_else(|| missing("it is no database"))?;
    if swap.component != with.database {
        return Err(missing(&format!("it is {}, not {}", swap.component, with.database)));
    }
    if !matches!(record.stage, Stage::Built | Stage::RolledBack) {
        return Err(missing(&format!("it is {}", record.stage.as_str())));
    }
    Ok(swap.new.clone())
}

/// Where an attempt records what it inserted.
fn record_of(scope: &Scope) -> PathBuf {
    scope.log.path().with_extension(RECORD)
}

fn create(path: &Path) -> Result<File> {
    let failed = |e| Error::io("create", path, e);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)
}

/// The records of every attempt of the step that is undone.
fn records(scope: &Scope) -> Vec<PathBuf> {
    let step = scope.step.trim_end_matches(".compensate");
    let dir = scope.log.path().parent().unwrap_or(Path::new(""));
    let number = |path: &Path| -> Option<u32> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix(step)?.strip_prefix('.')?.strip_suffix(".rows")?.parse().ok()
    };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| number(path).is_some()).collect()
}

async fn show(with: &With, scope: &Scope) -> Result<Outputs> {
    let (name, live) = (restored(with, scope)?, live(with, scope).await?);
    let from = Session::open(scope, &with.database, Some(&name)).await?;
    let mut found = Vec::new();
    let tables = with.tables(&from.connection, &live.connection, scope);
    let (tables, unsaved) = live.finish(scope, tables).await?;
    for wanted in tables {
        let work = find_missing(&from.connection, &live.connection, &wanted);
        let missing = live.finish(scope, work).await?;
        scope.log.line(&format!(
            "{} of {} are missing",
            size::count(missing.rows, "row", "rows"),
            missing.table
        ));
        missing.shown.iter().for_each(|row| scope.log.line(row));
        found.push(missing);
    }
    let rows: u64 = found.iter().map(|missing| missing.rows).sum();
    let counts = found.iter().map(|missing| (missing.rows, missing.table.as_str()));
    Ok(returned(rows, summary(counts, &unsaved), json!(found), unsaved, Value::Null))
}

/// How many rows of which tables, and which tables cannot be helped, as people read it.
fn summary<'a>(tables: impl Iterator<Item = (u64, &'a str)>, unsaved: &[String]) -> String {
    let some = tables.filter(|(rows, _)| *rows > 0);
    let some: Vec<String> = some.map(|(rows, table)| format!("{rows} of {table}")).collect();
    let some = if some.is_empty() { "none".to_owned() } else { some.join(", ") };
    match unsaved {
        [] => some,
        unsaved => format!("{some}; cannot bring back: {}", unsaved.join(", ")),
    }
}

fn returned(
    rows: u64,
    summary: String,
    tables: Value,
    unsaved: Vec<String>,
    record: Value,
) -> Outputs {
    let evidence = json!({ "rows_brought_back": tables, "record": record });
    outputs([
        ("rows", rows.into()),
        ("summary", summary.into()),
        ("tables", tables),
        ("unsaved", unsaved.into()),
        ("record", record),
        ("evidence", evidence),
    ])
}

impl Action for CopyRows {
    type With = With;
    const NAME: &'static str = "database.copy_rows";
    const ABOUT: &'static str =
        "Brings rows that a restored database has and the live one lacks back into it.";
    const OUTPUTS: &'static [&'static str] =
        &["rows", "summary", "tables", "unsaved", "record", "evidence"];
    const PROBES: bool = true;
    const UNDOES: bool = true;

    fn check(with: &With) -> std::result::Result<(), String> {
        match with.tables.iter().find(|named| named.name().trim().is_empty()) {
            Some(_) => Err("a `table` is empty".into()),
            None => Ok(()),
        }
    }

    fn plan(&self, with: &With) -> String {
        let tables: Vec<&str> = with.tables.iter().map(Named::name).collect();
        let what = if with.dry_run { "count" } else { "insert" };
        let tables = match tables.as_slice() {
            [] => "all tables".to_owned(),
            tables => tables.join(", "),
        };
        format!("{what} the rows of {tables} that {} has and {} lacks", with.restore, with.database)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        if with.dry_run {
            return show(with, scope).await;
        }
        let (name, live) = (restored(with, scope)?, live(with, scope).await?);
        let from = Session::open(scope, &with.database, Some(&name)).await?;
        scope.note("session", live.name.clone())?;
        let tables = with.tables(&from.connection, &live.connection, scope);
        let (tables, unsaved) = live.finish(scope, tables).await?;
        let path = record_of(scope);
        let mut record = create(&path)?;
        let transaction = live.connection.begin().await?;
        scope.note("transaction", transaction.id())?;
        let mut done = Vec::new();
        for wanted in tables {
            let into = (&mut record, path.as_path());
            let work = bring_back(&from.connection, &live.connection, &wanted, into);
            done.push(live.finish(scope, work).await?);
        }
        let rows: u64 = done.iter().map(|table| table.rows).sum();
        let counts = done.iter().map(|table| (table.rows, table.table.as_str()));
        let summary = summary(counts, &unsaved);
        let found = returned(rows, summary, json!(done), unsaved, json!(path));
        // A successor that finds the transaction committed knows by this what it did.
        scope.note("answer", Value::Object(found.clone()))?;
        scope.reach(Point::MidEffect);
        transaction.commit().await.map_err(|e| match e.code() {
            Code::DatabaseUnreachable => {
                Error::new(Code::TimedOut, "learn whether it took effect in", &with.restore)
                    .source(e)
            }
            _ => e,
        })?;
        Ok(found)
    }

    async fn probe(&self, with: &With, scope: &Scope) -> Result<Probe> {
        let Some(Value::String(id)) = scope.noted("transaction") else {
            return Ok(Probe::NotDone);
        };
        let live = live(with, scope).await?;
        Ok(match (live.connection.outcome(&id).await?, scope.noted("answer")) {
            (Outcome::Committed, Some(Value::Object(found))) => Probe::Done(found),
            (Outcome::RolledBack, _) => Probe::NotDone,
            _ => {
                Probe::Unknown(format!("the server does not tell what became of transaction {id}"))
            }
        })
    }

    async fn halt(&self, with: &With, scope: &Scope) -> Result<()> {
        let noted = scope.noted("session");
        let Some(name) = noted.as_ref().and_then(Value::as_str) else { return Ok(()) };
        live(with, scope).await?.connection.end_session(name).await
    }

    /// Rows that somebody changed since, or that others refer to, stay and are said to.
    async fn undo(&self, with: &With, _outputs: Option<&Outputs>, scope: &Scope) -> Result<()> {
        let records = records(scope);
        if with.dry_run || records.is_empty() {
            return Ok(());
        }
        for path in records {
            let live = live(with, scope).await?;
            let work = take_away(&live.connection, &path);
            let (removed, left) = live.finish(scope, work).await?;
            scope.log.line(&format!(
                "took {} away; {left} stay, as they were changed since or newer rows refer to \
                 them, or are gone",
                size::count(removed, "row", "rows")
            ));
        }
        Ok(())
    }
}
