//! `health.check`: an application works, and goes on working.

use super::outputs;
use crate::config::Timeout;
use crate::docker::{Docker, Health, RunState};
use crate::error::{Code, Error, Result};
use crate::runbook::action::{Action, Outputs, Scope, not_held};
use crate::runbook::child::ChildCommand;
use crate::runbook::http::{Request, check_url, shown};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often everything is looked at.
const POLL: Duration = Duration::from_millis(500);
/// How long one answer, and one command, may take.
const ANSWER: Duration = Duration::from_secs(30);

pub(in crate::runbook) struct HealthCheck;

/// What has to be well, and for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// Addresses that answer with a status from 200 to 299.
    #[serde(default)]
    urls: Vec<String>,
    /// Scripts for `/bin/sh` that end with exit code 0.
    #[serde(default)]
    commands: Vec<String>,
    /// Containers by name that run and are healthy; without a health check of their own they only
    /// have to run.
    #[serde(default)]
    containers: Vec<String>,
    /// How long it may take until all is well.
    #[serde(default = "two_minutes")]
    within: Timeout,
    /// For how long it has to stay so, without a container being started again.
    #[serde(default = "no_time")]
    settle: Timeout,
}

fn two_minutes() -> Timeout {
    Timeout::seconds(120)
}

fn no_time() -> Timeout {
    Timeout::seconds(0)
}

/// When each container was started: one that has been since was not well all the time.
type Starts = BTreeMap<String, Option<String>>;

impl With {
    /// Looks at everything once.
    ///
    /// # Errors
    /// `assertion_failed` for the first that is not well.
    async fn look(&self, scope: &Scope) -> Result<Starts> {
        let starts = self.look_at_containers().await?;
        for url in &self.urls {
            let request = Request { method: "GET".into(), url: url.clone(), ..Request::default() };
            let what = || format!("{} answers", shown(url));
            match tokio::time::timeout(ANSWER, request.send()).await {
                Err(_) => return Err(not_held(what(), "no answer")),
                Ok(Err(error)) => return Err(not_held(what(), error)),
                Ok(Ok(answer)) if (200..300).contains(&answer.status) => {}
                Ok(Ok(answer)) => {
                    return Err(not_held(what(), format!("the status is {}", answer.status)));
                }
            }
        }
        for script in &self.commands {
            let argv = ["/bin/sh", "-e", "-c", script].map(str::to_owned).into();
            let limit = Some(Timeout::seconds(ANSWER.as_secs()));
            let command = ChildCommand { argv, limit, ..ChildCommand::default() };
            let what = || format!("`{script}` succeeds");
            match scope.child(command).await {
                Err(e) if e.code() == Code::TimedOut => {
                    return Err(not_held(what(), "it did not end"));
                }
                Err(e) => return Err(e),
                Ok(ended) if ended.code == 0 => {}
                Ok(ended) => {
                    return Err(not_held(what(), format!("its exit code is {}", ended.code)));
                }
            }
        }
        Ok(starts)
    }

    async fn look_at_containers(&self) -> Result<Starts> {
        let mut starts = Starts::new();
        if self.containers.is_empty() {
            return Ok(starts);
        }
        let docker = Docker::connect().await?;
        for name in &self.containers {
            let what = || format!("container {name} is healthy");
            let status = match docker.status(name).await {
                Err(e) if e.code() == Code::ContainerNotFound => {
                    return Err(not_held(what(), "there is none"));
                }
                status => status?,
            };
            match (status.state, status.health) {
                (RunState::Running, Health::Healthy | Health::Unchecked) => {}
                (RunState::Running, Health::Starting) => {
                    return Err(not_held(what(), "its health check has no verdict yet"));
                }
                (RunState::Running, Health::Unhealthy) => {
                    return Err(not_held(what(), "it is unhealthy"));
                }
                (RunState::Paused, _) => return Err(not_held(what(), "it is paused")),
                (RunState::Stopped, _) => return Err(not_held(what(), "it does not run")),
            }
            starts.insert(name.clone(), status.started_at);
        }
        Ok(starts)
    }
}

impl Action for HealthCheck {
    type With = With;
    const NAME: &'static str = "health.check";
    const ABOUT: &'static str = "Fails unless an application becomes well, and stays so.";
    const OUTPUTS: &'static [&'static str] = &["seconds"];
    const READS_ONLY: bool = true;

    fn check(with: &With) -> Result<(), String> {
        with.urls.iter().try_for_each(|url| check_url(url))
    }

    fn plan(&self, with: &With) -> String {
        let urls = with.urls.iter().map(|url| shown(url));
        let commands = with.commands.iter().map(|script| format!("`{script}`"));
        let what: Vec<String> =
            with.containers.iter().cloned().chain(urls).chain(commands).collect();
        let what = if what.is_empty() { "nothing".to_owned() } else { what.join(", ") };
        format!("check that {what} is well within {} and stays so for {}", with.within, with.settle)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let begun = Instant::now();
        let deadline = begun + with.within.duration();
        let mut well: Option<(Instant, Starts)> = None;
        loop {
            match scope.unless_cancelled(with.look(scope)).await {
                Ok(starts) => {
                    let since = match &well {
                        Some((since, before)) if *before == starts => *since,
                        _ => Instant::now(),
                    };
                    if since.elapsed() >= with.settle.duration() {
                        return Ok(outputs([("seconds", begun.elapsed().as_secs_f64().into())]));
                    }
                    // What becomes well late has its time to settle all the same.
                    if Instant::now() >= deadline + with.settle.duration() {
                        let found = "a container was started again";
                        return Err(not_held("the application stays well", found));
                    }
                    well = Some((since, starts));
                }
                Err(error) if is_sick(&error) && Instant::now() < deadline => {
                    if well.take().is_some() {
                        scope.log.line(&format!("no longer well: {error}"));
                    }
                }
                Err(error) => return Err(error),
            }
            let pause = async {
                sleep(POLL).await;
                Ok(())
            };
            scope.unless_cancelled(pause).await?;
        }
    }
}

/// Whether waiting may mend it. Docker's daemon may be starting again.
fn is_sick(error: &Error) -> bool {
    matches!(error.code(), Code::AssertionFailed | Code::DockerUnreachable)
}
