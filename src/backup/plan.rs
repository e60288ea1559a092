//! Preflight: everything a backup needs is found and checked before anything is touched.

use super::reach::Reach;
use super::sources::Source;
use super::writers::Selected;
use super::{Request, Selection, space};
use crate::archive::scan::{Excludes, total};
use crate::catalog::Catalog;
use crate::config::{Config, Database, FileTree, Quiesce};
use crate::database::{Description, Prepared, describe};
use crate::docker::{Container, Docker};
use crate::error::{Code, Error, Result};
use crate::repository::Repository;
use crate::repository::manifest::Kind;
use crate::setting::Setting;
use crate::size::bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// A backup that may begin.
pub(super) struct Plan {
    /// Docker, where the config needs it.
    pub(super) docker: Option<Docker>,
    /// The selected containers, running or not.
    pub(super) containers: Selected,
    /// The databases, with open connections.
    pub(super) databases: Vec<PlannedDatabase>,
    /// The file trees.
    pub(super) sources: Vec<PlannedSource>,
}

/// A database whose connections are open.
pub(super) struct PlannedDatabase {
    pub(super) reach: Reach,
    pub(super) prepared: Prepared,
    pub(super) description: Description,
}

/// A file tree and how much it holds.
pub(super) struct PlannedSource {
    pub(super) source: Source,
    pub(super) source_bytes: u64,
    pub(super) file_count: u64,
}

impl Plan {
    /// Finds and checks everything that `request` concerns.
    pub(super) async fn prepare(setting: &Setting, request: &Request) -> Result<Self> {
        let config = &setting.config;
        request.only.check_config(config)?;
        let docker = connect_for(setting, &request.only).await?;

        let mut sources = Vec::new();
        for tree in config.files.iter().filter(|tree| request.only.wants_files(&tree.name)) {
            let source = Source::locate(tree, docker.as_ref()).await?;
            source.refuse_own(config)?;
            sources.push(PlannedSource::measure(source, setting).await?);
        }
        let mut databases = Vec::new();
        for database in
            config.databases.iter().filter(|database| request.only.wants_database(&database.name))
        {
            let reach = Reach::find(setting, database, docker.as_ref(), None).await?;
            let prepared = reach.prepare().await?;
            let description = describe(prepared.connection()).await?;
            databases.push(PlannedDatabase { reach, prepared, description });
        }
        refuse_twins(&databases)?;
        let containers = Selected::find(setting, docker.as_ref()).await?;
        Ok(Self { docker, containers, databases, sources })
    }

    /// The containers that are held: those that run, where holding them proves anything.
    /// One database alone is one snapshot anyway.
    pub(super) fn held(&self) -> Vec<Container> {
        if self.sources.is_empty() && self.databases.len() <= 1 {
            return Vec::new();
        }
        let running = |container: &&Container| container.is_running();
        self.containers.writers.iter().filter(running).cloned().collect()
    }

    /// Bytes of all sources.
    pub(super) fn source_bytes(&self) -> u64 {
        self.sources.iter().map(|planned| planned.source_bytes).sum::<u64>()
            + self.databases.iter().map(|planned| planned.description.size).sum::<u64>()
    }

    /// What is expected to be stored, from the share of the newest backup of this kind.
    pub(super) fn expectation(&self, setting: &Setting, kind: Kind) -> Result<space::Expectation> {
        let session = Catalog::of(&setting.config).session(&setting.progress)?;
        let previous = session
            .list()?
            .into_iter()
            .filter(|record| record.is_published() && record.stack == setting.config.stack.name)
            .find(|record| record.kind == kind)
            .map(|record| (record.source_bytes, record.stored_bytes));
        Ok(space::expect(self.source_bytes(), previous))
    }

    /// Fails where the backup is not expected to fit into the repository.
    pub(super) fn check_space(
        &self,
        setting: &Setting,
        repository: &Repository,
        kind: Kind,
    ) -> Result<()> {
        let expected = self.expectation(setting, kind)?;
        space::require(repository.workspace(), expected.stored_bytes, "write a backup to")
            .map_err(|e| e.hint("free space, or choose another repository.path"))
    }

    /// What a person or program is shown of the plan.
    pub(super) fn summary(&self) -> Result<PlanSummary> {
        let sources = self.sources.iter().map(|planned| PlannedPart {
            name: planned.source.tree.name.clone(),
            source_bytes: planned.source_bytes,
        });
        let databases = self.databases.iter().map(|planned| PlannedPart {
            name: planned.reach.config.name.clone(),
            source_bytes: planned.description.size,
        });
        let held = self.held();
        Ok(PlanSummary {
            databases: databases.collect(),
            files: sources.collect(),
            held: held
                .into_iter()
                .map(|container| HeldContainer {
                    container: container.name,
                    quiesce: container.quiesce,
                })
                .collect(),
        })
    }
}

impl PlannedSource {
    async fn measure(source: Source, setting: &Setting) -> Result<Self> {
        source.check_readable()?;
        let super::sources::Place::Directory(root) = source.place.clone() else {
            return Ok(Self { source, source_bytes: 0, file_count: 0 });
        };
        let (exclude, cancel) = (source.tree.exclude.clone(), setting.cancel.clone());
        let totals =
            setting.blocking(move || total(&root, Excludes::new(&exclude)?, &cancel)).await?;
        Ok(Self { source, source_bytes: totals.source_bytes, file_count: totals.file_count })
    }
}

/// Refuses one database under two names: it would be dumped twice, and a restore of both
/// would replace what it has just restored.
fn refuse_twins(databases: &[PlannedDatabase]) -> Result<()> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for planned in databases {
        let (identity, name) = (&planned.description.identity, &planned.reach.config.name);
        if let Some(other) = first.insert(identity, name) {
            return Err(Error::new(Code::ConfigInvalid, "plan backup of database", name)
                .cause(format!("it is the same database as {other}"))
                .hint("keep one of the two [[databases]] entries"));
        }
    }
    Ok(())
}

/// Docker, where containers, volumes or databases in containers are configured.
pub(crate) async fn connect_if_needed(setting: &Setting) -> Result<Option<Docker>> {
    connect_for(setting, &Selection::default()).await
}

/// The same for the parts of `only`.
async fn connect_for(setting: &Setting, only: &Selection) -> Result<Option<Docker>> {
    match needs_docker(&setting.config, only) {
        true => Docker::connect().await.map(Some),
        false => Ok(None),
    }
}

/// Whether a backup of the parts of `only` needs Docker.
pub(super) fn needs_docker(config: &Config, only: &Selection) -> bool {
    let is_volume = |tree: &FileTree| tree.volume.is_some() && only.wants_files(&tree.name);
    let is_inside = |it: &Database| it.container.is_some() && only.wants_database(&it.name);
    !config.containers.is_empty()
        || config.files.iter().any(is_volume)
        || config.databases.iter().any(is_inside)
}

/// What a backup would do.
#[derive(Debug, Clone, Serialize)]
pub struct PlanSummary {
    /// The databases that would be dumped.
    pub databases: Vec<PlannedPart>,
    /// The file trees that would be archived.
    pub files: Vec<PlannedPart>,
    /// The containers that would be held.
    pub held: Vec<HeldContainer>,
}

/// A component that would be backed up.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedPart {
    /// Its name.
    pub name: String,
    /// Its size at the source.
    pub source_bytes: u64,
}

/// A container that would be held.
#[derive(Debug, Clone, Serialize)]
pub struct HeldContainer {
    /// Its name.
    pub container: String,
    /// How.
    pub quiesce: Quiesce,
}

impl fmt::Display for PlanSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for held in &self.held {
            let how = match held.quiesce {
                Quiesce::Stop => "stop",
                Quiesce::Pause => "pause",
            };
            writeln!(f, "would {how} container {}", held.container)?;
        }
        for part in &self.databases {
            writeln!(f, "would dump database {} ({})", part.name, bytes(part.source_bytes))?;
        }
        for part in &self.files {
            writeln!(f, "would archive files {} ({})", part.name, bytes(part.source_bytes))?;
        }
        Ok(())
    }
}
