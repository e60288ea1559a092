//! `backstop volume-helper`: what runs inside a helper container that mounts a volume which
//! the restoring process cannot reach.

use super::Ending;
use crate::error::Result;
use crate::restore;
use clap::{Args, ValueEnum};
use std::io;

/// The arguments of the hidden command `volume-helper`.
#[derive(Debug, Args)]
pub(super) struct VolumeHelperArgs {
    work: Work,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Work {
    /// Keep the container running
    Wait,
    /// Do what a request on stdin says
    Act,
}

pub(super) fn run(args: &VolumeHelperArgs) -> Result<Ending> {
    match args.work {
        Work::Wait => restore::volume::wait()?,
        Work::Act => restore::volume::act(io::stdin().lock(), io::stdout().lock())?,
    }
    Ok(Ending::Done)
}
