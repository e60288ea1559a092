//! `backstop completions` and the manual pages, both generated from the commands.

use super::output::Output;
use super::{Cli, Ending};
use crate::error::{Error, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::path::PathBuf;

const COMPLETIONS: &str = "\
Examples:
  backstop completions bash       print the script for bash
  backstop completions zsh        print the script for zsh

  backstop completions bash > /etc/bash_completion.d/backstop";

const MANPAGES: &str = "\
Examples:
  backstop manpages /usr/local/share/man/man1";

/// The arguments of `backstop completions`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS)]
pub(super) struct CompletionsArgs {
    /// The shell to complete for
    shell: Shell,
}

/// The arguments of `backstop manpages`.
#[derive(Debug, Args)]
#[command(after_help = MANPAGES)]
pub(super) struct ManpagesArgs {
    /// The directory to write `backstop*.1` into
    dir: PathBuf,
}

pub(super) fn print(args: &CompletionsArgs, output: &Output) -> Result<Ending> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "backstop", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let answer = serde_json::json!({ "shell": args.shell.to_string(), "script": script });
    output.result(&answer, || script)?;
    Ok(Ending::Done)
}

pub(super) fn write_manpages(args: &ManpagesArgs, output: &Output) -> Result<Ending> {
    std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir))
        .map_err(|e| Error::io("write manual pages into", &args.dir, e))?;
    let place = args.dir.display().to_string();
    output.result(&serde_json::json!({ "dir": place }), || {
        format!("The manual pages lie in {place}\n")
    })?;
    Ok(Ending::Done)
}
