//! What somebody wants of a guard.

use super::phase::Phase;
use crate::config::{Config, Timeout};
use crate::error::Result;
use crate::runbook::{Parameters, Registry};
use serde_json::{Value, json};

/// An upgrade, and how to tell whether it went well.
#[derive(Debug, Clone)]
pub struct Order {
    /// The program and its arguments. They are recorded.
    pub command: Vec<String>,
    /// The version that comes.
    pub version_label: Option<String>,
    /// After so long the command is ended.
    pub timeout: Timeout,
    /// By what it is seen whether the application works.
    pub health: Health,
    /// Whether it goes on where no backup can be taken.
    pub allow_unprotected: bool,
    /// Whether what failed stays as it is.
    pub no_rollback: bool,
}

/// By what it is seen whether an application works.
#[derive(Debug, Clone)]
pub struct Health {
    /// Addresses that answer with a status from 200 to 299.
    pub urls: Vec<String>,
    /// Scripts for `/bin/sh` that end with exit code 0.
    pub commands: Vec<String>,
    /// Containers that run and are healthy, besides those that did before.
    pub containers: Vec<String>,
    /// How long it may take until all is well.
    pub within: Timeout,
    /// For how long it has to stay so.
    pub settle: Timeout,
}

impl Health {
    /// How long the application has to become well, where nobody says.
    pub const WITHIN: Timeout = Timeout::seconds(120);
    /// How long it has to stay so, where nobody says.
    pub const SETTLE: Timeout = Timeout::seconds(10);

    /// The parameters that say so, of the runbooks that look.
    fn parameters(&self, ran: &[String]) -> Vec<(&'static str, Value)> {
        let more = self.containers.iter().filter(|name| !ran.contains(name));
        let containers: Vec<&String> = ran.iter().chain(more).collect();
        vec![
            ("urls", json!(self.urls)),
            ("commands", json!(self.commands)),
            ("containers", json!(containers)),
            ("health_timeout", self.within.to_string().into()),
            ("settle", self.settle.to_string().into()),
        ]
    }
}

/// The parameters by which an application's health is known, of a run that looked at it.
const HEALTH: [&str; 5] = ["urls", "commands", "containers", "health_timeout", "settle"];

/// What is known of the backup before an upgrade.
#[derive(Debug, Clone, Default)]
pub(super) struct Protection {
    /// Its id; none where there is none and that was allowed.
    pub(super) backup: Option<String>,
    /// The containers that ran.
    pub(super) running: Vec<String>,
}

impl Order {
    pub(super) fn protect(
        &self,
        guard: &str,
        registry: &Registry,
        config: &Config,
    ) -> Result<Parameters> {
        let mut values = vec![("guard", Value::from(guard))];
        values.extend(self.version_label.clone().map(|it| ("version_label", it.into())));
        parameters(Phase::Protect, values, registry, config)
    }

    pub(super) fn upgrade(
        &self,
        guard: &str,
        protection: &Protection,
        registry: &Registry,
        config: &Config,
    ) -> Result<Parameters> {
        let mut values = vec![
            ("guard", Value::from(guard)),
            ("command", json!(self.command)),
            ("timeout", self.timeout.to_string().into()),
        ];
        values.extend(protection.backup.clone().map(|it| ("backup", it.into())));
        values.extend(self.health.parameters(&protection.running));
        parameters(Phase::Upgrade, values, registry, config)
    }
}

/// The parameters of going back to `backup`, with the checks of the run that `looked`.
pub(super) fn rollback(
    backup: &str,
    looked: Option<&Parameters>,
    registry: &Registry,
    config: &Config,
) -> Result<Parameters> {
    let mut values = vec![("backup", backup.into()), ("docker", needs_docker(config).into())];
    for name in HEALTH {
        values.extend(looked.and_then(|it| it.values.get(name)).map(|it| (name, it.clone())));
    }
    parameters(Phase::Rollback, values, registry, config)
}

/// The parameters of closing a guard.
pub(super) fn close(
    backup: Option<String>,
    registry: &Registry,
    config: &Config,
) -> Result<Parameters> {
    let mut values = vec![("docker", needs_docker(config).into())];
    values.extend(backup.map(|it| ("backup", it.into())));
    parameters(Phase::Close, values, registry, config)
}

fn needs_docker(config: &Config) -> bool {
    !config.containers.is_empty()
        || config.databases.iter().any(|database| database.container.is_some())
}

/// What the runbook takes where nothing is given, with these values in its place: a value of a
/// list stays what it is, with commas in it or not.
fn parameters(
    phase: Phase,
    values: Vec<(&str, Value)>,
    registry: &Registry,
    config: &Config,
) -> Result<Parameters> {
    let mut runbook = phase.runbook(registry)?.runbook;
    // What is given here is not written on a command line.
    runbook.parameters.values_mut().for_each(|parameter| parameter.required = false);
    let mut resolved = Parameters::resolve(&runbook, &[], config)?;
    resolved.values.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(resolved)
}
