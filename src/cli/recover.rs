//! `backstop recover`: what a dead backstop left behind is put right.

use super::Ending;
use super::context::Context;
use crate::error::{Code, Error, Result};
use crate::restore;
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
    match recovery.failed.first() {
        None => Ok(Ending::Done),
        Some(first) => Err(Error::new(Code::NotResumed, "recover", "everything").cause(first)),
    }
}
