//! How much of what the config names is there, found out in milliseconds where all is well.
//!
//! Everything is asked at once, and nothing is waited for longer than its deadline: a database
//! that swallows connections and a mount whose server is gone count as not there.

mod places;
mod stack;

use super::{Request, Selection};
use crate::config::{Config, Copy};
use crate::error::{Error, Result};
use crate::repository::manifest::{Lacking, Readiness, ReadinessLevel};
use crate::setting::Setting;
use futures_util::future::join_all;
use std::fmt;
use std::time::Duration;

/// How long a database, Docker or a store may take to answer.
const NETWORK_LIMIT: Duration = Duration::from_secs(5);

/// A part of what the config names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The config itself.
    Config,
    /// The state directory.
    State,
    /// The repository.
    Repository,
    /// The Docker daemon.
    Docker,
    /// The containers of a selection, by its place in the config.
    Containers {
        /// From 0.
        index: usize,
        /// The selection as it is written.
        select: String,
    },
    /// A database, by its name.
    Database(String),
    /// A file tree, by its name.
    Files(String),
    /// A copy of the repository, by its name.
    Copy(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config => f.write_str("config"),
            Self::State => f.write_str("state directory"),
            Self::Repository => f.write_str("repository"),
            Self::Docker => f.write_str("docker"),
            Self::Containers { select, .. } => write!(f, "containers {select}"),
            Self::Database(name) => write!(f, "database {name}"),
            Self::Files(name) => write!(f, "files {name}"),
            Self::Copy(name) => write!(f, "copy {name}"),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    disabled: bool,
    lacking: Vec<(Part, Error)>,
}

impl Found {
    /// That not even the config can be used.
    pub fn without_config(error: Error) -> Self {
        Self { disabled: false, lacking: vec![(Part::Config, error)] }
    }

    /// That backups are turned off.
    pub fn disabled() -> Self {
        Self { disabled: true, lacking: Vec::new() }
    }

    /// The level.
    pub fn level(&self) -> ReadinessLevel {
        let is_copy = |(part, _): &(Part, Error)| matches!(part, Part::Copy(_));
        match (self.disabled, self.lacking.is_empty()) {
            (true, _) => ReadinessLevel::Disabled,
            (_, true) => ReadinessLevel::Full,
            _ if self.lacking.iter().all(is_copy) => ReadinessLevel::LocalOnly,
            _ => ReadinessLevel::NotReady,
        }
    }

    /// The same as the manifest records it.
    pub fn record(&self) -> Readiness {
        let lacking = |(part, error): &(Part, Error)| Lacking::new(part.to_string(), error);
        Readiness { level: self.level(), lacking: self.lacking.iter().map(lacking).collect() }
    }

    fn lacks(&self, wanted: &Part) -> bool {
        self.lacking.iter().any(|(part, _)| part == wanted)
    }

    /// What can be taken of the stack; none where there is nowhere to put it, or nothing to take.
    pub fn takeable(&self, config: &Config) -> Option<Selection> {
        let nowhere = [Part::Config, Part::State, Part::Repository];
        if self.disabled || nowhere.iter().any(|part| self.lacks(part)) {
            return None;
        }
        let is_there = |part: &Part| !self.lacks(part);
        let databases = config.databases.iter().map(|it| Part::Database(it.name.clone()));
        let files = config.files.iter().map(|it| Part::Files(it.name.clone()));
        let parts: Vec<Part> = databases.chain(files).collect();
        if parts.iter().all(is_there) {
            return Some(Selection::default());
        }
        let names = parts.into_iter().filter(is_there).map(|part| match part {
            Part::Database(name) | Part::Files(name) => name,
            other => other.to_string(),
        });
        let names: Vec<String> = names.collect();
        (!names.is_empty()).then(|| Selection::new(names))
    }

    /// The config without selections of containers that are not there: nothing of theirs can be
    /// held, or be recorded.
    pub fn narrowed(&self, config: &Config) -> Config {
        let mut narrowed = config.clone();
        if self.lacks(&Part::Docker) {
            narrowed.containers.clear();
        }
        let lacks = |at: usize| {
            let is_it =
                |part: &Part| matches!(part, Part::Containers { index, .. } if *index == at);
            self.lacking.iter().any(|(part, _)| is_it(part))
        };
        let mut at = 0..;
        narrowed.containers.retain(|_| at.next().is_none_or(|at| !lacks(at)));
        narrowed
    }

    /// The names of the copies that can be reached.
    pub fn reachable_copies(&self, config: &Config) -> Vec<String> {
        let is_there = |copy: &&Copy| !self.lacks(&Part::Copy(copy.name.clone()));
        config.repository.copies.iter().filter(is_there).map(|copy| copy.name.clone()).collect()
    }
}

/// Looks at everything that the config names. Nothing is touched, and nothing is created.
pub async fn find(setting: &Setting) -> Found {
    if !setting.config.enabled {
        return Found::disabled();
    }
    let (state, repository, stack, copies) = tokio::join!(
        places::state(setting),
        places::repository(setting),
        stack::look(setting),
        copies(setting),
    );
    let own = [(Part::State, state), (Part::Repository, repository)];
    let own = own.into_iter().filter_map(|(part, found)| Some((part, found.err()?)));
    Found { disabled: false, lacking: own.chain(stack).chain(copies).collect() }
}

/// What a backup records: all that it takes is there, or it fails; the copies may not be.
pub(super) async fn for_backup(setting: &Setting, request: &Request) -> Readiness {
    match &request.readiness {
        Some(known) => known.clone(),
        None => Found { disabled: false, lacking: copies(setting).await }.record(),
    }
}

async fn copies(setting: &Setting) -> Vec<(Part, Error)> {
    let looks = setting.config.repository.copies.iter().map(async |copy| {
        let error = places::copy(setting, copy).await.err()?;
        Some((Part::Copy(copy.name.clone()), error))
    });
    join_all(looks).await.into_iter().flatten().collect()
}

/// A failure of `part`, where `found` is one.
fn lacking<T>(part: Part, found: Result<T>) -> Option<(Part, Error)> {
    Some((part, found.err()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn lacking(parts: &[Part]) -> Found {
        let error = || Error::new(Code::Io, "reach", "it");
        let lacking = parts.iter().map(|part| (part.clone(), error())).collect();
        Found { disabled: false, lacking }
    }

    fn config() -> Config {
        let mut variables = std::collections::BTreeMap::new();
        for (name, value) in [
            ("BACKSTOP_STACK__NAME", "shop"),
            ("BACKSTOP_REPOSITORY__PATH", "/r"),
            ("BACKSTOP_DATABASES__0__NAME", "shop"),
            ("BACKSTOP_DATABASES__0__URL", "postgres://a@b/c"),
            ("BACKSTOP_FILES__0__NAME", "uploads"),
            ("BACKSTOP_FILES__0__PATH", "/u"),
            ("BACKSTOP_CONTAINERS__0__SELECT", "name=one"),
            ("BACKSTOP_CONTAINERS__1__SELECT", "name=two"),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        let (directory, system_directory) = ("/none".into(), "/none".into());
        let environment = crate::config::Environment { variables, directory, system_directory };
        Config::load_from(None, &environment).unwrap().config
    }

    #[test]
    fn the_level_says_how_far_what_is_lacking_lets_backups_go() {
        let (copy, files) = (Part::Copy("offsite".into()), Part::Files("uploads".into()));
        assert_eq!(lacking(&[]).level(), ReadinessLevel::Full);
        assert_eq!(lacking(std::slice::from_ref(&copy)).level(), ReadinessLevel::LocalOnly);
        assert_eq!(lacking(&[copy, files]).level(), ReadinessLevel::NotReady);
        assert_eq!(Found::disabled().level(), ReadinessLevel::Disabled);
    }

    #[test]
    fn what_is_there_is_taken_where_there_is_a_place_for_it() {
        let config = config();
        let (shop, uploads) = (Part::Database("shop".into()), Part::Files("uploads".into()));
        let taken = |parts: &[Part]| lacking(parts).takeable(&config);
        assert_eq!(taken(&[]), Some(Selection::default()));
        assert_eq!(taken(&[Part::Docker]), Some(Selection::default()));
        let files = Selection::new(vec!["uploads".into()]);
        assert_eq!(taken(std::slice::from_ref(&shop)), Some(files.clone()));
        assert_eq!(files.omitted(&config), ["shop"]);
        assert_eq!(taken(&[shop, uploads]), None);
        assert_eq!(taken(&[Part::Repository]), None);
        assert_eq!(Found::disabled().takeable(&config), None);
    }

    #[test]
    fn selections_of_containers_that_are_not_there_are_left_out() {
        let (config, select) = (config(), "name=one".to_owned());
        let one = lacking(&[Part::Containers { index: 0, select }]).narrowed(&config);
        assert_eq!(one.containers.len(), 1);
        assert_eq!(one.containers[0].select, config.containers[1].select);
        assert!(lacking(&[Part::Docker]).narrowed(&config).containers.is_empty());
    }
}
