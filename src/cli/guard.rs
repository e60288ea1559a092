//! `backstop guard`: back up, run a command, see whether the application works, or go back.

mod begin;
mod print;

use super::context::Context;
use super::runbook::Onlooker;
use super::signal::until_interrupted;
use super::{Ending, runbook};
use crate::config::Timeout;
use crate::error::{Code, Error, Result};
use crate::guard::{self, Driver, Finished, Guard, GuardCommand, GuardView};
use crate::runbook::{Engine, Registry, Store};
use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  backstop guard -- ./upgrade.sh
  backstop guard --version-label 2.4.0 --health http://localhost:8080/health -- ./upgrade.sh --now
  backstop guard --health-command './smoke-test' --settle 1m -- docker compose up --detach
  backstop guard --dry-run -- ./upgrade.sh      what would be backed up and run
  backstop guard resume                         after a crash, a reboot or a signal
  backstop guard list

Exit codes: 0 the upgrade is made; 20 it failed, and all is as it was before; 21 it failed, and so
did going back; 1 nothing was changed, or nothing is undone; 130 cut short, `guard resume` goes on.
Arguments are recorded: give secrets through the environment.";

const RESUME: &str = "\
Examples:
  backstop guard resume                the newest guard that is not over
  backstop guard resume 4f2a9c01       this one; goes back where --no-rollback had left it failed

Forward where the application works, back where it does not. A guard whose command had not begun
is given up: nothing was changed.";
const CLOSE: &str = "\
Examples:
  backstop guard close 4f2a9c01

After exit code 21, or a failure with --no-rollback, the next guard is refused until the stack is
mended: by `backstop guard resume`, or by hand and this. The images that it held go.";
const STATUS: &str = "\
Examples:
  backstop guard status                the newest guard
  backstop guard status 4f2a9c01 --json";
const LIST: &str = "\
Examples:
  backstop guard list
  backstop guard list --json";

/// The arguments of `backstop guard`.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(super) struct GuardArgs {
    #[command(flatten)]
    wanted: Wanted,
    #[command(subcommand)]
    action: Option<Action>,
}

/// An upgrade.
#[derive(Debug, Args)]
struct Wanted {
    /// The version that comes
    #[arg(long, value_name = "LABEL")]
    version_label: Option<String>,
    /// An address that answers with a status from 200 to 299 when the application works
    #[arg(long = "health", value_name = "URL")]
    urls: Vec<String>,
    /// A script for /bin/sh that ends with exit code 0 when the application works
    #[arg(long = "health-command", value_name = "CMD")]
    commands: Vec<String>,
    /// A container that runs and is healthy, besides those that ran before
    #[arg(long = "health-container", value_name = "NAME")]
    containers: Vec<String>,
    /// How long it may take until all of them are well
    #[arg(long, value_name = "TIME", default_value = "2m")]
    health_timeout: Timeout,
    /// For how long they have to stay so
    #[arg(long, value_name = "TIME", default_value = "10s")]
    settle: Timeout,
    /// How long the command may take before it is ended; without it guard.timeout of the config
    #[arg(long, value_name = "TIME")]
    timeout: Option<Timeout>,
    /// Run the command although no backup can be taken
    #[arg(long)]
    allow_unprotected: bool,
    /// Leave what failed as it is
    #[arg(long)]
    no_rollback: bool,
    /// Check everything and show what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Finish a guard that was cut off
    #[command(after_help = RESUME)]
    Resume {
        /// A unique beginning or end of its id; without it the newest one that is not over
        guard: Option<String>,
        /// Also on another host, or with another version of backstop
        #[arg(long)]
        force: bool,
    },
    /// Say that a guard that could not go back was brought to its end by hand
    #[command(after_help = CLOSE)]
    Close {
        /// A unique beginning or end of its id
        guard: String,
    },
    /// Show where a guard stands
    #[command(after_help = STATUS)]
    Status {
        /// A unique beginning or end of its id
        #[arg(default_value = "latest")]
        guard: String,
    },
    /// List the guards, newest first
    #[command(after_help = LIST)]
    List,
}

pub(super) async fn run(args: GuardArgs, context: &Context) -> Result<Ending> {
    match args.action {
        None => begin::begin(args.wanted, context).await,
        Some(Action::Resume { guard, force }) => resume(guard.as_deref(), force, context).await,
        Some(Action::Close { guard }) => close(&guard, context).await,
        Some(Action::Status { guard }) => status(&guard, context),
        Some(Action::List) => list(context),
    }
}

async fn resume(wanted: Option<&str>, force: bool, context: &Context) -> Result<Ending> {
    context.recover_first().await?;
    let driver = Driver::new(engine(Registry::shipped().with(GuardCommand::default()), context)?);
    let done = until_interrupted(&context.cancel, driver.resume(wanted, force)).await?;
    let Some((id, finished)) = done else {
        context.output.note("No guard is left to be finished.");
        if context.output.is_json() {
            context.output.result(&serde_json::Value::Null, String::new)?;
        }
        return Ok(Ending::Done);
    };
    finish(&id, finished, context)
}

async fn close(wanted: &str, context: &Context) -> Result<Ending> {
    let driver = Driver::new(engine(Registry::shipped().with(GuardCommand::default()), context)?);
    let id = until_interrupted(&context.cancel, driver.close(wanted)).await?;
    status(&id, context)
}

fn status(wanted: &str, context: &Context) -> Result<Ending> {
    let guard = Guard::find(&store(context)?, wanted)?;
    let view = viewed(&guard, context)?;
    let commands = commands(&guard, context);
    context.output.result(&view, || print::guard(&view, &commands))?;
    Ok(Ending::Done)
}

fn list(context: &Context) -> Result<Ending> {
    let complain = |error: Error| context.progress.warn(error.code(), error.to_string());
    let guards = Guard::all(&store(context)?, complain)?;
    let views: Vec<GuardView> =
        guards.iter().map(|guard| viewed(guard, context)).collect::<Result<_>>()?;
    context.output.result(&views, || print::guards(&views))?;
    Ok(Ending::Done)
}

/// Prints the guard as it is now; how it ended is the exit code.
fn finish(id: &str, finished: Result<Finished>, context: &Context) -> Result<Ending> {
    let guard = Guard::find(&store(context)?, id)?;
    let view = viewed(&guard, context)?;
    let commands = commands(&guard, context);
    if context.output.is_json() {
        context.output.result(&view, String::new)?;
    } else {
        // Standard output is the command's.
        context.output.note(&print::guard(&view, &commands));
    }
    match finished {
        Ok(_) if guard.was_cut_off() => {
            let message = "its command was cut off; the application works, and nothing was undone";
            context.progress.warn(Code::Interrupted, message.to_owned());
            Ok(Ending::Done)
        }
        Ok(_) => Ok(Ending::Done),
        Err(error) if error.code() == Code::RollbackFailed => {
            Err(error.hint(format!("go on by hand:\n  {}", commands.join("\n  "))))
        }
        Err(error) => Err(error),
    }
}

/// What a person does where a guard could not go back.
fn commands(guard: &Guard, context: &Context) -> Vec<String> {
    match (guard.standing(), context.setting()) {
        (guard::Standing::RollbackFailed, Ok(setting)) => guard::by_hand(&setting, guard),
        _ => Vec::new(),
    }
}

fn viewed(guard: &Guard, context: &Context) -> Result<GuardView> {
    let registry = Registry::shipped().with(GuardCommand::default());
    guard::view(guard, &context.loaded()?.config.state.dir, &registry)
}

fn store(context: &Context) -> Result<Store> {
    Ok(Store::in_dir(&context.loaded()?.config.state.dir))
}

fn engine(registry: Registry, context: &Context) -> Result<Engine> {
    let audience = Arc::new(Onlooker::new(&context.output).without_output_of("upgrade"));
    runbook::engine_with(Arc::new(registry), audience, true, context)
}
