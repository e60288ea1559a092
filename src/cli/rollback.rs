//! `backstop rollback`: back to the state before a restore, or before an upgrade.

mod upgrade;

use super::context::Context;
use super::signal::until_interrupted;
use super::{Ending, table};
use crate::error::{Code, Error, Result};
use crate::restore::{self, Kept, RestoreRecord};
use crate::runbook::{Run, Store};
use crate::setting::Setting;
use crate::size;
use clap::Args;
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  backstop rollback                                    back to before the newest upgrade or restore
  backstop rollback --list                             what restores keep aside, and where
  backstop rollback 20261121030000_4f2a                back to before this restore
  backstop rollback 4f2a9c01                           back to this backup
  backstop rollback 20261121030000_4f2a --purge        free the room; no way back after that

Without a key it goes back to the newest pre-upgrade backup, unless a restore is newer: then to
before that. Going back to a backup brings back its databases, files and containers, with the
images of then; first it counts the rows and files that are newer, and asks.

A restore keeps aside what it replaced, a rollback what the restore had brought, until it is
purged. A key is printed by `backstop restore` and by `--list`.";

/// The arguments of `backstop rollback`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RollbackArgs {
    /// The key of a restore, or a backup
    key: Option<String>,
    /// List the restores, what they keep aside, where, and how large it is
    #[arg(long, conflicts_with_all = ["key", "purge"])]
    list: bool,
    /// Remove for good what the restore of KEY keeps aside, instead of going back to it
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
        let mut listed = Vec::new();
        for record in RestoreRecord::all(&setting.config.state.dir)? {
            listed.push(Listed::of(&setting, record).await);
        }
        context.output.result(&listed, || list(&listed))?;
        return Ok(Ending::Done);
    }
    if !args.purge
        && let Some(backup) = upgrade::target(&args, &setting, context)?
    {
        return upgrade::go_back(&args, backup, &setting, context).await;
    }
    let record = restore::rollback_target(&setting, args.key.as_deref(), args.purge)?;
    let target = Listed::of(&setting, record).await;
    let what = describe(&target, args.purge) + &of_run(&setting, &target, args.purge);
    if args.dry_run {
        context.output.result(&target, || what)?;
        return Ok(Ending::Done);
    }
    if args.key.is_none() {
        refuse_part(&setting, &target)?;
    }
    let record = target.record;
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

/// A restore and what it keeps aside, as `--json` prints it.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    record: RestoreRecord,
    kept: Vec<Kept>,
}

impl Listed {
    async fn of(setting: &Setting, record: RestoreRecord) -> Self {
        let kept = restore::kept(setting, &record).await;
        Self { record, kept }
    }
}

fn describe(target: &Listed, purge: bool) -> String {
    let Listed { record, kept } = target;
    if purge {
        let what = format!("Remove for good what restore {} keeps aside:\n", record.key);
        let only_copies = if record.is_live() { only_copies(record) } else { String::new() };
        return what + &kept.iter().map(line).collect::<String>() + &only_copies;
    }
    let mut text = format!(
        "Go back to the state before the restore of {} ({}); what was written since is \
         kept aside:\n",
        record.backup_name, record.started_at
    );
    for tree in &record.trees {
        text.push_str(&format!("  files {} at {}\n", tree.component, tree.shown(&tree.live)));
    }
    for database in &record.databases {
        text.push_str(&format!("  database {}\n", database.database));
    }
    text
}

/// What a runbook replaced together is rarely meant to go back one by one.
fn of_run(setting: &Setting, target: &Listed, purge: bool) -> String {
    let Listed { record, .. } = target;
    if purge || !record.staged {
        return String::new();
    }
    // A note alone: what is wrong with the runs is no reason to refuse.
    let run = Store::in_dir(&setting.config.state.dir).of_restore(&record.key).ok().flatten();
    let note = |run: Run| {
        let (id, runbook) = (run.id(), &run.state.created.runbook);
        format!(
            "  It is a part of run {id} of {runbook}; `backstop runbook abort {id} --rollback` takes \
             back all that the run did.\n"
        )
    };
    run.map(note).unwrap_or_default()
}

/// Nobody who names no restore means one of several that a run has made live together: the others
/// would belong to another instant.
fn refuse_part(setting: &Setting, target: &Listed) -> Result<()> {
    let key = &target.record.key;
    let Some(run) = Store::in_dir(&setting.config.state.dir).of_restore(key)? else {
        return Ok(());
    };
    let live = RestoreRecord::all(&setting.config.state.dir)?;
    let of_run = |record: &&RestoreRecord| record.is_live() && run.made(&record.key);
    let parts: Vec<String> = live
        .iter()
        .filter(of_run)
        .map(|record| format!("`backstop rollback {}`", record.key))
        .collect();
    if parts.len() < 2 {
        return Ok(());
    }
    let (id, runbook) = (run.id(), &run.state.created.runbook);
    let together = match runbook.as_str() {
        // Containers, too, are no longer what they were before it.
        "guard-rollback" => String::new(),
        _ => format!("`backstop runbook abort {id} --rollback` takes back all of them; "),
    };
    Err(Error::new(Code::RunRefused, "roll back restore", key)
        .cause(format!(
            "it is one of {} that run {id} of {runbook} made live together",
            parts.len()
        ))
        .hint(format!("{together}each by itself: {}", parts.join(", "))))
}

/// A warning about what no backup holds.
fn only_copies(record: &RestoreRecord) -> String {
    let trees = record.trees.iter().map(|tree| ("files", &tree.component, &tree.left_out));
    let databases = record.databases.iter().map(|one| ("tables", &one.component, &one.left_out));
    trees
        .chain(databases)
        .filter(|(_, _, left_out)| !left_out.is_empty())
        .map(|(what, component, left_out)| {
            let left_out = left_out.join(", ");
            format!(
                "  {what} of {component} that fit {left_out} are not in that backup, if there are any\n"
            )
        })
        .collect()
}

fn list(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "No restore has replaced anything yet: there is nothing to go back to.\n".into();
    }
    let row = |Listed { record, kept }: &Listed| {
        let keeps = if kept.is_empty() { "nothing".into() } else { together(kept) };
        vec![
            record.key.clone(),
            record.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            record.stage.as_str().into(),
            keeps,
            record.backup_name.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    let text = table::table(&["KEY", "STARTED (UTC)", "STAGE", "KEEPS", "BACKUP"], &rows);
    let mut lines = text.lines();
    let mut text = lines.next().map(|header| format!("{header}\n")).unwrap_or_default();
    for (row, Listed { kept, .. }) in lines.zip(listed) {
        text.push_str(&format!("{row}\n"));
        text.extend(kept.iter().map(line));
    }
    text
}

/// The sum of what is kept; a part that cannot be counted makes it a lower bound.
fn together(kept: &[Kept]) -> String {
    let sum = size::bytes(kept.iter().filter_map(|kept| kept.bytes).sum());
    let uncounted = kept.iter().filter(|kept| kept.bytes.is_none()).count();
    match (uncounted, kept.len()) {
        (0, _) => sum,
        (none, all) if none == all => "unknown".into(),
        _ => format!("over {sum}"),
    }
}

fn line(kept: &Kept) -> String {
    let bytes = kept.bytes.map_or_else(|| "size unknown".into(), size::bytes);
    format!("  {}: {} ({bytes})\n", kept.component, kept.place)
}
