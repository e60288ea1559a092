//! `backstop restore`: a backup comes back, in place or elsewhere.

use super::context::Context;
use super::signal::until_interrupted;
use super::{Ending, table};
use crate::backup::Selection;
use crate::error::Result;
use crate::restore::{self, Elsewhere, Lost, Request, Restored};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  backstop restore latest                                  everything, in place
  backstop restore 4f2a --only uploads --yes               one component, without a question
  backstop restore latest --to /tmp/look                   the files, beside the live stack
  backstop restore latest --database shop=shop_rehearsal   a database under another name
  backstop restore latest --to /tmp/look --path uploads/2024
  backstop restore 4f2a --salvage --to /tmp/saved          what is whole of a damaged backup

The live state is replaced by rename and kept aside; `backstop rollback` goes back to it.";

/// The arguments of `backstop restore`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RestoreArgs {
    /// A unique prefix of an id, a name, or `latest`
    id: String,
    /// Restore the files to DIR/files/NAME, and leave the live stack alone
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Restore a database under a new name, and leave the live stack alone
    #[arg(long = "database", value_name = "OLD=NEW", value_parser = renaming)]
    databases: Vec<(String, String)>,
    /// Only `databases`, `files`, or the component of this name; may be given several times
    #[arg(long, value_name = "databases|files|NAME")]
    only: Vec<String>,
    /// Restore only this file or directory, below --to; may be given several times
    #[arg(long = "path", value_name = "COMPONENT/PATH", requires = "to", conflicts_with_all = ["only", "databases"])]
    paths: Vec<OsString>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Do not take a backup of what is replaced
    #[arg(long)]
    no_safety: bool,
    /// Restore what is whole of a damaged backup, and name what is lost
    #[arg(long, conflicts_with = "paths")]
    salvage: bool,
    /// Check the backup and show what would be replaced, without doing it
    #[arg(long)]
    dry_run: bool,
}

fn renaming(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.into(), new.into())),
        _ => Err("a renaming is written OLD=NEW".into()),
    }
}

pub(super) async fn run(args: RestoreArgs, context: &Context) -> Result<Ending> {
    context.recover_first().await?;
    let setting = context.setting()?;
    let record = context.reconciled()?.find(&args.id)?;
    let selection = Selection::new(args.only);
    let paths = args.paths.iter().map(|path| super::file_path(path)).collect::<Result<Vec<_>>>()?;
    let restored = if let (Some(to), false) = (&args.to, paths.is_empty()) {
        let work = restore::restore_paths(&setting, &record, &paths, to, args.dry_run);
        until_interrupted(&context.cancel, work).await?
    } else if args.to.is_some() || !args.databases.is_empty() {
        let elsewhere =
            Elsewhere { selection, dir: args.to, databases: args.databases, salvage: args.salvage };
        let work = restore::elsewhere(&setting, &record, &elsewhere, args.dry_run);
        until_interrupted(&context.cancel, work).await?
    } else {
        let request = Request { selection, safety: !args.no_safety, salvage: args.salvage };
        let plan =
            until_interrupted(&context.cancel, restore::plan(&setting, &record, &request)).await?;
        if args.dry_run {
            context.output.result(&plan, || plan.to_string())?;
            return Ok(ending(&plan.lost));
        }
        if !args.yes {
            context.output.confirm(&plan.to_string(), &context.cancel)?;
        }
        until_interrupted(&context.cancel, restore::restore(&setting, &record, &request)).await?
    };
    context.output.result(&restored, || describe(&restored))?;
    Ok(ending(&restored.lost))
}

/// A restore that left something out did less than asked.
fn ending(lost: &[Lost]) -> Ending {
    if lost.is_empty() { Ending::Done } else { Ending::Degraded }
}

fn describe(restored: &Restored) -> String {
    let mut text = if restored.dry_run {
        format!("Would restore {}\n", restored.backup_name)
    } else {
        format!("Restored {} in {}\n", restored.backup_name, table::seconds(restored.seconds))
    };
    for place in &restored.places {
        text.push_str(&format!("  {} -> {}\n", place.component, place.place));
    }
    for lost in &restored.lost {
        text.push_str(&format!("  DAMAGED: {lost}\n"));
    }
    for held in &restored.downtime {
        text.push_str(&format!(
            "  {} was held for {}\n",
            held.container,
            table::seconds(held.seconds)
        ));
    }
    if let Some(key) = &restored.key {
        text.push_str(&format!(
            "The replaced state is kept. `backstop rollback {key}` goes back to it, \
             `backstop rollback --purge {key}` removes it.\n"
        ));
    }
    text
}
