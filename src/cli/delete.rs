//! `backstop delete`: takes one backup out of the repository.

use super::Ending;
use super::context::Context;
use crate::error::{Code, Result};
use crate::repository::Repository;
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
    /// Delete it although `backstop keep` keeps it, a backup that cannot be read may need it, or
    /// it cannot be read itself and only its directory is known
    #[arg(long)]
    force: bool,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &DeleteArgs, context: &Context) -> Result<Ending> {
    let repository = context.repository()?;
    let catalog = context.reconciled()?;
    let (found, all) = (catalog.find(&args.id), catalog.list()?);
    drop(catalog);
    let record = match found {
        Err(e)
            if e.code() == Code::BackupNotFound
                && retention::lies_unreadable(&repository, &all, &args.id)? =>
        {
            retention::refuse_delete_unreadable(&all, &args.id, args.force)?;
            return delete_unreadable(args, context, &repository);
        }
        found => found?,
    };
    // What would be refused is so before anybody is asked.
    retention::refuse_delete(&repository, &all, &record, args.force)?;
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
    retention::delete(&repository, &lock, &mut catalog, &record, args.force, &context.progress)?;
    context.output.result(&record, || format!("Deleted {}\n", record.name))?;
    Ok(Ending::Done)
}

/// Deletes what only has a directory.
fn delete_unreadable(
    args: &DeleteArgs,
    context: &Context,
    repository: &Repository,
) -> Result<Ending> {
    let name = &args.id;
    let deleted = serde_json::json!({ "id": null, "name": name });
    if args.dry_run {
        context.output.result(&deleted, || format!("Would delete {name}\n"))?;
        return Ok(Ending::Done);
    }
    if !args.yes {
        let question = format!("Delete {name}, which cannot be read, for good?");
        context.output.confirm(&question, &context.cancel)?;
    }
    let lock = context.lock(repository)?;
    retention::delete_unreadable(repository, &lock, &mut context.reconciled()?, name)?;
    context.output.result(&deleted, || format!("Deleted {name}\n"))?;
    Ok(Ending::Done)
}
