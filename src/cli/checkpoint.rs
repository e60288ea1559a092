//! `backstop checkpoint`: restore points of a bootstrap.

mod auto;

use super::context::Context;
use super::signal::until_interrupted;
use super::{Ending, backup, time};
use crate::checkpoint::{self, Attempt, Mode, Phase, Report, Wish};
use crate::config::Config;
use crate::deadline;
use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use std::ffi::{OsStr, OsString};

const EXAMPLES: &str = "\
Examples:
  backstop checkpoint pre-upgrade               fails as a backup does
  backstop checkpoint auto pre-ansible          never breaks the script that calls it
  backstop checkpoint manual pre-ansible        catches up by hand
  backstop checkpoint report                    what came of the phases of this bootstrap

Phases are free names: pre-ansible, pre-homebrew, pre-dotfiles, pre-applications, post-setup,
bootstrap-complete, …; the last one ends a bootstrap. BACKUP_ENABLED=false, or enabled = false in
the config, turns checkpoints off. BACKUP_LOCAL_ONLY=true leaves the copies to `backstop sync`.";

const AUTO_EXAMPLES: &str = "\
Examples:
  backstop checkpoint auto pre-ansible
  backstop checkpoint auto pre-ansible --strict     exit code 3 where something is missing

Takes what is there, and says in one line on stderr what is not. Exit code 0, whatever is missing
or fails, but for a signal (130) and a command line that cannot be understood (2).";

const MANUAL_EXAMPLES: &str = "\
Examples:
  backstop checkpoint manual pre-ansible        what `auto` had to skip
  backstop checkpoint manual before-the-move

Fails as a backup does.";

const REPORT_EXAMPLES: &str = "\
Examples:
  backstop checkpoint report
  backstop checkpoint report --since 2026-11-21
  backstop checkpoint report --json             the same for a completion message

A bootstrap begins with the first checkpoint behind the last bootstrap-complete.";

/// The arguments of `backstop checkpoint`.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(super) struct CheckpointArgs {
    /// The phase; up to 64 letters, digits, `.`, `_` and `-`
    #[arg(value_name = "PHASE", required = true)]
    phase: Option<OsString>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take what is there, and never break the caller
    #[command(after_help = AUTO_EXAMPLES)]
    Auto {
        /// The phase
        phase: OsString,
        /// End with exit code 3 when anything is skipped, missing or failed
        #[arg(long)]
        strict: bool,
    },
    /// Take a checkpoint by hand
    #[command(after_help = MANUAL_EXAMPLES)]
    Manual {
        /// The phase that is caught up with, or any other name
        name: OsString,
    },
    /// Show what came of the phases of this bootstrap
    #[command(after_help = REPORT_EXAMPLES)]
    Report {
        /// From this time on: 2026-11-21, 2026-11-21T03:00:00Z, or 2h for so long ago
        #[arg(long, value_name = "TIME", value_parser = time::parse_start)]
        since: Option<Timestamp>,
    },
}

impl CheckpointArgs {
    /// Whether whatever fails must not be seen in the exit code.
    pub(super) fn forgives(&self) -> bool {
        matches!(self.action, Some(Action::Auto { strict: false, .. }))
    }
}

pub(super) async fn run(args: CheckpointArgs, context: &Context) -> Result<Ending> {
    match (args.action, args.phase) {
        (Some(Action::Auto { phase, strict }), _) => auto::run(&phase, strict, context).await,
        (Some(Action::Manual { name }), _) => take(&name, Mode::Manual, context).await,
        (Some(Action::Report { since }), _) => report(since, context),
        (None, phase) => take(&phase.unwrap_or_default(), Mode::Plain, context).await,
    }
}

/// The phase that a word names.
fn phase(word: &OsStr) -> Result<Phase> {
    Phase::parse(&word.to_string_lossy())
}

/// As of `backup --local-only`.
fn is_local_only() -> bool {
    let said = std::env::var("BACKUP_LOCAL_ONLY").unwrap_or_default().to_lowercase();
    !["", "n", "no", "f", "false", "off", "0"].contains(&said.as_str())
}

async fn take(word: &OsStr, mode: Mode, context: &Context) -> Result<Ending> {
    let wish = Wish { phase: phase(word)?, mode, local_only: is_local_only() };
    if Config::is_disabled_by_environment() || !context.loaded()?.config.enabled {
        return auto::disabled(&wish.phase.to_string(), mode, context);
    }
    let setting = context.setting()?;
    backup::refuse_elsewhere(&setting)?;
    match until_interrupted(&context.cancel, begin(&setting, &wish, context)).await {
        Ok(attempt) => {
            note(&attempt, &setting, context);
            context.output.result(&attempt, || attempt.line())?;
            Ok(Ending::Done)
        }
        Err(e) => {
            let attempt = Attempt::of_failure(&wish, &setting.config, &e);
            note(&attempt, &setting, context);
            Err(e)
        }
    }
}

async fn begin(setting: &Setting, wish: &Wish, context: &Context) -> Result<Attempt> {
    context.recover_first().await?;
    Ok(checkpoint::take(setting, wish).await?.attempt)
}

/// Notes an attempt. Where nothing can be written the command goes on without.
fn note(attempt: &Attempt, setting: &Setting, context: &Context) {
    if let Err(e) = checkpoint::note(Some(setting.config.as_ref()), attempt)
        && attempt.mode != Mode::Auto
    {
        context.progress.warn(e.code(), format!("the report will not tell of this: {e}"));
    }
}

/// The config, where it can be read without waiting for good.
fn answering(context: &Context) -> Result<()> {
    let file = context.config_file();
    let load = move || Config::load(file.as_deref()).map(drop);
    deadline::within(deadline::LIMIT * 5, load).unwrap_or_else(|| {
        Err(Error::new(Code::PathUnreachable, "read", "the config").cause("it does not answer"))
    })
}

fn report(since: Option<Timestamp>, context: &Context) -> Result<Ending> {
    // There may be no config yet, or a broken one.
    let loaded = answering(context).and_then(|()| context.loaded()).ok();
    let attempts = checkpoint::read(loaded.as_ref().map(|loaded| &loaded.config));
    let report = Report::of(&attempts, since);
    context.output.result(&report, || report.to_string())?;
    Ok(Ending::Done)
}
