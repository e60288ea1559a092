//! `backstop diff`: what differs between the files of two backups.

use super::context::Context;
use super::{Ending, table};
use crate::browse::{self, Change, Difference, Stat};
use crate::catalog::Session;
use crate::error::Result;
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
  R  the second has the same content under another path, the first one is gone";

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
    let differences = context
        .ask_about(find, |query, (first, second)| browse::diff(query, first, second))?;
    if args.stat {
        let stats = browse::stat(&differences);
        context.output.result(&stats, || describe_stat(&stats))?;
    } else {
        context.output.result(&differences, || differences.iter().map(describe).collect())?;
    }
    Ok(Ending::Done)
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
