//! `backstop rollback`: back to the state before a restore.

use super::context::Context;
use super::signal::until_interrupted;
use super::{Ending, table};
use crate::error::Result;
use crate::restore::{self, RestoreRecord};
use clap::Args;

/// The arguments of `backstop rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The key of a restore; without it the newest one
    key: Option<String>,
    /// List the restores and what they keep
    #[arg(long, conflicts_with_all = ["key", "purge"])]
    list: bool,
    /// Remove what the restore keeps aside, instead of going back to it
    #[arg(long, requires = "key")]
    purge: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: RollbackArgs, context: &Context) -> Result<Ending> {
    context.recover_first().await?;
    let setting = context.setting()?;
    if args.list {
        let records = RestoreRecord::all(&setting.config.state.dir)?;
        context.output.result(&records, || list(&records))?;
        return Ok(Ending::Done);
    }
    let record = restore::rollback_target(&setting, args.key.as_deref(), args.purge)?;
    let what = describe(&record, args.purge);
    if args.dry_run {
        context.output.result(&record, || what)?;
        return Ok(Ending::Done);
    }
    if !args.yes {
        context.output.confirm(&what, &context.cancel)?;
    }
    let done = if args.purge {
        until_interrupted(&context.cancel, restore::purge(&setting, record)).await?
    } else {
        until_interrupted(&context.cancel, restore::rollback(&setting, record)).await?
    };
    context.output.result(&done, || {
        if args.purge {
            format!("Purged what restore {} kept aside\n", done.key)
        } else {
            format!("Went back to the state before restore {}\n", done.key)
        }
    })?;
    Ok(Ending::Done)
}

fn describe(record: &RestoreRecord, purge: bool) -> String {
    let mut text = if purge {
        format!("Remove for good what restore {} kept aside:\n", record.key)
    } else {
        format!(
            "Go back to the state before the restore of {} ({}); what was written since is \
             kept aside:\n",
            record.backup_name, record.started_at
        )
    };
    // What a rollback has put back is live: then the restored state is what is kept.
    let keeps_replaced = record.is_live();
    for tree in &record.trees {
        let place = match (purge, keeps_replaced) {
            (false, _) => &tree.live,
            (true, true) => &tree.kept,
            (true, false) => &tree.new,
        };
        text.push_str(&format!("  files {} at {}\n", tree.component, tree.shown(place)));
        if purge && keeps_replaced {
            text.push_str(&only_copy("files", &tree.left_out));
        }
    }
    for database in &record.databases {
        let name = match (purge, keeps_replaced) {
            (false, _) => &database.database,
            (true, true) => &database.kept,
            (true, false) => &database.new,
        };
        text.push_str(&format!("  database {name}\n"));
        if purge && keeps_replaced {
            text.push_str(&only_copy("tables", &database.left_out));
        }
    }
    text
}

/// A warning about what no backup holds.
fn only_copy(what: &str, left_out: &[String]) -> String {
    if left_out.is_empty() {
        return String::new();
    }
    let left_out = left_out.join(", ");
    format!("    {what} that fit {left_out} were not in the backup: if there are any, only here\n")
}

fn list(records: &[RestoreRecord]) -> String {
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            vec![
                record.key.clone(),
                record.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                record.stage.as_str().into(),
                record.backup_name.clone(),
            ]
        })
        .collect();
    table::table(&["KEY", "STARTED (UTC)", "STAGE", "BACKUP"], &rows)
}
