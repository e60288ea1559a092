//! `backstop delete`: takes one backup out of the repository.

use super::Ending;
use super::context::Context;
use crate::error::Result;
use crate::retention;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop delete 4f2a            asks first
  backstop delete 4f2a --yes      without a question
  backstop delete 4f2a --dry-run  only says what would be deleted";

/// The arguments of `backstop delete`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DeleteArgs {
    /// A unique prefix of an id, a name, or `latest`
    id: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Delete it although `backstop keep` keeps it, or a backup that cannot be read may need it
    #[arg(long)]
    force: bool,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &DeleteArgs, context: &Context) -> Result<Ending> {
    let repository = context.repository()?;
    let record = context.reconciled()?.find(&args.id)?;
    if args.dry_run {
        context.output.result(&record, || format!("Would delete {}\n", record.name))?;
        return Ok(Ending::Done);
    }
    if !args.yes {
        context
            .output
            .confirm(&format!("Delete backup {} for good?", record.name), &context.cancel)?;
    }
    let lock = context.lock(&repository)?;
    let mut catalog = context.reconciled()?;
    retention::delete(&repository, &lock, &mut catalog, &record, args.force)?;
    context.output.result(&record, || format!("Deleted {}\n", record.name))?;
    Ok(Ending::Done)
}
