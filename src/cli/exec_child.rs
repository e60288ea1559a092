//! `backstop exec-child`: runs another program, and ends it and all its workers when backstop
//! dies.
//!
//! `pg_dump` must not outlive a killed backstop: it would go on writing into a directory
//! that the next command clears. `prctl(2)` `PR_SET_PDEATHSIG` tells a child of its parent's
//! death, but is not inherited, and the workers of `pg_dump --jobs` finish their table before
//! they notice. So this process stays, in a process group with all of them, and ends the
//! group.

use super::Ending;
use crate::error::{Code, Error, Result};
use clap::Args;
use rustix::process::{
    Pid, Signal, getpgrp, getppid, kill_process_group, set_parent_process_death_signal, setpgid,
};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use tokio::signal::unix::{SignalKind, signal};

/// Signals that are for the program alone, besides SIGTERM.
const FORWARDED: [SignalKind; 5] = [
    SignalKind::interrupt(),
    SignalKind::hangup(),
    SignalKind::quit(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
];

/// The arguments of the hidden command `exec-child`.
#[derive(Debug, Args)]
pub(super) struct ExecChildArgs {
    /// The process that must stay alive
    #[arg(long)]
    parent: i32,
    /// Read one byte of stdin before the program is started, so that the parent can write down
    /// who it is first; without that byte it is not started
    #[arg(long)]
    held: bool,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

/// Returns only when the program cannot be run; else the process ends as the program did.
pub(super) fn run(args: &ExecChildArgs) -> Result<Ending> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(watch(args)));
    match ended {
        Ok(status) => {
            let killed = status.signal().map(|signal| 128 + signal);
            std::process::exit(status.code().or(killed).unwrap_or(1))
        }
        Err(e) => Err(Error::new(Code::ToolMissing, "run", args.command[0].to_string_lossy())
            .cause(e.to_string())),
    }
}

async fn watch(args: &ExecChildArgs) -> io::Result<ExitStatus> {
    // Fails where it leads a group already, as it does when backstop starts it.
    let _ = setpgid(None, None);
    let mut orphaned = signal(SignalKind::terminate())?;
    // A signal for the program goes to its whole group: it decides what becomes of it.
    for forwarded in FORWARDED {
        drop(signal(forwarded)?);
    }
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // The parent may have died before the request was in place.
    if getppid() != Pid::from_raw(args.parent) {
        return Err(io::Error::other("the process that asked for it has ended"));
    }
    if args.held && !released(&mut orphaned).await? {
        return Err(io::Error::other("the process that asked for it has not released it"));
    }
    let mut child =
        tokio::process::Command::new(&args.command[0]).args(&args.command[1..]).spawn()?;
    loop {
        tokio::select! {
            ended = child.wait() => return ended,
            _ = orphaned.recv() => {
                // SIGTERM may be for the program too.
                if getppid() != Pid::from_raw(args.parent) {
                    kill_process_group(getpgrp(), Signal::KILL)?;
                }
            }
        }
    }
}

/// Whether the parent said that the program may begin. What it writes after that is the program's.
async fn released(orphaned: &mut tokio::signal::unix::Signal) -> io::Result<bool> {
    let byte = tokio::task::spawn_blocking(|| {
        let mut byte = [0];
        rustix::io::read(rustix::stdio::stdin(), &mut byte)
    });
    tokio::select! {
        read = byte => Ok(read?? == 1),
        _ = orphaned.recv() => Ok(false),
    }
}
