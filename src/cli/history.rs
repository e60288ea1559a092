//! `backstop history`: the versions of one file.

use super::context::Context;
use super::{Ending, table};
use crate::browse::{self, Event, Version};
use crate::error::Result;
use crate::size;
use clap::Args;
use std::ffi::OsString;

const EXAMPLES: &str = "\
Examples:
  backstop history uploads/2024/a.jpg
  backstop history etc/app.conf --json

Of a file with several names the first one has the content, and its history: the others only
tell that they are links to it.";

/// The arguments of `backstop history`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryArgs {
    /// The file: COMPONENT/relative/path
    path: OsString,
}

pub(super) fn run(args: &HistoryArgs, context: &Context) -> Result<Ending> {
    let path = super::file_path(&args.path)?;
    let versions = browse::history(&context.query_lists(None)?, &path)?;
    context.output.result(&versions, || describe(&versions))?;
    Ok(Ending::Done)
}

fn describe(versions: &[Version]) -> String {
    let rows: Vec<Vec<String>> = versions
        .iter()
        .map(|one| {
            let minute = |time: &str| time.get(..16).unwrap_or(time).to_owned();
            let hash = one.sha256.as_deref().and_then(|hash| hash.get(..12)).unwrap_or("-");
            vec![
                one.backup.get(..8).unwrap_or(&one.backup).to_owned(),
                minute(&one.backed_up_at),
                event(one.event).to_owned(),
                one.size.map_or_else(|| "-".into(), size::bytes),
                one.modified_at.as_deref().map_or_else(|| "-".into(), minute),
                hash.to_owned(),
                one.backups.to_string(),
            ]
        })
        .collect();
    let header =
        ["SINCE BACKUP", "OF (UTC)", "WHAT", "SIZE", "MODIFIED (UTC)", "SHA-256", "BACKUPS"];
    table::table(&header, &rows)
}

fn event(event: Event) -> &'static str {
    match event {
        Event::Created => "created",
        Event::Changed => "changed",
        Event::Metadata => "metadata",
        Event::Deleted => "deleted",
    }
}
