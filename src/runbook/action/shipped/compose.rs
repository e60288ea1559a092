//! `compose.up`: the services of compose projects run.

use super::docker::{Before, bring_back_made};
use super::outputs;
use crate::config::{ContainerSelection, Selector, Timeout};
use crate::docker::{Container, Docker, RunState};
use crate::error::{Code, Error, Result};
use crate::runbook::action::{Action, Outputs, Point, Scope};
use crate::runbook::child::ChildCommand;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(in crate::runbook) struct ComposeUp;

/// What is brought up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The project's name.
    project: Option<String>,
    /// The project's directory: where its files are looked for, and what their paths are relative
    /// to.
    dir: Option<PathBuf>,
    /// The compose files; without it those that compose finds in `dir`.
    #[serde(default)]
    files: Vec<PathBuf>,
    /// The file with the variables of the compose files; without it `.env` in `dir`.
    env_file: Option<PathBuf>,
    /// In the place of these four: several projects, as `compose.restore` returns them.
    #[serde(default)]
    projects: Vec<Project>,
    /// The services; without it all.
    #[serde(default)]
    services: Vec<String>,
    /// Variables of the compose files: the place for secrets.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Whether containers are made anew although nothing of their definition changed.
    #[serde(default)]
    force_recreate: bool,
    /// Whether the containers of the config are made and not started: those that write.
    #[serde(default)]
    hold: bool,
    /// Whether the step waits until they are healthy; one without a health check only has to run,
    /// and one that ended well has done its work.
    #[serde(default = "yes")]
    healthy: bool,
    /// How long each may take for that.
    #[serde(default = "two_minutes")]
    within: Timeout,
}

/// One project.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Project {
    /// Its name.
    project: String,
    /// Its directory.
    dir: PathBuf,
    /// Its compose files; without it those that compose finds in `dir`.
    #[serde(default)]
    files: Vec<PathBuf>,
    /// The file with their variables; without it `.env` in `dir`.
    env_file: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

fn two_minutes() -> Timeout {
    Timeout::seconds(120)
}

impl Project {
    /// What stands before the command.
    fn arguments(&self) -> Vec<String> {
        let path = |path: &Path| self.dir.join(path).display().to_string();
        let mut arguments = vec!["--project-name".into(), self.project.clone()];
        arguments.extend(["--project-directory".into(), self.dir.display().to_string()]);
        for file in &self.files {
            arguments.extend(["--file".into(), path(file)]);
        }
        if let Some(file) = &self.env_file {
            arguments.extend(["--env-file".into(), path(file)]);
        }
        arguments
    }

    /// Its containers, with what they do now.
    async fn containers(&self, docker: &Docker) -> Result<Vec<Container>> {
        let project = ContainerSelection::of(Selector::Compose(self.project.clone()));
        Ok(docker.select(&[project]).await?.containers)
    }
}

impl With {
    fn projects(&self) -> Vec<Project> {
        match (&self.project, &self.dir) {
            (Some(project), Some(dir)) => vec![Project {
                project: project.clone(),
                dir: dir.clone(),
                files: self.files.clone(),
                env_file: self.env_file.clone(),
            }],
            _ => self.projects.clone(),
        }
    }

    fn shown(&self) -> String {
        let names = self.projects().into_iter();
        let names: Vec<String> =
            names.map(|it| format!("{} in {}", it.project, it.dir.display())).collect();
        names.join(", ")
    }

    async fn containers(&self, docker: &Docker) -> Result<Vec<Container>> {
        let mut all = Vec::new();
        for project in self.projects() {
            all.extend(project.containers(docker).await?);
        }
        Ok(all)
    }
}

/// Compose at work for a step.
struct Compose<'a> {
    with: &'a With,
    scope: &'a Scope,
    program: &'static [&'static str],
}

impl<'a> Compose<'a> {
    /// Compose v2 is a part of `docker`; v1, which Debian 12 has, is a program of its own.
    async fn find(with: &'a With, scope: &'a Scope) -> Result<Self> {
        for program in [&["docker", "compose"][..], &["docker-compose"]] {
            let compose = Self { with, scope, program };
            match compose.run(Path::new("/"), vec!["version".into()]).await {
                Ok(0) => return Ok(compose),
                Err(e) if e.code() == Code::Interrupted => return Err(e),
                _ => {}
            }
        }
        Err(Error::new(Code::ToolMissing, "run", "docker compose")
            .cause("neither `docker compose` nor `docker-compose` runs")
            .hint("install Docker's compose plugin"))
    }

    async fn run(&self, dir: &Path, arguments: Vec<String>) -> Result<i32> {
        let mut argv: Vec<String> = self.program.iter().map(|word| (*word).to_owned()).collect();
        argv.extend(arguments);
        let (env, dir) = (self.with.env.clone(), Some(dir.to_owned()));
        Ok(self.scope.child(ChildCommand { argv, env, dir, ..ChildCommand::default() }).await?.code)
    }

    /// `compose up` with these options, of these services or all.
    async fn up(&self, project: &Project, options: &[&str], services: &[String]) -> Result<()> {
        let mut arguments = project.arguments();
        arguments.extend(["up", "--no-build"].map(str::to_owned));
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        arguments.extend(services.iter().cloned());
        let code = self.run(&project.dir, arguments).await?;
        if code == 0 {
            return Ok(());
        }
        let Scope { run, step, .. } = self.scope;
        Err(Error::new(Code::ActionFailed, "bring up compose project", &project.project)
            .cause(format!("{} ended with exit code {code}", self.program.join(" ")))
            .hint(format!("`backstop runbook log {run} {step}` shows its output")))
    }

    /// Makes all containers of a project, and starts them but for those of the config.
    async fn up_without_writers(&self, project: &Project, docker: &Docker) -> Result<()> {
        let mut options = vec!["--no-start"];
        options.extend(self.with.force_recreate.then_some("--force-recreate"));
        self.up(project, &options, &self.with.services).await?;
        self.scope.reach(Point::MidEffect);
        let writers = docker.select(&self.scope.setting.config.containers).await?.containers;
        let writes = |it: &&Container| writers.iter().any(|writer| writer.id == it.id);
        let containers = project.containers(docker).await?;
        let held: BTreeSet<&str> =
            containers.iter().filter(writes).filter_map(Container::service).collect();
        let others: BTreeSet<&str> = containers.iter().filter_map(Container::service).collect();
        let others: Vec<String> = others.difference(&held).map(|it| (*it).to_owned()).collect();
        match others.is_empty() {
            true => Ok(()),
            false => self.up(project, &["--detach", "--no-deps"], &others).await,
        }
    }
}

impl Action for ComposeUp {
    type With = With;
    const NAME: &'static str = "compose.up";
    const ABOUT: &'static str = "Makes and starts the containers of compose projects.";
    const OUTPUTS: &'static [&'static str] = &["containers", "started"];
    const SECRETS: &'static [&'static str] = &["env"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn check(with: &With) -> Result<(), String> {
        match (&with.project, &with.dir) {
            (Some(_), Some(_)) if !with.projects.is_empty() => {
                Err("`projects` takes the place of `project` and `dir`".into())
            }
            (Some(project), Some(_)) if project.trim().is_empty() => {
                Err("`project` is empty".into())
            }
            (Some(_), None) | (None, Some(_)) => Err("`project` and `dir` belong together".into()),
            _ => Ok(()),
        }
    }

    fn plan(&self, with: &With) -> String {
        let services = match with.services.as_slice() {
            [] => "all services".to_owned(),
            services => services.join(", "),
        };
        let held = if with.hold { ", without those that write," } else { "" };
        format!("bring up {services}{held} of the compose project {}", with.shown())
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let docker = Docker::connect().await?;
        let compose = Compose::find(with, scope).await?;
        let before = Before::of(&with.containers(&docker).await?, scope)?;
        for project in with.projects() {
            if with.hold {
                compose.up_without_writers(&project, &docker).await?;
                continue;
            }
            let mut options = vec!["--detach"];
            options.extend(with.force_recreate.then_some("--force-recreate"));
            compose.up(&project, &options, &with.services).await?;
        }
        let containers = with.containers(&docker).await?;
        let writers = match with.hold {
            true => docker.select(&scope.setting.config.containers).await?.containers,
            false => Vec::new(),
        };
        let is_held = |it: &&Container| writers.iter().any(|writer| writer.id == it.id);
        if with.healthy {
            for container in containers.iter().filter(|it| !is_held(it)) {
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
