//! `backstop exec-child`: becomes another program, which the kernel ends when backstop dies.
//!
//! `pg_dump` must not outlive a killed backstop: it would go on writing into a directory
//! that the next command clears. `prctl(2)` `PR_SET_PDEATHSIG` survives `execve(2)`.

use super::Ending;
use crate::error::{Code, Error, Result};
use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;

/// The arguments of the hidden command `exec-child`.
#[derive(Debug, Args)]
pub(super) struct ExecChildArgs {
    /// The process that must stay alive
    #[arg(long)]
    parent: i32,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

pub(super) fn run(args: &ExecChildArgs) -> Result<Ending> {
    let failed = |cause: String| {
        Err(Error::new(Code::ToolMissing, "run", args.command[0].to_string_lossy()).cause(cause))
    };
    if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return failed(e.to_string());
    }
    // The parent may have died before the request was in place.
    if getppid() != Pid::from_raw(args.parent) {
        return failed("the process that asked for it has ended".into());
    }
    let error = std::process::Command::new(&args.command[0]).args(&args.command[1..]).exec();
    failed(error.to_string())
}
