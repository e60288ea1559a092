//! `doctor`: each thing a backup needs, looked at by itself, so that one failure does not
//! hide another.

mod containers;
mod copies;
mod encryption;
mod journals;

use super::known::Known;
use super::plan::connect_if_needed;
use super::reach::Reach;
use super::readiness;
use super::sources::Source;
use super::space;
use crate::catalog::Catalog;
use crate::config::{Config, Database};
use crate::database::rights;
use crate::deadline;
use crate::docker::Docker;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::ReadinessLevel;
use crate::setting::Setting;
use crate::size::{bytes, count};
use serde::Serialize;
use std::path::Path;

/// What was found about one thing.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The thing, e.g. `database shop`.
    pub subject: String,
    /// What is good about it; empty where it failed.
    pub detail: String,
    /// What is wrong with it, as [`Error::to_json`] writes it.
    pub error: Option<serde_json::Value>,
}

impl Finding {
    /// A guard that is not over: what failed is in the way of the next upgrade.
    pub fn of_guard(id: &str, error: &Error) -> Self {
        Self { subject: format!("guard {id}"), detail: String::new(), error: Some(error.to_json()) }
    }

    fn new(subject: impl Into<String>, found: Result<String>) -> Self {
        let (detail, error) = match found {
            Ok(detail) => (detail, None),
            Err(e) => (String::new(), Some(e.to_json())),
        };
        Self { subject: subject.into(), detail, error }
    }
}

impl Finding {
    /// The level where no config can be used, or where backups are turned off without one.
    pub fn without_config() -> Self {
        let level = match Config::is_disabled_by_environment() {
            true => ReadinessLevel::Disabled,
            false => ReadinessLevel::NotReady,
        };
        Self::new("level", Ok(level.as_str().into()))
    }
}

/// Looks at everything the config names. Nothing is touched.
pub async fn examine(setting: &Setting) -> Vec<Finding> {
    let config = &setting.config;
    let level = readiness::find(setting).await.level();
    let mut findings = vec![
        Finding::new("level", Ok(level.as_str().into())),
        Finding::new("user", Ok(user())),
        Finding::new("repository", repository(setting)),
        Finding::new("state directory", state(setting)),
    ];
    findings.extend(copies::examine(setting).await);
    if config.encryption.is_some() {
        findings.push(Finding::new("encryption", encryption::examine(setting)));
    }
    findings.extend(journals::examine(&config.state.dir));
    let docker = match connect_if_needed(setting).await {
        Ok(docker) => docker,
        Err(e) => {
            findings.push(Finding::new("docker", Err(e)));
            None
        }
    };
    if let Some(docker) = &docker {
        let version = docker.version().await;
        let described = version.map(|found| format!("engine {}, API {}", found.server, found.api));
        findings.push(Finding::new("docker", described));
        findings.extend(containers::examine(setting, docker).await);
    }
    for database in &config.databases {
        let found = examine_database(setting, database, docker.as_ref()).await;
        findings.push(Finding::new(format!("database {}", database.name), found));
    }
    for tree in &config.files {
        let found = async {
            let source = Source::locate(tree, docker.as_ref()).await?;
            source.directory().map_or(Ok(()), deadline::answers)?;
            source.check_readable()?;
            Ok(source.place.to_string())
        };
        findings.push(Finding::new(format!("files {}", tree.name), found.await));
    }
    findings
}

/// As whom backstop runs, and what that user cannot do.
fn user() -> String {
    match rustix::process::geteuid() {
        user if user.is_root() => "root".into(),
        user => format!(
            "uid {}, not root: owners of files are not restored, and volumes are reached \
             through Docker",
            user.as_raw()
        ),
    }
}

fn repository(setting: &Setting) -> Result<String> {
    let path = space::workspace(&setting.config);
    deadline::answers(path)?;
    let known = Known::of(setting)?;
    let free = space::free_bytes(path)?;
    match known.open() {
        Ok(repository) if repository.directory().is_none() => {
            let backups = count(repository.names()?.len() as u64, "backup", "backups");
            let free = bytes(free);
            Ok(format!("{}: {backups}; {free} free in state.dir", repository.shown()))
        }
        Err(e)
            if e.code() == Code::RepositoryNotFound
                && !known.is_known()
                && setting.config.repository.url.is_some() =>
        {
            Ok(format!("{}: created by the first backup", setting.config.repository.place()))
        }
        Ok(repository) => {
            let backups = count(repository.names()?.len() as u64, "backup", "backups");
            check_writable(path)?;
            Ok(format!("{}: {backups}, {} free", path.display(), bytes(free)))
        }
        Err(e) if e.code() == Code::RepositoryNotFound && !known.is_known() && !path.exists() => {
            if let Some(existing) = path.ancestors().find(|ancestor| ancestor.exists()) {
                check_writable(existing)?;
            }
            Ok(format!("{}: created by the first backup, {} free", path.display(), bytes(free)))
        }
        Err(e) => Err(e),
    }
}

fn state(setting: &Setting) -> Result<String> {
    let dir = &setting.config.state.dir;
    deadline::answers(dir)?;
    let session = Catalog::of(&setting.config).session(&setting.progress)?;
    let backups = count(session.list()?.len() as u64, "backup", "backups");
    Ok(format!("{}: the catalog lists {backups}", dir.display()))
}

fn check_writable(path: &Path) -> Result<()> {
    tempfile::tempfile_in(path).map(drop).map_err(|e| Error::io("write to", path, e))
}

async fn examine_database(
    setting: &Setting,
    database: &Database,
    docker: Option<&Docker>,
) -> Result<String> {
    let reach = Reach::find(setting, database, docker, None).await?;
    let prepared = reach.prepare().await?;
    let rights = rights(prepared.connection(), &database.exclude_tables).await?;
    let may = match (rights.superuser, rights.creates_databases) {
        (true, _) => "a superuser",
        (false, true) => "who may create databases, but not read passwords of roles",
        (false, false) => "who may not create databases, as a restore must",
    };
    Ok(format!(
        "server {}, pg_dump {}, format {}, user {} ({may})",
        prepared.server().version,
        reach.tools.version().text,
        database.dump_format().as_str(),
        rights.user,
    ))
}
