//! `backstop repo`: the repository as a whole.

use super::Ending;
use super::context::Context;
use super::signal::until_interrupted;
use crate::error::Result;
use crate::size;
use crate::upkeep::{self, Consolidated, Irregularity, Moved, Rebuilt};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  backstop repo check              is it built as it should be
  backstop repo rebuild-catalog    read the repository into a new catalog
  backstop repo move /mnt/backups  to another directory, also on another disk
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
  backstop repo move /mnt/backups/shop    run it again where it was cut off

The config is yours: set repository.path afterwards. Until then every command says where the
repository has gone.";

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
    /// Move the repository to another directory
    #[command(after_help = MOVE)]
    Move {
        /// A new or empty directory
        dir: PathBuf,
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
            context.output.result(&found, || list(&found))?;
            let is_whole = found.iter().all(|one| one.kind.is_harmless());
            Ok(if is_whole { Ending::Done } else { Ending::Damaged })
        }
        Action::RebuildCatalog => {
            let work = upkeep::rebuild_catalog(&setting);
            let rebuilt = until_interrupted(&context.cancel, work).await?;
            context.output.result(&rebuilt, || describe(&rebuilt))?;
            Ok(if rebuilt.unreadable.is_empty() { Ending::Done } else { Ending::Degraded })
        }
        Action::Move { dir } => {
            let work = upkeep::relocate(&setting, &dir);
            let moved = until_interrupted(&context.cancel, work).await?;
            let config = setting.config_file.as_deref();
            context.output.result(&moved, || arrived(&moved, config))?;
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

fn list(found: &[Irregularity]) -> String {
    match found {
        [] => "Everything is as it should be.\n".into(),
        found => found.iter().map(|one| format!("{one}\n")).collect(),
    }
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

fn arrived(moved: &Moved, config: Option<&Path>) -> String {
    let to = moved.to.display();
    let place = match config {
        Some(file) => format!("in {}", file.display()),
        None => "(BACKUP_DIR in the environment)".into(),
    };
    format!(
        "{} moved to {to}\nNow set repository.path = \"{to}\" {place}\n",
        size::count(moved.backups as u64, "backup", "backups"),
    )
}
