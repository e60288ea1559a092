//! `backstop recover-from`: runs the runbook of a disaster.

use super::context::Context;
use super::{Ending, runbook};
use crate::error::Result;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop recover-from database-corruption
  backstop recover-from security-breach --param compromised_since=2026-11-20

The same as `backstop runbook run` with that disaster's runbook; `backstop runbook list` shows them.";

/// The arguments of `backstop recover-from`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RecoverFromArgs {
    /// The disaster
    disaster: String,
    #[command(flatten)]
    parameters: runbook::Parameters,
    /// Agree to every step beforehand
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(args: RecoverFromArgs, context: &Context) -> Result<Ending> {
    runbook::recover_from(&args.disaster, &args.parameters, args.yes, context).await
}
