//! `backstop recover`: what a dead backstop left behind is put right.

use super::Ending;
use super::context::Context;
use crate::error::{Code, Error, Result};
use crate::{restore, runbook};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop recover                 put right what a dead backstop left
  backstop recover --lock-wait 1m  wait for another backstop first

docs/integrations/systemd has units that run it at boot and after a backup.";

/// The arguments of `backstop recover`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RecoverArgs {}

pub(super) async fn run(_args: RecoverArgs, context: &Context) -> Result<Ending> {
    let setting = context.setting()?;
    let recovery = restore::recover(&setting).await?;
    context.output.result(&recovery, || recovery.to_string())?;
    for run in runbook::unfinished(&setting.config.state.dir, &setting.config.stack.name)? {
        context.output.note(&format!(
            "run {run} of a runbook has not ended, and may have left the stack as it stands: \
             `backstop runbook status {run}`, then resume or abort it"
        ));
    }
    match recovery.failed.first() {
        None => Ok(Ending::Done),
        Some(first) => Err(Error::new(Code::NotResumed, "recover", "everything").cause(first)),
    }
}
