//! `guard.command`: the command that a guard is about.

use super::by_hand::quoted;
use crate::config::Timeout;
use crate::error::{Code, Error, Result};
use crate::runbook::{Action, Attendant, ChildCommand, Outputs, Probe, Scope};
use rustix::process::{Pid, Signal, kill_process_group};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a command's output goes, and from where signals reach it.
#[derive(Debug, Default)]
pub struct Desk {
    /// The process group of the command that runs.
    group: Mutex<Option<i32>>,
    /// Whether its output is shown otherwise.
    silent: bool,
}

impl Desk {
    /// Passes the command's output through as it comes, unless it is to be `silent`.
    pub fn new(silent: bool) -> Arc<Self> {
        Arc::new(Self { silent, ..Self::default() })
    }

    /// Hands a signal on to the command and all its children; false where none runs.
    pub fn forward(&self, signal: Signal) -> bool {
        // Held until it is sent: the group may not be replaced in between.
        let group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        let leader = group.and_then(Pid::from_raw);
        leader.is_some_and(|leader| kill_process_group(leader, signal).is_ok())
    }
}

impl Attendant for Desk {
    fn began(&self, group: i32) {
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = Some(group);
    }

    fn wrote(&self, bytes: &[u8], is_error: bool) {
        // Whoever read it may have gone; the command goes on, and its log is kept.
        let _ = match is_error {
            _ if self.silent => Ok(()),
            true => std::io::stderr().write_all(bytes),
            false => {
                let mut stdout = std::io::stdout();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
        };
    }

    fn ended(&self) {
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Under which name it is noted how a command failed.
pub(super) const EXIT_CODE: &str = "exit_code";

/// The action.
#[derive(Debug, Default)]
pub struct GuardCommand {
    desk: Option<Arc<Desk>>,
}

impl GuardCommand {
    /// The action of a guard whose command is attended to.
    pub fn at(desk: Arc<Desk>) -> Self {
        Self { desk: Some(desk) }
    }
}

/// What is run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The program and its arguments.
    argv: Vec<String>,
    /// After so long it is ended, and has failed.
    timeout: Timeout,
    /// The guard: `BACKSTOP_GUARD` in its environment.
    guard: String,
    /// The backup from before it: `BACKSTOP_BACKUP_ID` in its environment.
    backup: Option<String>,
}

impl Action for GuardCommand {
    type With = With;
    const NAME: &'static str = "guard.command";
    const ABOUT: &'static str = "Runs the command that a guard is about.";
    const OUTPUTS: &'static [&'static str] = &["exit_code", "cut_off"];
    const PROBES: bool = true;

    fn plan(&self, with: &With) -> String {
        let words: Vec<String> = with.argv.iter().map(|word| quoted(word)).collect();
        format!("run {} for at most {}", words.join(" "), with.timeout)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let mut env = BTreeMap::from([("BACKSTOP_GUARD".to_owned(), with.guard.clone())]);
        env.extend(with.backup.clone().map(|it| ("BACKSTOP_BACKUP_ID".to_owned(), it)));
        let attendant = self.desk.clone().map(|desk| desk as Arc<dyn Attendant>);
        let limit = Some(with.timeout);
        let command =
            ChildCommand { argv: with.argv.clone(), env, limit, attendant, ..Default::default() };
        let failed =
            |cause: String| Err(Error::new(Code::ActionFailed, "run", shown(with)).cause(cause));
        match scope.child(command).await {
            Ok(ended) if ended.code == 0 => Ok(returned(json!(0), false)),
            Ok(ended) => {
                scope.note(EXIT_CODE, ended.code)?;
                failed(format!("it ended with exit code {}", ended.code))
            }
            // It has failed for certain, where `timed_out` means that nobody knows.
            Err(e) if e.code() == Code::TimedOut => failed(format!(
                "it took longer than {}, and was ended with all its children",
                with.timeout
            )),
            Err(e) => Err(e),
        }
    }

    /// It must not be run twice, and how far it came nobody can tell from outside: whether the
    /// application works decides.
    async fn probe(&self, _: &With, scope: &Scope) -> Result<Probe> {
        scope.log.line("the command was cut off; whether the application works decides");
        Ok(Probe::Done(returned(Value::Null, true)))
    }
}

/// The program alone: arguments may be long.
fn shown(with: &With) -> &str {
    with.argv.first().map_or("", String::as_str)
}

fn returned(exit_code: Value, cut_off: bool) -> Outputs {
    Outputs::from_iter([
        ("exit_code".to_owned(), exit_code),
        ("cut_off".to_owned(), cut_off.into()),
    ])
}
