//! `backstop recover-from`: runs the runbook of a disaster.

use super::context::Context;
use super::{Ending, recorded_config, runbook};
use crate::error::Result;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop recover-from database-corruption
  backstop recover-from complete-system-failure --repository /mnt/backups
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
    /// Also while another run of this stack has not ended
    #[arg(long)]
    force: bool,
    /// Put the config of the newest backup in the place of the one that is there, which is kept.
    /// Where there is none, that is done by itself
    #[arg(long, requires = "repository")]
    recorded_config: bool,
}

pub(super) async fn run(args: RecoverFromArgs, context: &Context) -> Result<Ending> {
    let adopted =
        recorded_config::adopted(context, args.parameters.backup(), args.recorded_config)?;
    let context = adopted.as_ref().unwrap_or(context);
    let consent = runbook::Consent { yes: args.yes, force: args.force };
    runbook::recover_from(&args.disaster, &args.parameters, consent, context).await
}
