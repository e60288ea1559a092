//! `backstop completions` and the manual pages, both generated from the commands.

use super::output::Output;
use super::{Cli, Ending};
use crate::error::{Error, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::path::PathBuf;

/// The arguments of `backstop completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell to complete for
    shell: Shell,
}

/// The arguments of the hidden command `manpages`.
#[derive(Debug, Args)]
pub(super) struct ManpagesArgs {
    /// The directory to write `backstop*.1` into
    dir: PathBuf,
}

pub(super) fn print(args: &CompletionsArgs, output: &Output) -> Result<Ending> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "backstop", &mut script);
    output.text(&String::from_utf8_lossy(&script))?;
    Ok(Ending::Done)
}

pub(super) fn write_manpages(args: &ManpagesArgs) -> Result<Ending> {
    std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir))
        .map_err(|e| Error::io("write manual pages into", &args.dir, e))?;
    Ok(Ending::Done)
}
