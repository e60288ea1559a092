//! `backstop runbook`: recovery procedures, executed step by step.

mod decide;
mod look;
mod onlooker;
mod operate;
mod print;

pub(super) use onlooker::Onlooker;
pub(super) use operate::{engine_with, finish_run};

use super::Ending;
use super::context::Context;
use super::recorded_config;
use crate::error::{Code, Error, Result};
use crate::guard::GuardCommand;
use crate::runbook::{Library, Registry};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  backstop runbook list                                  what there is
  backstop runbook plan database-corruption              what it would do; checks are really run
  backstop runbook run database-corruption               asks before it destroys anything
  backstop runbook resume latest                         after a crash, a signal or a pause
  backstop runbook report latest > report.md             who did what when

Exit codes: 0 succeeded; 7 waits for a person or paused; 1 failed.
docs/runbooks/format.md explains how to write one.";

const LIST: &str = "\
Examples:
  backstop runbook list
  backstop runbook list --json";
const SHOW: &str = "\
Examples:
  backstop runbook show partial-data-loss
  backstop runbook show ./my-runbook.yaml";
const VALIDATE: &str = "\
Examples:
  backstop runbook validate ./my-runbook.yaml            exit code 2 and the first fault with its line";
const SCHEMA: &str = "\
Examples:
  backstop runbook schema > runbook.schema.json          for editors, with every action's parameters";
const PLAN: &str = "\
Examples:
  backstop runbook plan partial-data-loss
  backstop runbook plan ./mine.yaml --param table=orders";
const RUN: &str = "\
Examples:
  backstop runbook run database-corruption
  backstop runbook run security-breach --param compromised_since=2026-11-20 --yes
  backstop runbook run ./mine.yaml --param password=file:/run/secrets/db";
const STATUS: &str = "\
Examples:
  backstop runbook status                                every run, newest first
  backstop runbook status latest --follow                one run, until it ends, waits or pauses";
const RESUME: &str = "\
Examples:
  backstop runbook resume latest
  backstop runbook resume 20261121030000123_4f2a9c01 --force      on another host or with another version";
const APPROVE: &str = "\
Examples:
  backstop runbook approve latest swap                   agrees, and goes on where no runner waits
  backstop runbook approve latest swap --no-resume       only agrees";
const RESOLVE: &str = "\
Examples:
  backstop runbook resolve latest swap done --reason 'the new tables are there'
  backstop runbook resolve latest swap retry --reason 'the disk has room again'";
const ABORT: &str = "\
Examples:
  backstop runbook abort latest --reason 'wrong host'
  backstop runbook abort latest --rollback               undoes what was done";
const LOG: &str = "\
Examples:
  backstop runbook log latest
  backstop runbook log latest dump";
const REPORT: &str = "\
Examples:
  backstop runbook report latest > report.md
  backstop runbook report latest --json";

/// The arguments of `backstop runbook`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunbookArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the runbooks
    #[command(after_help = LIST)]
    List,
    /// Show what a runbook is for and what it does
    #[command(after_help = SHOW)]
    Show {
        /// A runbook's name, or a file
        name: String,
        /// Print it as a page of Markdown, with what a person would type
        #[arg(long)]
        markdown: bool,
    },
    /// Check a runbook without running it
    #[command(after_help = VALIDATE)]
    Validate {
        /// The file
        file: PathBuf,
    },
    /// Print the JSON Schema of runbooks
    #[command(after_help = SCHEMA)]
    Schema,
    /// Say what a run would do; runs checks and probes, and nothing else
    #[command(after_help = PLAN)]
    Plan {
        /// A runbook's name, or a file
        name: String,
        #[command(flatten)]
        parameters: Parameters,
    },
    /// Run a runbook
    #[command(after_help = RUN)]
    Run {
        /// A runbook's name, or a file
        name: String,
        #[command(flatten)]
        parameters: Parameters,
        /// Agree to every step beforehand
        #[arg(long, short)]
        yes: bool,
        /// Also while another run of this stack has not ended
        #[arg(long)]
        force: bool,
    },
    /// Show where runs stand
    #[command(after_help = STATUS)]
    Status {
        /// A run's id, a unique part of one, or `latest`
        run: Option<String>,
        /// Go on showing until the run ends, waits or pauses
        #[arg(long, requires = "run")]
        follow: bool,
    },
    /// Go on with a run
    #[command(after_help = RESUME)]
    Resume {
        /// A run's id, a unique part of one, or `latest`
        run: String,
        /// Also on another host or with another version than it was begun
        #[arg(long)]
        force: bool,
        /// Agree to every step beforehand
        #[arg(long, short)]
        yes: bool,
    },
    /// Agree to a step that waits for it, or say that what a person has to do is done
    #[command(after_help = APPROVE)]
    Approve {
        /// A run's id, a unique part of one, or `latest`
        run: String,
        /// The step
        step: String,
        /// Do not go on with the run
        #[arg(long)]
        no_resume: bool,
    },
    /// Say what is to become of a step that failed, or of which nobody knows
    #[command(after_help = RESOLVE)]
    Resolve {
        /// A run's id, a unique part of one, or `latest`
        run: String,
        /// The step
        step: String,
        /// What is to become of it
        verdict: Answer,
        /// Why; the report says it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End a run for good, or undo one that succeeded
    #[command(after_help = ABORT)]
    Abort {
        /// A run's id, a unique part of one, or `latest`
        run: String,
        /// Why; the report says it
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Undo what was done, also past a point of no return
        #[arg(long)]
        rollback: bool,
    },
    /// Print the output of a run's steps
    #[command(after_help = LOG)]
    Log {
        /// A run's id, a unique part of one, or `latest`
        run: String,
        /// Only of this step
        step: Option<String>,
    },
    /// Print the report of a run as Markdown, or as JSON with --json
    #[command(after_help = REPORT)]
    Report {
        /// A run's id, a unique part of one, or `latest`
        run: String,
    },
}

/// What a runbook is given.
#[derive(Debug, Clone, Args)]
pub(super) struct Parameters {
    /// A parameter of the runbook; a secret is given as env:NAME or file:PATH
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    given: Vec<(String, String)>,
}

impl Parameters {
    /// The backup that is asked for.
    pub(super) fn backup(&self) -> &str {
        let given = self.given.iter().rev().find(|(name, _)| name == "backup");
        given.map_or("latest", |(_, value)| value)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What a person has agreed to beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Consent {
    /// To every step.
    pub(super) yes: bool,
    /// That another run of the stack has not ended.
    pub(super) force: bool,
}

/// What a person says about a step.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Answer {
    /// It was done
    Done,
    /// It is to be done again
    Retry,
    /// It is to be left out
    Skip,
}

pub(super) async fn run(args: RunbookArgs, context: &Context) -> Result<Ending> {
    match args.action {
        Action::List => look::list(context),
        Action::Show { name, markdown } => look::show(&name, markdown, context),
        Action::Validate { file } => look::validate(&file, context),
        Action::Schema => look::schema(context),
        Action::Plan { name, parameters } => {
            let borrowed = recorded_config::borrowed(context, parameters.backup())?;
            let context = borrowed.as_ref().map_or(context, |(_, context)| context);
            operate::plan(&name, &parameters.given, context).await
        }
        Action::Run { name, parameters, yes, force } => {
            let adopted = recorded_config::adopted(context, parameters.backup(), false)?;
            let context = adopted.as_ref().unwrap_or(context);
            operate::run(&name, &parameters.given, Consent { yes, force }, context).await
        }
        Action::Resume { run, force, yes } => operate::resume(&run, force, yes, context).await,
        Action::Status { run, follow } => look::status(run.as_deref(), follow, context).await,
        Action::Approve { run, step, no_resume } => {
            decide::approve(&run, &step, no_resume, context).await
        }
        Action::Resolve { run, step, verdict, reason } => {
            decide::resolve(&run, &step, verdict, &reason, context)
        }
        Action::Abort { run, reason, rollback } => {
            decide::abort(&run, &reason, rollback, context).await
        }
        Action::Log { run, step } => look::log(&run, step.as_deref(), context),
        Action::Report { run } => look::report(&run, context),
    }
}

/// Runs the runbook of a disaster.
pub(super) async fn recover_from(
    disaster: &str,
    parameters: &Parameters,
    consent: Consent,
    context: &Context,
) -> Result<Ending> {
    let checked = library(context)?.for_disaster(disaster, &registry())?;
    operate::begin(&checked, &parameters.given, consent, context).await
}

pub(super) fn registry() -> Arc<Registry> {
    Arc::new(Registry::shipped().with(GuardCommand::default()))
}

/// The runbooks; the shipped ones alone where there is no config.
fn library(context: &Context) -> Result<Library> {
    match context.loaded() {
        Ok(loaded) => Ok(Library::new(loaded.config.runbooks.as_ref().map(|it| it.dir.as_path()))),
        Err(error) if error.code() == Code::ConfigNotFound => Ok(Library::default()),
        Err(error) => Err(error),
    }
}

fn state_dir(context: &Context) -> Result<PathBuf> {
    Ok(context.loaded()?.config.state.dir.clone())
}

fn no_log(run: &str, step: &str) -> Error {
    Error::new(Code::StepNotFound, "find the output of step", step)
        .cause(format!("run {run} has none"))
}
