//! The command line: one file a command, each a thin caller of an operation.

mod ask;
mod backup;
mod cat;
mod checkpoint;
mod completions;
mod config;
mod context;
mod delete;
mod diff;
mod doctor;
mod dump;
mod estimate;
mod exec_child;
mod find;
mod fleet;
mod guard;
mod guardian;
mod history;
mod keep;
mod key;
mod list;
mod ls;
mod output;
mod pipe;
mod prune;
mod recorded_config;
mod recover;
mod recover_from;
mod repo;
mod restore;
mod rollback;
mod runbook;
mod show;
mod signal;
mod sql;
mod sync;
mod table;
mod time;
mod usage;
mod verify;
mod volume_helper;

use crate::browse::FilePath;
use crate::error::{Code, Error, Result};
use clap::{Args, Parser, Subcommand};
use context::Context;
use output::Output;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  backstop doctor                              what is reachable, what would be held
  backstop backup --reason pre-upgrade         one backup of everything, at one instant
  backstop list                                the backups, newest first
  backstop restore latest --to /tmp/look       look at a backup without touching anything
  backstop restore latest                      bring everything back

Exit codes: 0 done; 1 failed; 2 usage or config; 3 done but less than asked;
4 another backstop holds the lock; 5 not found; 6 verification failed;
7 a runbook waits or paused; 20 an upgrade was rolled back, 21 that failed too; 130 interrupted.";

/// One consistent backup of PostgreSQL, Docker and files at one instant, and its restore
#[derive(Debug, Parser)]
#[command(name = "backstop", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command knows.
#[derive(Debug, Clone, Args)]
struct Global {
    /// The config file; without it $BACKSTOP_CONFIG, ./backstop.toml,
    /// ./config/backstop.toml, /etc/backstop/backstop.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The repository, instead of the one that the config names: a directory, or a url such as
    /// s3://bucket/prefix. `sql` reads all below a place with /* behind it
    #[arg(long, global = true, value_name = "PLACE")]
    repository: Option<String>,
    /// Work on this copy of [[repository.copies]] instead of the repository
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "repository")]
    copy: Option<String>,
    /// Print JSON on stdout, and progress as JSON lines on stderr
    #[arg(long, global = true)]
    json: bool,
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// How long to wait for another backstop, e.g. 30s
    #[arg(long, global = true, value_name = "TIME", default_value = "0s")]
    lock_wait: crate::config::Timeout,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take one consistent backup of the stack
    Backup(backup::BackupArgs),
    /// Take a restore point of a bootstrap
    Checkpoint(checkpoint::CheckpointArgs),
    /// List the backups, newest first
    List(list::ListArgs),
    /// Show everything about one backup
    Show(show::ShowArgs),
    /// List the files of a backup
    Ls(ls::LsArgs),
    /// Print a file of a backup
    Cat(cat::CatArgs),
    /// Print the dump of a database
    Dump(dump::DumpArgs),
    /// Search all backups for a file
    Find(find::FindArgs),
    /// Show when a file changed
    History(history::HistoryArgs),
    /// Show what differs between the files of two backups
    Diff(diff::DiffArgs),
    /// Ask the catalog and the indexes in SQL
    Sql(sql::SqlArgs),
    /// Check that what is stored is what was written
    Verify(verify::VerifyArgs),
    /// Delete a backup
    Delete(delete::DeleteArgs),
    /// Keep a backup whatever the rules say
    Keep(keep::KeepArgs),
    /// Let the rules decide about a backup again
    Unkeep(keep::UnkeepArgs),
    /// Send to the copies of the repository what they lack
    Sync(sync::SyncArgs),
    /// Delete the backups that no rule of [retention] keeps
    Prune(prune::PruneArgs),
    /// Bring a backup back, in place or elsewhere
    Restore(restore::RestoreArgs),
    /// Go back to the state before a restore
    Rollback(rollback::RollbackArgs),
    /// Run an upgrade that undoes itself
    Guard(guard::GuardArgs),
    /// Run a recovery procedure step by step, and resume it
    Runbook(runbook::RunbookArgs),
    /// Show what is reachable and what a backup would do
    Doctor(doctor::DoctorArgs),
    /// Make or check the key of encrypted backups
    Key(key::KeyArgs),
    /// Look over the repository, rebuild the catalog, put chains together, move it
    Repo(repo::RepoArgs),
    /// Resume containers that a dead backstop left held, and clear what it left behind
    Recover(recover::RecoverArgs),
    /// Run the runbook of a disaster
    RecoverFrom(recover_from::RecoverFromArgs),
    /// Show, check or describe the configuration
    Config(config::ConfigArgs),
    /// Estimate how large a backup would be
    Estimate(estimate::EstimateArgs),
    /// Print a shell completion script
    Completions(completions::CompletionsArgs),
    /// Write the manual pages into a directory
    Manpages(completions::ManpagesArgs),
    /// Resume held containers when the parent dies
    #[command(hide = true)]
    Guardian(guardian::GuardianArgs),
    /// Run a program that ends with its parent
    #[command(hide = true)]
    ExecChild(exec_child::ExecChildArgs),
    /// Work in a volume from inside a helper container
    #[command(hide = true)]
    VolumeHelper(volume_helper::VolumeHelperArgs),
}

/// The file that an argument names.
fn file_path(text: &OsStr) -> Result<FilePath> {
    let shown = text.to_string_lossy();
    FilePath::parse(text)
        .map_err(|cause| Error::new(Code::Usage, "read the path", shown).cause(cause))
}

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// All that was asked is done.
    Done,
    /// Less than asked is done (exit 3).
    Degraded,
    /// Damage was found (exit 6).
    Damaged,
    /// What was followed has failed (exit 1).
    Failed,
    /// A runbook's run waits for a person, or pauses (exit 7).
    Waiting,
}

impl Ending {
    fn exit(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Degraded => Code::Degraded.exit(),
            Self::Damaged => Code::BackupDamaged.exit(),
            Self::Failed => 1,
            Self::Waiting => 7,
        }
    }
}

/// Parses the command line, runs the command, prints its error and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error),
    };
    let output = Output::new(cli.global.json, cli.global.quiet);
    let forgives = matches!(&cli.command, Command::Checkpoint(args) if args.forgives());
    match run(cli, &output) {
        Ok(ending) => ExitCode::from(ending.exit()),
        Err(error) if forgives && error.code() != Code::Interrupted => {
            output.line(&format!("checkpoint: failed: {error}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.code().exit())
        }
    }
}

fn run(cli: Cli, output: &Output) -> Result<Ending> {
    // These replace the process or must not wait for anything: no runtime, no config.
    match &cli.command {
        Command::ExecChild(args) => return exec_child::run(args),
        Command::VolumeHelper(args) => return volume_helper::run(args),
        Command::Completions(args) => return completions::print(args, output),
        Command::Manpages(args) => return completions::write_manpages(args, output),
        _ => {}
    }
    // The guardian waits for one pipe all its life: it needs no worker threads.
    let mut builder = match &cli.command {
        Command::Guardian(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|e| Error::new(Code::Io, "start", "the async runtime").source(e))?;
    let result = runtime.block_on(dispatch(cli, output));
    // Blocking work that is still running has been cancelled and ends by itself.
    runtime.shutdown_timeout(Duration::from_secs(5));
    crate::storage::close();
    result
}

async fn dispatch(cli: Cli, output: &Output) -> Result<Ending> {
    if !matches!(cli.command, Command::Guardian(_)) {
        signal::end_connections_first()?;
    }
    let context = Context::new(cli.global, output.clone());
    match cli.command {
        Command::Backup(args) => backup::run(args, &context).await,
        Command::Checkpoint(args) => checkpoint::run(args, &context).await,
        Command::List(args) => list::run(&args, &context),
        Command::Show(args) => show::run(&args, &context),
        Command::Ls(args) => ls::run(&args, &context),
        Command::Cat(args) => cat::run(args, &context).await,
        Command::Dump(args) => dump::run(args, &context).await,
        Command::Find(args) => find::run(args, &context),
        Command::History(args) => history::run(&args, &context),
        Command::Diff(args) => diff::run(&args, &context),
        Command::Sql(args) => sql::run(&args, &context),
        Command::Verify(args) => verify::run(args, &context).await,
        Command::Delete(args) => delete::run(&args, &context),
        Command::Sync(args) => sync::run(args, &context).await,
        Command::Keep(args) => keep::keep(args, &context),
        Command::Unkeep(args) => keep::unkeep(&args, &context),
        Command::Prune(args) => prune::run(args, &context).await,
        Command::Restore(args) => restore::run(args, &context).await,
        Command::Rollback(args) => rollback::run(args, &context).await,
        Command::Guard(args) => guard::run(args, &context).await,
        Command::Runbook(args) => runbook::run(args, &context).await,
        Command::Doctor(args) => doctor::run(args, &context).await,
        Command::Key(args) => key::run(args, &context).await,
        Command::Repo(args) => repo::run(args, &context).await,
        Command::Recover(args) => recover::run(args, &context).await,
        Command::RecoverFrom(args) => recover_from::run(args, &context).await,
        Command::Config(args) => config::run(&args, &context),
        Command::Estimate(args) => estimate::run(args, &context).await,
        Command::Guardian(args) => guardian::run(args, &context).await,
        Command::ExecChild(_)
        | Command::VolumeHelper(_)
        | Command::Completions(_)
        | Command::Manpages(_) => Ok(Ending::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The example commands at the end of a help text, without what describes them.
    fn examples(help: &str) -> Vec<&str> {
        let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
        let commands = lines.filter(|line| line.starts_with("backstop "));
        commands.map(|line| line.split("  ").next().unwrap_or(line)).collect()
    }

    /// The words of a command as a shell splits them.
    fn words(command: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        for character in command.chars() {
            let last = words.len() - 1;
            match (quote, character) {
                (None, '\'' | '"') => quote = Some(character),
                (Some(open), _) if open == character => quote = None,
                (None, ' ') => words.push(String::new()),
                _ => words[last].push(character),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    /// Fails for a command without examples that are commands, and for those below it.
    fn check_examples(command: &clap::Command, name: &str) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with("Examples:\n  backstop"), "`{name} --help` has no examples");
        for example in examples(&help) {
            // What follows is the shell's business.
            let words = words(example).into_iter().take_while(|word| word != ">");
            assert!(example.starts_with(name) || name == "backstop", "{name}: {example}");
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("`{example}` of `{name} --help`: {error}");
            }
        }
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            check_examples(below, &format!("{name} {}", below.get_name()));
        }
    }

    #[test]
    fn the_help_of_every_command_has_examples_that_are_commands() {
        check_examples(&Cli::command(), "backstop");
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
