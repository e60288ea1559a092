//! `backstop prune`: deletes the backups that no rule keeps.

use super::context::Context;
use super::signal::until_interrupted;
use super::{Ending, table};
use crate::error::Result;
use crate::retention::{self, Plan};
use crate::size;
use clap::Args;
use std::fmt::Write;

const EXAMPLES: &str = "\
Examples:
  backstop prune --dry-run        why every backup stays or goes
  backstop prune                  the same, then asks
  backstop prune --yes --quiet    without a question, for timers

The rules stand under [retention] in the config; without them nothing is deleted.";

/// The arguments of `backstop prune`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PruneArgs {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Only say what would be deleted, and why
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: PruneArgs, context: &Context) -> Result<Ending> {
    let setting = context.setting()?;
    let repository = context.repository()?;
    let records = context.reconciled()?.list()?;
    let plan = retention::plan(&setting, &repository, &records)?;
    if args.dry_run || setting.config.retention.is_none() {
        context.output.result(&plan.verdicts, || describe(&plan, "Would delete"))?;
        return Ok(Ending::Done);
    }
    // With nothing to delete there is nothing to ask; an interrupted deletion is finished.
    if !args.yes && !plan.is_empty() {
        context.output.confirm(&describe(&plan, "Would delete"), &context.cancel)?;
    }
    let done = until_interrupted(&context.cancel, retention::prune(&setting, &plan)).await?;
    context.output.result(&done.verdicts, || describe(&done, "Deleted"))?;
    Ok(Ending::Done)
}

fn describe(plan: &Plan, verb: &str) -> String {
    let rows: Vec<Vec<String>> = plan
        .verdicts
        .iter()
        .map(|verdict| {
            let fate = if verdict.keep { "stays" } else { "goes" };
            let id = verdict.id.short().to_owned();
            vec![id, verdict.name.clone(), fate.into(), verdict.reasons.join("; ")]
        })
        .collect();
    let mut text = match rows.as_slice() {
        [] => "No backups yet.\n".into(),
        rows => table::table(&["ID", "BACKUP", "", "WHY"], rows),
    };
    for note in &plan.notes {
        let _ = writeln!(text, "{note}");
    }
    let gone = plan.verdicts.iter().filter(|verdict| !verdict.keep).count() as u64;
    let stay = plan.verdicts.len() as u64 - gone;
    let _ = match gone {
        0 => writeln!(text, "Nothing goes; {} stay.", size::count(stay, "backup", "backups")),
        _ => writeln!(
            text,
            "{verb} {}, {} on disk; {stay} stay.",
            size::count(gone, "backup", "backups"),
            size::bytes(plan.freed_bytes)
        ),
    };
    text
}
