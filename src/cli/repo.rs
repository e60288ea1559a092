//! `backstop repo`: the repository as a whole.

use super::Ending;
use super::context::Context;
use super::signal::until_interrupted;
use crate::catalog::{BackupRecord, Catalog};
use crate::error::Result;
use crate::setting::Setting;
use crate::size;
use crate::upkeep::{self, Consolidated, Irregularity, Moved, Rebuilt};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  backstop repo check              is it built as it should be
  backstop repo rebuild-catalog    read the repository into a new catalog
  backstop repo move /mnt/backups  to another directory, disk or object store
  backstop repo consolidate 4f2a   make a full backup of an incremental one

`backstop verify` reads what is stored.";

const CHECK: &str = "\
Examples:
  backstop repo check              stray files, leftovers, what leads nowhere
  backstop repo check --json       the same for programs

Exit code 6 says that a backup is not whole; what is only untidy ends with 0.";

const REBUILD: &str = "\
Examples:
  backstop repo rebuild-catalog    the old catalog is kept beside the new one";

const CONSOLIDATE: &str = "\
Examples:
  backstop repo consolidate latest    the newest backup then needs no other one
  backstop repo consolidate 4f2a

The new backup is of the same instant as the old one, which is left as it is.";

const MOVE: &str = "\
Examples:
  backstop repo move /mnt/backups/shop         run it again where it was cut off
  backstop repo move s3://acme-backups/shop    to an object store

A store is spoken to as the config says of one in the same bucket or on the same host, else with
what its own tools find in the environment. From or to a store every backup is sent, read back
and compared before anything is removed; no other host may write backups meanwhile.

The config is yours: name the new place in [repository] afterwards. Until then every command says
where the repository has gone.";

/// The arguments of `backstop repo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RepoArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Look for what is not as it should be, without reading contents
    #[command(after_help = CHECK)]
    Check,
    /// Move the catalog aside and build a new one
    #[command(after_help = REBUILD)]
    RebuildCatalog,
    /// Move the repository to another directory or object store
    #[command(after_help = MOVE)]
    Move {
        /// A new or empty directory, or the url of a prefix in a store
        #[arg(value_name = "DIR|URL")]
        to: PathBuf,
    },
    /// Write a full backup of what a backup and those it needs hold
    #[command(after_help = CONSOLIDATE)]
    Consolidate {
        /// A unique prefix of an id, a name, or `latest`
        id: String,
    },
}

pub(super) async fn run(args: RepoArgs, context: &Context) -> Result<Ending> {
    let setting = context.setting()?;
    match args.action {
        Action::Check => {
            let found = until_interrupted(&context.cancel, upkeep::check(&setting)).await?;
            let damaged = known_damaged(&setting);
            context.output.result(&found, || list(&found, damaged))?;
            let is_whole = found.iter().all(|one| one.kind.is_harmless());
            Ok(if is_whole { Ending::Done } else { Ending::Damaged })
        }
        Action::RebuildCatalog => {
            let work = upkeep::rebuild_catalog(&setting);
            let rebuilt = until_interrupted(&context.cancel, work).await?;
            context.output.result(&rebuilt, || describe(&rebuilt))?;
            Ok(if rebuilt.unreadable.is_empty() { Ending::Done } else { Ending::Degraded })
        }
        Action::Move { to } => {
            let work = upkeep::relocate(&setting, &to);
            let moved = until_interrupted(&context.cancel, work).await?;
            let (config, copy) = (setting.config_file.as_deref(), context.copy_name());
            context.output.result(&moved, || arrived(&moved, config, copy))?;
            Ok(Ending::Done)
        }
        Action::Consolidate { id } => {
            context.recover_first().await?;
            let record = context.reconciled()?.find(&id)?;
            let work = upkeep::consolidate(&setting, &record);
            let made = until_interrupted(&context.cancel, work).await?;
            context.output.result(&made, || tell(&made))?;
            Ok(Ending::Done)
        }
    }
}

/// How many backups the catalog knows to be damaged. Without it the check is as good.
fn known_damaged(setting: &Setting) -> u64 {
    let listed =
        Catalog::of(&setting.config).session(&setting.progress).and_then(|session| session.list());
    match listed {
        Ok(records) => {
            let is_it = |record: &&BackupRecord| record.is_published() && record.is_damaged();
            records.iter().filter(is_it).count() as u64
        }
        Err(e) => {
            setting.progress.warn(e.code(), e.to_string());
            0
        }
    }
}

fn list(found: &[Irregularity], damaged: u64) -> String {
    let mut text: String = found.iter().map(|one| format!("{one}\n")).collect();
    if found.is_empty() {
        text.push_str("Everything is where it should be, and as large.\n");
    }
    text.push_str("No content was read: `backstop verify` does that.\n");
    if damaged > 0 {
        let known = size::count(damaged, "backup is", "backups are");
        text.push_str(&format!("{known} known to be damaged: `backstop list` says which.\n"));
    }
    text
}

fn describe(rebuilt: &Rebuilt) -> String {
    let mut text = format!(
        "Found {} in the repository, and {} and {} in the journal\n",
        size::count(rebuilt.published as u64, "backup", "backups"),
        size::count(rebuilt.failed as u64, "failed one", "failed ones"),
        size::count(rebuilt.events as u64, "event", "events"),
    );
    if let Some(aside) = &rebuilt.aside {
        text.push_str(&format!("The catalog of before lies in {}\n", aside.display()));
    }
    text
}

fn tell(made: &Consolidated) -> String {
    format!(
        "{}\nneeds no other backup. {} of its archives were copied, {} compressed again.\n",
        made.backup.name,
        size::bytes(made.copied_bytes),
        size::bytes(made.compressed_bytes),
    )
}

fn arrived(moved: &Moved, config: Option<&Path>, copy: Option<&str>) -> String {
    let (from, to) = (moved.from.display(), moved.to.display());
    let place = match (config, moved.on_store) {
        (Some(file), _) => format!("in {}", file.display()),
        (None, true) => "(BACKSTOP_REPOSITORY__URL in the environment)".into(),
        (None, false) => "(BACKUP_DIR in the environment)".into(),
    };
    let was_on_store = moved.from.to_string_lossy().contains("://");
    let change = match (was_on_store, moved.on_store) {
        _ if copy.is_some() => {
            let key = if moved.on_store { "url" } else { "path" };
            let name = copy.unwrap_or_default();
            let rest = match (was_on_store, moved.on_store) {
                (false, false) => "",
                (true, false) => ", and remove its url, options and credentials",
                (false, true) => {
                    " with the options and credentials of that store, and remove its path"
                }
                (true, true) => ", with the options and credentials of that store",
            };
            format!("set {key} = \"{to}\" of the copy {name} {place}{rest}")
        }
        (false, false) => format!("set repository.path = \"{to}\" {place}"),
        (true, false) => format!(
            "set repository.path = \"{to}\" {place}, and remove repository.url, .options and \
             .credentials"
        ),
        (false, true) => format!(
            "set repository.url = \"{to}\" {place} with the options and credentials of that \
             store, and remove repository.path"
        ),
        (true, true) => format!(
            "set repository.url = \"{to}\" {place}, with the options and credentials of that store"
        ),
    };
    format!(
        "{} moved from {from} to {to}\nNow {change}\n",
        size::count(moved.backups as u64, "backup", "backups"),
    )
}
