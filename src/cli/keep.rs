//! `backstop keep` and `backstop unkeep`: backups that stay whatever the rules say.

use super::Ending;
use super::context::Context;
use crate::error::Result;
use crate::retention;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop keep 4f2a --reason 'before the audit'
  backstop keep latest            the newest backup of the whole stack

Neither `prune` nor `delete` takes a kept backup. The repository remembers it, for every host.";

const UNKEEP_EXAMPLES: &str = "\
Examples:
  backstop unkeep 4f2a            the rules of [retention] decide again";

/// The arguments of `backstop keep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct KeepArgs {
    /// A unique prefix of an id, a name, or `latest`
    id: String,
    /// Why it is kept
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The arguments of `backstop unkeep`.
#[derive(Debug, Args)]
#[command(after_help = UNKEEP_EXAMPLES)]
pub(super) struct UnkeepArgs {
    /// A unique prefix of an id, a name, or `latest`
    id: String,
}

pub(super) fn keep(args: KeepArgs, context: &Context) -> Result<Ending> {
    let repository = context.repository()?;
    let lock = context.shared_lock(&repository)?;
    let mut catalog = context.reconciled()?;
    let record = catalog.find(&args.id)?;
    let record = retention::keep(&repository, &lock, &mut catalog, record, args.reason)?;
    context.output.result(&record, || format!("Keeps {}\n", record.name))?;
    Ok(Ending::Done)
}

pub(super) fn unkeep(args: &UnkeepArgs, context: &Context) -> Result<Ending> {
    let repository = context.repository()?;
    let lock = context.shared_lock(&repository)?;
    let mut catalog = context.reconciled()?;
    let record = catalog.find(&args.id)?;
    let was_kept = record.pin.is_some();
    let record = retention::unkeep(&repository, &lock, &mut catalog, record)?;
    context.output.result(&record, || match was_kept {
        true => format!("Keeps {} no longer; the rules decide\n", record.name),
        false => format!("{} was not kept by hand\n", record.name),
    })?;
    Ok(Ending::Done)
}
