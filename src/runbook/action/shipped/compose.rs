//! `compose.up`: the services of a compose project run.

use super::docker::{Before, bring_back_made};
use super::outputs;
use crate::config::{ContainerSelection, Selector, Timeout};
use crate::docker::{Container, Docker, RunState};
use crate::error::{Code, Error, Result};
use crate::runbook::action::{Action, Outputs, Scope};
use crate::runbook::child::ChildCommand;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(in crate::runbook) struct ComposeUp;

/// What is brought up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The project's name.
    project: String,
    /// The project's directory: where its files are looked for, and what their paths are relative
    /// to.
    dir: PathBuf,
    /// The compose files; without it those that compose finds in `dir`.
    #[serde(default)]
    files: Vec<PathBuf>,
    /// The services; without it all.
    #[serde(default)]
    services: Vec<String>,
    /// The file with the variables of the compose files; without it `.env` in `dir`.
    env_file: Option<PathBuf>,
    /// Variables of the compose files: the place for secrets.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Whether containers are made anew although nothing of their definition changed.
    #[serde(default)]
    force_recreate: bool,
    /// Whether the step waits until they are healthy; one without a health check only has to run,
    /// and one that ended well has done its work.
    #[serde(default = "yes")]
    healthy: bool,
    /// How long each may take for that.
    #[serde(default = "two_minutes")]
    within: Timeout,
}

fn yes() -> bool {
    true
}

fn two_minutes() -> Timeout {
    Timeout::seconds(120)
}

impl With {
    fn arguments(&self) -> Vec<String> {
        let path = |path: &PathBuf| self.dir.join(path).display().to_string();
        let mut arguments = vec!["--project-name".into(), self.project.clone()];
        arguments.extend(["--project-directory".into(), self.dir.display().to_string()]);
        for file in &self.files {
            arguments.extend(["--file".into(), path(file)]);
        }
        if let Some(file) = &self.env_file {
            arguments.extend(["--env-file".into(), path(file)]);
        }
        arguments.extend(["up", "--detach", "--no-build"].map(str::to_owned));
        if self.force_recreate {
            arguments.push("--force-recreate".into());
        }
        arguments.extend(self.services.iter().cloned());
        arguments
    }

    async fn compose(
        &self,
        scope: &Scope,
        program: &[&str],
        arguments: Vec<String>,
    ) -> Result<i32> {
        let mut argv: Vec<String> = program.iter().map(|word| (*word).to_owned()).collect();
        argv.extend(arguments);
        let (env, dir) = (self.env.clone(), Some(self.dir.clone()));
        Ok(scope.child(ChildCommand { argv, env, stdin: None, dir }).await?.code)
    }

    /// The containers of the project, with what they do now.
    async fn containers(&self, docker: &Docker) -> Result<Vec<Container>> {
        let project = ContainerSelection::of(Selector::Compose(self.project.clone()));
        Ok(docker.select(&[project]).await?.containers)
    }
}

/// Compose v2 is a part of `docker`; v1, which Debian 12 has, is a program of its own.
async fn program(with: &With, scope: &Scope) -> Result<&'static [&'static str]> {
    for program in [&["docker", "compose"][..], &["docker-compose"]] {
        match with.compose(scope, program, vec!["version".into()]).await {
            Ok(0) => return Ok(program),
            Err(e) if e.code() == Code::Interrupted => return Err(e),
            _ => {}
        }
    }
    Err(Error::new(Code::ToolMissing, "run", "docker compose")
        .cause("neither `docker compose` nor `docker-compose` runs")
        .hint("install Docker's compose plugin"))
}

impl Action for ComposeUp {
    type With = With;
    const NAME: &'static str = "compose.up";
    const ABOUT: &'static str = "Makes and starts the containers of a compose project.";
    const OUTPUTS: &'static [&'static str] = &["containers", "started"];
    const SECRETS: &'static [&'static str] = &["env"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn check(with: &With) -> Result<(), String> {
        match with.project.trim().is_empty() {
            true => Err("`project` is empty".into()),
            false => Ok(()),
        }
    }

    fn plan(&self, with: &With) -> String {
        let services = match with.services.as_slice() {
            [] => "all services".to_owned(),
            services => services.join(", "),
        };
        format!(
            "bring up {services} of the compose project {} in {}",
            with.project,
            with.dir.display()
        )
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let docker = Docker::connect().await?;
        let program = program(with, scope).await?;
        let before = Before::of(&with.containers(&docker).await?, scope)?;
        let code = with.compose(scope, program, with.arguments()).await?;
        if code != 0 {
            return Err(Error::new(Code::ActionFailed, "bring up compose project", &with.project)
                .cause(format!("{} ended with exit code {code}", program.join(" ")))
                .hint(format!(
                    "`backstop runbook log {} {}` shows its output",
                    scope.run, scope.step
                )));
        }
        let containers = with.containers(&docker).await?;
        if with.healthy {
            for container in &containers {
                // Nobody started it, or its work is done.
                let done = docker.status(&container.id).await?;
                if done.state == RunState::Stopped && done.exit_code == Some(0) {
                    continue;
                }
                let limit = with.within.duration();
                let healthy = docker.wait_healthy(&container.id, &container.name, limit);
                scope.unless_cancelled(healthy).await?;
            }
        }
        let ran = before.names(&[RunState::Running]);
        let running = containers.iter().filter(|it| it.is_running()).map(|it| &it.name);
        let started: Vec<&String> = running.filter(|name| !ran.contains(name)).collect();
        let names: Vec<&String> = containers.iter().map(|it| &it.name).collect();
        Ok(outputs([("containers", json!(names)), ("started", json!(started))]))
    }

    /// What it made stays; what did not run before is stopped.
    async fn undo(&self, with: &With, _: Option<&Outputs>, scope: &Scope) -> Result<()> {
        let docker = Docker::connect().await?;
        bring_back_made(&docker, &with.containers(&docker).await?, scope).await
    }
}
