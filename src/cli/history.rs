//! `backstop history`: the versions of one file.

use super::context::Context;
use super::{Ending, table};
use crate::browse::{self, Event, Version};
use crate::error::{Code, Error, Result};
use crate::size;
use clap::Args;
use std::ffi::OsString;

const EXAMPLES: &str = "\
Examples:
  backstop history uploads/2024/a.jpg
  backstop history etc/app.conf --json

Of a file with several names the first one has the content, and its history: the others only
tell that they are links to it.
It exits with 3 where backups could not be read, of which it then says nothing.";

/// The arguments of `backstop history`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryArgs {
    /// The file: COMPONENT/relative/path
    path: OsString,
}

pub(super) fn run(args: &HistoryArgs, context: &Context) -> Result<Ending> {
    let path = super::file_path(&args.path)?;
    let asked = context.ask_lists(None, |query| browse::history(query, &path))?;
    let versions = &asked.answer;
    if versions.is_empty() && asked.is_whole() {
        return Err(Error::new(Code::FileNotFound, "show the history of", path.to_string())
            .cause("no backup has it")
            .hint("`backstop find` searches by a part of the name"));
    }
    context.output.result(versions, || match versions.is_empty() {
        true => "No backup that could be read has it.\n".into(),
        false => describe(versions),
    })?;
    Ok(asked.ending(context))
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
