//! `backstop list`: the backups, newest first.

use super::context::Context;
use super::time::Stretch;
use super::{Ending, show, table};
use crate::browse;
use crate::catalog::{BackupRecord, Status};
use crate::copies;
use crate::error::Result;
use crate::repository::BackupId;
use crate::repository::manifest::{Kind, Reason};
use crate::size;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop list                   every backup, newest first
  backstop list --since 2026-11-01 --reason scheduled --limit 10
  backstop list --label ticket=OPS-12 --status verified
  backstop list --containing 'uploads/2024/*.jpg'
  backstop list --json            the same for programs";

/// The words of the column STATUS.
const STATUSES: [&str; 6] =
    ["pending", "in_progress", "completed", "verified", "failed", "damaged"];

/// The arguments of `backstop list`. All filters must hold.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListArgs {
    #[command(flatten)]
    time: Stretch,
    /// Taken for this reason
    #[arg(long, value_enum)]
    reason: Option<Reason>,
    /// Of this kind
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// With this label, whatever its value or with this one; may be given several times
    #[arg(long = "label", value_name = "KEY[=VALUE]")]
    labels: Vec<String>,
    /// Of this status
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,
    /// Holding this file, as COMPONENT/path, which may be a glob; or this component
    #[arg(long, value_name = "PATH")]
    containing: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

pub(super) fn run(args: &ListArgs, context: &Context) -> Result<Ending> {
    let mut records = context.reconciled()?.list()?;
    let config = &context.loaded()?.config;
    copies::note_copies(config, &mut records);
    let is_filtered = !records.is_empty();
    records.retain(|record| args.fits(record));
    let ending = match &args.containing {
        Some(path) => retain_containing(&mut records, path, context)?,
        None => Ending::Done,
    };
    records.truncate(args.limit.unwrap_or(usize::MAX));
    context.output.result(&records, || match records.as_slice() {
        [] if ending == Ending::Degraded => "No backup that could be read fits.\n".into(),
        [] if is_filtered => "No backup fits.\n".into(),
        records => describe(records, config.repository.copies.len()),
    })?;
    Ok(ending)
}

impl ListArgs {
    /// Whether a backup fits all filters but `--containing` and `--limit`.
    fn fits(&self, record: &BackupRecord) -> bool {
        let has_label = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => record.labels.get(key).is_some_and(|found| found == value),
            None => record.labels.contains_key(wanted),
        };
        let has_status = |wanted: &String| show::status(record).eq_ignore_ascii_case(wanted);
        self.time.has(record.started_at)
            && self.reason.is_none_or(|reason| record.reason == reason)
            && self.kind.is_none_or(|kind| record.kind == kind)
            && self.labels.iter().all(has_label)
            && self.status.as_ref().is_none_or(has_status)
    }
}

/// Leaves the backups that hold a file, or a component where the path names one alone.
fn retain_containing(
    records: &mut Vec<BackupRecord>,
    path: &str,
    context: &Context,
) -> Result<Ending> {
    let name = path.trim_matches('/');
    if !name.contains(['/', '*', '?', '[']) {
        records.retain(|record| record.components.iter().any(|part| part.name == name));
        return Ok(Ending::Done);
    }
    let wanted: Vec<BackupId> = records.iter().map(|record| record.id.clone()).collect();
    let asked = context.ask_lists(Some(&wanted), |query| browse::containing(query, path))?;
    records.retain(|record| asked.answer.contains(&record.id));
    Ok(asked.ending(context))
}

/// What the columns say; COPIES stands there where the config names some.
const COLUMNS: [&str; 12] = [
    "ID",
    "STARTED (UTC)",
    "KIND",
    "REASON",
    "VERSION",
    "STATUS",
    "VERIFIED",
    "CONSISTENCY",
    "DOWNTIME",
    "STORED",
    "HOLDS",
    "COPIES",
];

fn describe(records: &[BackupRecord], copies: usize) -> String {
    if records.is_empty() {
        return "No backups yet. `backstop backup` takes the first one.\n".into();
    }
    let shown = if copies == 0 { COLUMNS.len() - 1 } else { COLUMNS.len() };
    let cells = |record| row(record, copies).into_iter().take(shown).collect();
    let rows: Vec<Vec<String>> = records.iter().map(cells).collect();
    table::table(&COLUMNS[..shown], &rows)
}

fn row(record: &BackupRecord, copies: usize) -> Vec<String> {
    let downtime = record.downtime.iter().map(|held| held.seconds).fold(0.0, f64::max);
    vec![
        record.id.short().into(),
        record.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        record.kind.as_str().into(),
        record.reason.as_str().into(),
        record.version_label.clone().unwrap_or_else(|| "-".into()),
        status(record),
        record.last_verification.as_ref().map_or("-".into(), show::verified),
        record.consistency.as_ref().map_or("-", |c| c.level.as_str()).into(),
        if record.downtime.is_empty() { "-".into() } else { table::seconds(downtime) },
        if record.status == Status::Failed { "-".into() } else { size::bytes(record.stored_bytes) },
        holds(record),
        match record.is_published() {
            true => format!("{} of {copies}", record.copies.len()),
            false => "-".into(),
        },
    ]
}

/// How far it came, and whether it is kept by hand.
fn status(record: &BackupRecord) -> String {
    let kept = if record.pin.is_some() { ", kept" } else { "" };
    format!("{}{kept}", show::status(record))
}

/// The kinds of its parts, and whether parts of the stack were left out.
fn holds(record: &BackupRecord) -> String {
    let kinds = [
        ("database", "databases"),
        ("globals", "globals"),
        ("files", "files"),
        ("container", "containers"),
    ];
    let held: Vec<&str> = kinds
        .iter()
        .filter(|(kind, _)| record.components.iter().any(|part| part.detail.type_name() == *kind))
        .map(|(_, shown)| *shown)
        .collect();
    let lacking = [
        ("no", record.omitted.iter().map(String::as_str).collect()),
        ("not all of", record.unread()),
    ];
    let lacking = lacking.into_iter().filter(|(_, names)| !names.is_empty());
    let lacking: Vec<String> =
        lacking.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
    match (held.as_slice(), lacking.as_slice()) {
        ([], _) => "-".into(),
        (_, []) => held.join(", "),
        (_, lacking) => format!("{} (partial: {})", held.join(", "), lacking.join("; ")),
    }
}
