//! `backstop list`: the backups, newest first.

use super::context::Context;
use super::{Ending, show, table};
use crate::catalog::{BackupRecord, Status};
use crate::error::Result;
use crate::size;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop list                   every backup, newest first
  backstop list --json            the same for programs";

/// The arguments of `backstop list`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListArgs {}

pub(super) fn run(_args: &ListArgs, context: &Context) -> Result<Ending> {
    let records = context.reconciled()?.list()?;
    context.output.result(&records, || describe(&records))?;
    Ok(Ending::Done)
}

fn describe(records: &[BackupRecord]) -> String {
    if records.is_empty() {
        return "No backups yet. `backstop backup` takes the first one.\n".into();
    }
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    table::table(
        &[
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
        ],
        &rows,
    )
}

fn row(record: &BackupRecord) -> Vec<String> {
    let downtime = record.downtime.iter().map(|held| held.seconds).fold(0.0, f64::max);
    vec![
        record.id.short().into(),
        record.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        record.kind.as_str().into(),
        record.reason.as_str().into(),
        record.version_label.clone().unwrap_or_else(|| "-".into()),
        show::status(record).into(),
        record.last_verification.as_ref().map_or("-".into(), show::verified),
        record.consistency.as_ref().map_or("-", |c| c.level.as_str()).into(),
        if record.downtime.is_empty() { "-".into() } else { table::seconds(downtime) },
        if record.status == Status::Failed { "-".into() } else { size::bytes(record.stored_bytes) },
        holds(record),
    ]
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
    match (held.as_slice(), record.omitted.as_slice()) {
        ([], _) => "-".into(),
        (_, []) => held.join(", "),
        (_, omitted) => format!("{} (partial: no {})", held.join(", "), omitted.join(", ")),
    }
}
