//! `backstop diff`: what differs between the files of two backups.

use super::context::Context;
use super::{Ending, table};
use crate::browse::{self, Change, Difference, Stat};
use crate::catalog::{BackupRecord, Session};
use crate::error::{Code, Result};
use crate::printable::one_line;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop diff 4f2a latest
  backstop diff 4f2a latest --stat

Each line begins with a mark:
  +  only the second has it
  -  only the first has it
  M  content or type differ
  m  only mode, owner or time differ
  R  the second has the same content under another path, the first one is gone
File trees that only one of both holds are named and not compared (exit code 3).";

/// The arguments of `backstop diff`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DiffArgs {
    /// The first backup: a unique prefix of an id, a name, or `latest`
    first: String,
    /// The second backup
    second: String,
    /// Only how many files differ, and by how many bytes
    #[arg(long)]
    stat: bool,
}

pub(super) fn run(args: &DiffArgs, context: &Context) -> Result<Ending> {
    let find = |catalog: &Session| {
        let (first, second) = (catalog.find(&args.first)?, catalog.find(&args.second)?);
        Ok((vec![first.id.clone(), second.id.clone()], (first, second)))
    };
    let (differences, is_whole) = context.ask_about(find, |query, (first, second)| {
        let differences = browse::diff(query, first, second)?;
        Ok((differences, name_uncompared(context, first, second)))
    })?;
    if args.stat {
        let stats = browse::stat(&differences);
        context.output.result(&stats, || describe_stat(&stats))?;
    } else {
        context.output.result(&differences, || differences.iter().map(describe).collect())?;
    }
    Ok(if is_whole { Ending::Done } else { Ending::Degraded })
}

/// Names the file trees that only one of both holds; whether there are none.
fn name_uncompared(context: &Context, first: &BackupRecord, second: &BackupRecord) -> bool {
    let uncompared = browse::uncompared(first, second);
    for (tree, backup, is_omitted) in &uncompared {
        let why = if *is_omitted {
            "was taken with --only, which left it out"
        } else {
            "has no such file tree"
        };
        let message = format!("{tree} is not compared: {} {why}", backup.name);
        context.progress.warn(Code::ComponentNotFound, message);
    }
    uncompared.is_empty()
}

fn describe(one: &Difference) -> String {
    let sign = match one.change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => 'M',
        Change::Metadata => 'm',
        Change::Renamed => 'R',
    };
    let from = match &one.renamed_from {
        Some(from) => format!("{}/{} -> ", one.component, one_line(from)),
        None => String::new(),
    };
    format!("{sign} {from}{}/{}\n", one.component, one_line(&one.path))
}

fn describe_stat(stats: &[Stat]) -> String {
    let rows: Vec<Vec<String>> = stats
        .iter()
        .map(|stat| {
            let counts = [stat.added, stat.removed, stat.changed, stat.renamed, stat.metadata];
            let mut row = vec![stat.component.clone()];
            row.extend(counts.map(|count| count.to_string()));
            row.push(format!("{:+}", stat.bytes));
            row
        })
        .collect();
    let header = ["COMPONENT", "ADDED", "REMOVED", "CHANGED", "RENAMED", "METADATA", "BYTES"];
    table::table(&header, &rows)
}
