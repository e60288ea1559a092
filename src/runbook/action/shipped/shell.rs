//! `shell`: a script of the user.

use super::outputs;
use crate::error::{Code, Error, Result};
use crate::runbook::action::{Action, Outputs, Probe, Scope};
use crate::runbook::child::{ChildCommand, ChildEnd};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(in crate::runbook) struct Shell;

/// What is run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// A script for `/bin/sh -e`; or `argv`.
    script: Option<String>,
    /// A program and its arguments, run without a shell; or `script`.
    #[serde(default)]
    argv: Vec<String>,
    /// Variables besides those of backstop: the place for secrets.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// What it reads.
    stdin: Option<String>,
    /// Where it runs; without it, where backstop does.
    dir: Option<PathBuf>,
    /// Exit codes that are good; without it 0 alone.
    #[serde(default)]
    exit_codes: Vec<i32>,
}

impl With {
    fn command(&self) -> ChildCommand {
        let argv = match &self.script {
            Some(script) => {
                ["/bin/sh", "-e", "-c", script].map(str::to_owned).into_iter().collect()
            }
            None => self.argv.clone(),
        };
        ChildCommand {
            argv,
            env: self.env.clone(),
            stdin: self.stdin.clone(),
            dir: self.dir.clone(),
            ..ChildCommand::default()
        }
    }
}

impl Action for Shell {
    type With = With;
    const NAME: &'static str = "shell";
    const ABOUT: &'static str = "Runs a script or a program.";
    const OUTPUTS: &'static [&'static str] = &["exit_code", "stdout"];
    const SECRETS: &'static [&'static str] = &["env", "stdin"];
    const MAY_CHECK: bool = true;

    fn check(with: &With) -> Result<(), String> {
        let reserved = with.env.keys().find(|name| name.starts_with("BACKSTOP_"));
        match (&with.script, with.argv.is_empty(), reserved) {
            (_, _, Some(name)) => Err(format!("`{name}`: names with BACKSTOP_ are set for you")),
            (Some(_), true, _) | (None, false, _) => Ok(()),
            _ => Err("it needs either `script` or `argv`".into()),
        }
    }

    fn plan(&self, with: &With) -> String {
        match &with.script {
            Some(script) => format!("run the script: {}", script.trim()),
            None => format!("run {}", with.argv.join(" ")),
        }
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let ended = scope.child(with.command()).await?;
        let good = match with.exit_codes.as_slice() {
            [] => ended.code == 0,
            codes => codes.contains(&ended.code),
        };
        match good {
            true => Ok(returned(ended)),
            false => Err(Error::new(Code::ActionFailed, "run", "the script")
                .cause(format!("it ended with exit code {}", ended.code))
                .hint(format!(
                    "`backstop runbook log {} {}` shows its output",
                    scope.run, scope.step
                ))),
        }
    }

    /// As the check of another step: 0 done, 1 not done, 2 a part of it.
    async fn answer(&self, with: &With, scope: &Scope) -> Result<Probe> {
        let ended = scope.child(with.command()).await?;
        Ok(match ended.code {
            0 => Probe::Done(returned(ended)),
            1 => Probe::NotDone,
            2 => Probe::Partial(ended.stdout.trim().to_owned()),
            code => Probe::Unknown(format!("the probe ended with exit code {code}")),
        })
    }
}

fn returned(ended: ChildEnd) -> Outputs {
    let stdout = ended.stdout.trim_end().to_owned();
    outputs([("exit_code", ended.code.into()), ("stdout", stdout.into())])
}
