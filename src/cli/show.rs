//! `backstop show`: everything about one backup.

use super::context::Context;
use super::{Ending, table, verify};
use crate::catalog::{BackupRecord, LastVerification};
use crate::clock;
use crate::config::{Config, Copy};
use crate::copies;
use crate::error::Result;
use crate::repository::Pin;
use crate::repository::manifest::{Detail, Lacking, Level, TableRows};
use crate::size;
use clap::Args;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt::Write;

/// How many tables of a database are listed; `--json` has all.
const TABLES: usize = 20;

const EXAMPLES: &str = "\
Examples:
  backstop show                   the newest backup of the whole stack
  backstop show 4f2a              the one whose id begins so
  backstop show latest --json     the same for programs";

/// The arguments of `backstop show`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// A unique prefix of an id, a name, or `latest`
    #[arg(default_value = "latest")]
    id: String,
}

pub(super) fn run(args: &ShowArgs, context: &Context) -> Result<Ending> {
    let mut record = context.reconciled()?.find(&args.id)?;
    let config = &context.loaded()?.config;
    copies::note_copies(config, std::slice::from_mut(&mut record));
    context.output.result(&record, || describe(&record) + &lacking(&record, config))?;
    Ok(Ending::Done)
}

/// The line about copies that do not have it, as far as this host knows.
fn lacking(record: &BackupRecord, config: &Config) -> String {
    let copies = &config.repository.copies;
    let lacks = |copy: &&Copy| record.is_published() && !record.copies.contains(&copy.name);
    let lacking: Vec<&str> = copies.iter().filter(lacks).map(|copy| copy.name.as_str()).collect();
    match lacking.as_slice() {
        [] => String::new(),
        names => format!("{:<13}{}; `backstop sync` sends it\n", "not in", names.join(", ")),
    }
}

/// How far it came; damage that a verification found outweighs that.
pub(super) fn status(record: &BackupRecord) -> &'static str {
    if record.is_damaged() { "DAMAGED" } else { record.status.as_str() }
}

/// How thoroughly it was verified last, and how long ago: `full, 3 h ago`.
pub(super) fn verified(found: &LastVerification) -> String {
    let seconds = clock::now().duration_since(found.at).as_secs().max(0);
    let age = match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    };
    let level = match &found.sampled {
        Some(sampled) => format!("samples, {}", verify::read(sampled)),
        None => found.level.as_str().into(),
    };
    format!("{level}, {age} ago")
}

/// A time to the second, in UTC.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Since when, by whom and why a backup is kept by hand.
fn kept(pin: &Pin) -> String {
    let since = pin.at.map(|at| format!(" since {}", moment(at))).unwrap_or_default();
    let host = pin.host.as_ref().map(|host| format!(", on {host}")).unwrap_or_default();
    let reason = pin.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("by hand{since}{host}{reason}")
}

/// The tables with the most rows, and how many others there are.
fn rows(tables: &[TableRows]) -> Vec<String> {
    let mut tables: Vec<&TableRows> = tables.iter().collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.rows));
    let line = |table: &&TableRows| match table.exact {
        true => format!("{}  {}", table.table, table.rows),
        false => format!("{}  about {}, estimated", table.table, table.rows),
    };
    let mut lines: Vec<String> = tables.iter().take(TABLES).map(line).collect();
    let others = tables.get(TABLES..).unwrap_or_default();
    if !others.is_empty() {
        let rows = others.iter().map(|table| table.rows).sum();
        let tables = size::count(others.len() as u64, "further table", "further tables");
        lines.push(format!("{} in {tables}, see --json", size::count(rows, "row", "rows")));
    }
    lines
}

/// The backup as a person reads it; `backup` ends with it as well.
pub(super) fn describe(record: &BackupRecord) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key:<13}{value}");
    };
    line("backup", record.name.clone());
    line("id", record.id.to_string());
    line("status", status(record).into());
    if let Some(pin) = &record.pin {
        line("kept", kept(pin));
    }
    if let Some(path) = &record.path {
        line("path", path.display().to_string());
    }
    line("stack", record.stack.clone());
    if record.encrypted {
        line("encrypted", "with age; `backstop key check` says for whom".into());
    }
    if !record.copies.is_empty() {
        line("copies", record.copies.join(", "));
    }
    let kind = match &record.parent {
        Some(parent) => format!("{}, upon {}", record.kind.as_str(), parent.short()),
        None => record.kind.as_str().into(),
    };
    line("kind", kind);
    line("reason", record.reason.as_str().into());
    for (key, value) in &record.labels {
        line("label", format!("{key}={value}"));
    }
    if let Some(version) = &record.version_label {
        line("version", version.clone());
    }
    let lacking = record.readiness.iter().flat_map(|readiness| &readiness.lacking);
    let lacking: Vec<&Lacking> = lacking.collect();
    if !record.omitted.is_empty() {
        let is_there = |name: &&String| {
            !lacking.iter().any(|one| one.subject.split_once(' ').is_some_and(|it| it.1 == **name))
        };
        let why = match record.omitted.iter().any(|name| is_there(&name)) {
            true => "which --only left out",
            false => "which was not there",
        };
        line("partial", format!("without {}, {why}", record.omitted.join(", ")));
    }
    if let Some(readiness) = &record.readiness {
        line("level", readiness.level.as_str().into());
    }
    for one in lacking {
        line("lacking", one.message.clone());
    }
    for component in &record.components {
        if let Detail::Files(files) = &component.detail
            && let Some(first) = files.unreadable.first()
        {
            let (count, name) = (files.unreadable.len(), &component.name);
            line(
                "partial",
                format!("without {count} of {name} that could not be read, as {first}"),
            );
        }
    }
    line("started", moment(record.started_at));
    if let Some(duration) = record.duration_seconds {
        line("took", table::seconds(duration));
    }
    if let Some(consistency) = &record.consistency {
        line("consistency", format!("{} ({})", consistency.level.as_str(), consistency.because));
        if let Some(at) = consistency.fenced_at.filter(|_| consistency.level == Level::Fenced) {
            line("fenced at", moment(at));
        }
    }
    for held in &record.downtime {
        line("downtime", format!("{} {}", held.container, table::seconds(held.seconds)));
    }
    let needs: BTreeSet<&str> = record
        .components
        .iter()
        .flat_map(|component| component.elsewhere())
        .map(|stored| stored.backup.short())
        .collect();
    if !needs.is_empty() {
        line("needs", needs.into_iter().collect::<Vec<_>>().join(", "));
    }
    for component in &record.components {
        line(
            component.detail.type_name(),
            format!(
                "{}  {} in {}, {} stored",
                component.name,
                size::bytes(component.source_bytes),
                size::count(component.file_count, "file", "files"),
                size::bytes(component.stored_bytes)
            ),
        );
        if let Detail::Database(database) = &component.detail {
            rows(&database.tables).into_iter().for_each(|row| line("rows", row));
        }
    }
    if let Some(found) = &record.last_verification {
        let result = verify::result(found.ok, found.level, found.sampled.as_ref());
        line("verified", format!("{}, {}: {result}", verified(found), moment(found.at)));
        for damage in &found.damages {
            line("damage", damage.to_string());
        }
    }
    for warning in &record.warnings {
        line("warning", format!("[{}] {}", warning.code.as_str(), warning.message));
    }
    if let Some(error) = record.error.as_ref().and_then(|error| error["message"].as_str()) {
        line("error", error.into());
    }
    text
}
