//! Which containers are held: all that the config selects, but for those that serve its
//! databases. A stopped server could not be asked for a snapshot.

use crate::config::{ContainerSelection, Database, Quiesce};
use crate::database::{Surroundings, Target};
use crate::docker::{Container, Docker};
use crate::error::{Code, Result};
use crate::progress::Silent;
use crate::setting::Setting;
use std::collections::BTreeSet;

/// The containers that a config selects.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// All of them, running or not; their definitions are recorded.
    pub(crate) all: Vec<Container>,
    /// Those that are held while they run: they serve none of the databases.
    pub(crate) writers: Vec<Container>,
}

impl Selected {
    /// Asks Docker what the config selects. What fits nothing is a warning; a database's
    /// own container that was selected too is left running, with a note.
    ///
    /// # Errors
    /// Those of [`Docker::select`].
    pub(crate) async fn find(setting: &Setting, docker: Option<&Docker>) -> Result<Self> {
        Self::among(&setting.config.containers, setting, docker).await
    }

    /// The same, with every container to be stopped, whatever the config says: one that is
    /// only paused keeps what it has mounted.
    ///
    /// # Errors
    /// Those of [`Docker::select`].
    pub(crate) async fn find_to_stop(setting: &Setting, docker: Option<&Docker>) -> Result<Self> {
        let stop = |selection: &ContainerSelection| ContainerSelection {
            quiesce: Quiesce::Stop,
            ..selection.clone()
        };
        let selections: Vec<_> = setting.config.containers.iter().map(stop).collect();
        Self::among(&selections, setting, docker).await
    }

    async fn among(
        selections: &[ContainerSelection],
        setting: &Setting,
        docker: Option<&Docker>,
    ) -> Result<Self> {
        let Some(docker) = docker else { return Ok(Self::default()) };
        let selected = docker.select(selections).await?;
        for unfit in &selected.unfit {
            setting.progress.warn(unfit.code(), unfit.to_string());
        }
        let mut serving = BTreeSet::new();
        for database in &setting.config.databases {
            serving.extend(servers_of(database, docker).await?);
        }
        let serving = with_needs(serving, &selected.containers);
        let is_writer = |container: &Container| !serving.contains(&container.id);
        for left in selected.containers.iter().filter(|container| !is_writer(container)) {
            if left.is_running() {
                let name = &left.name;
                setting.progress.note(format!("{name} serves a database: it is not held"));
            }
        }
        let mut writers: Vec<Container> =
            selected.containers.iter().filter(|c| is_writer(c)).cloned().collect();
        for writer in &mut writers {
            writer.depends_on.retain(|needed| !serving.contains(&needed.id));
        }
        Ok(Self { all: selected.containers, writers })
    }
}

/// The containers through which a database is reached: the one that the config names, else
/// those at the address and port of the url.
async fn servers_of(database: &Database, docker: &Docker) -> Result<Vec<String>> {
    if let Some(container) = &database.container {
        return match docker.id_of(container).await {
            Ok(id) => Ok(vec![id]),
            // Whoever wants to reach the database says so.
            Err(e) if e.code() == Code::ContainerNotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        };
    }
    // A url that cannot be resolved leads to no container; who needs it says what is wrong.
    match Target::resolve(database, &Surroundings::of_process(), &Silent) {
        Ok(target) => docker.answering_at(&target.addresses().await, target.port()).await,
        Err(_) => Ok(Vec::new()),
    }
}

/// What serves a database needs its own dependencies, such as the server behind a pooler.
fn with_needs(mut serving: BTreeSet<String>, containers: &[Container]) -> BTreeSet<String> {
    let needed: Vec<String> = containers
        .iter()
        .filter(|container| serving.contains(&container.id))
        .flat_map(|container| container.depends_on.iter().map(|needed| needed.id.clone()))
        .collect();
    serving.extend(needed);
    serving
}
