//! `backstop find`: where and when a file existed.

use super::context::Context;
use super::time::Stretch;
use super::{Ending, table};
use crate::browse::{self, Criteria, Found};
use crate::error::Result;
use crate::repository::manifest::Reason;
use crate::size;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop find '*.jpg' --since 2026-11-01
  backstop find invoice-4711
  backstop find 'uploads/2024/*' --min-size 1MiB --json
  backstop find --sha256 9f86d081

A file with several names is found by its size or content under the first one, and by name
under each: the others are of type hardlink.
It exits with 3 where backups could not be read, of which it then says nothing.";

/// The arguments of `backstop find`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FindArgs {
    /// With *, ? or [ a glob, else a part: of the file's name or, with a slash in it, of
    /// COMPONENT/path
    #[arg(default_value = "", hide_default_value = true)]
    pattern: String,
    #[command(flatten)]
    time: Stretch,
    /// In backups taken for this reason
    #[arg(long, value_enum)]
    reason: Option<Reason>,
    /// Of at least this size, e.g. 10MiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    min_size: Option<u64>,
    /// Of at most this size
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_size: Option<u64>,
    /// With this content: the first digits of its SHA-256
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// At most so many versions
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
}

pub(super) fn run(args: FindArgs, context: &Context) -> Result<Ending> {
    let FindArgs {
        pattern,
        time: Stretch { since, until },
        reason,
        min_size,
        max_size,
        sha256,
        limit,
    } = args;
    let criteria = Criteria { pattern, since, until, reason, min_size, max_size, sha256, limit };
    let asked = context.ask_lists(None, |query| browse::find(query, &criteria))?;
    let found = &asked.answer;
    context.output.result(found, || match (found.is_empty(), asked.is_whole()) {
        (false, _) => describe(found),
        (true, true) => "No backup has such a file.\n".into(),
        (true, false) => "No backup that could be read has such a file.\n".into(),
    })?;
    Ok(asked.ending(context))
}

fn describe(found: &[Found]) -> String {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let day = |time: &str| time.get(..16).unwrap_or(time).to_owned();
            vec![
                if one.kind == "file" { size::bytes(one.size) } else { one.kind.clone() },
                one.modified_at.as_deref().map(day).unwrap_or_default(),
                day(&one.first_seen),
                day(&one.last_seen),
                one.backups.to_string(),
                one.last_backup.get(..8).unwrap_or(&one.last_backup).to_owned(),
                // Last, since one long path would push all else away.
                format!("{}/{}", one.component, one.path),
            ]
        })
        .collect();
    let header =
        ["SIZE", "MODIFIED (UTC)", "FIRST SEEN", "LAST SEEN", "BACKUPS", "NEWEST IN", "PATH"];
    table::table(&header, &rows)
}
