//! `backstop guardian`: the child process that resumes the containers if backstop dies.

use super::Ending;
use super::context::Context;
use crate::error::Result;
use crate::restore;
use clap::Args;
use std::path::PathBuf;

/// The arguments of the hidden command `guardian`.
#[derive(Debug, Args)]
pub(super) struct GuardianArgs {
    /// The quiesce journal
    #[arg(long)]
    journal: PathBuf,
}

pub(super) async fn run(args: GuardianArgs, context: &Context) -> Result<Ending> {
    // Loaded before the guardian leaves its directory, from which overrides are resolved. A
    // guardian that cannot load it still resumes containers.
    let setting = context.setting();
    restore::guard(&args.journal, || setting.as_ref().cloned().or_else(|_| context.setting()))
        .await?;
    Ok(Ending::Done)
}
