//! Finding the containers that a config selects.

use super::answers::Endpoints;
use super::{Container, Dependency, Docker, Mount, RunState, compose, failed, helper};
use crate::config::{ContainerSelection, Quiesce, Selector};
use crate::error::{Code, Error, Result};
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, MountPoint};
use bollard::query_parameters::ListContainersOptionsBuilder;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What a config selects.
#[derive(Debug, Default)]
pub struct Selection {
    /// The containers, running or not, each once, in the order of the config.
    pub containers: Vec<Container>,
    /// One error for each selection that no container fits.
    pub unfit: Vec<Error>,
}

impl Docker {
    /// The containers that fit any of `selections`. Where several fit one container,
    /// the first decides how it is held.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`] when the container of a `name=` does not exist (a label
    /// or a compose project that fits nothing is in [`Selection::unfit`]); [`Code::DockerFailed`] for a
    /// running container that Docker would delete when it is stopped (`--rm`);
    /// [`Code::DockerUnreachable`].
    pub async fn select(&self, selections: &[ContainerSelection]) -> Result<Selection> {
        let everything = self.list().await?;
        let mut selected = Selection::default();
        let mut seen = BTreeSet::new();
        for selection in selections {
            let mut fits = everything.iter().filter(|c| c.fits(&selection.select)).peekable();
            if fits.peek().is_none() {
                let missing = nothing_fits(&selection.select);
                match selection.select {
                    Selector::Name(_) => return Err(missing),
                    Selector::Label(_) | Selector::Compose(_) => selected.unfit.push(missing),
                }
            }
            for found in fits.filter(|c| seen.insert(c.id.clone())) {
                selected.containers.push(found.selected_by(selection));
            }
        }
        for container in &mut selected.containers {
            container.depends_on = dependencies(&container.id, &everything, &seen);
            self.refuse_vanishing(container).await?;
        }
        Ok(selected)
    }

    /// Stopping a container that was started with `--rm` deletes it.
    async fn refuse_vanishing(&self, container: &Container) -> Result<()> {
        if !container.is_running() || container.quiesce != Quiesce::Stop {
            return Ok(());
        }
        let inspected = self
            .client
            .inspect_container(&container.id, None)
            .await
            .map_err(|e| failed("inspect container", &container.name, e))?;
        match inspected.host_config.and_then(|h| h.auto_remove) {
            Some(true) => Err(Error::new(Code::DockerFailed, "hold container", &container.name)
                .cause("it was started with --rm, so stopping would delete it")
                .hint(
                    "create it without --rm; for backups alone, select it with quiesce = \"pause\"",
                )),
            _ => Ok(()),
        }
    }

    /// The other containers of the compose projects of `selected`, and those of these names: what
    /// belongs to the application and is not held. What is run once is left out.
    ///
    /// # Errors
    /// [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn neighbours(
        &self,
        selected: &[Container],
        names: &[&str],
    ) -> Result<Vec<Container>> {
        let everything = self.list().await?;
        let projects: BTreeSet<&str> =
            selected.iter().filter_map(|it| compose::project(&it.labels)).collect();
        let near = |it: &&Listed| {
            let near = compose::project(&it.labels).is_some_and(|it| projects.contains(it))
                && !compose::is_run_once(&it.labels);
            (near || names.contains(&it.name.as_str()))
                && selected.iter().all(|known| known.id != it.id)
        };
        let of = |it: &Listed| ContainerSelection::of(Selector::Name(it.name.clone()));
        Ok(everything.iter().filter(near).map(|it| it.selected_by(&of(it))).collect())
    }

    pub(super) async fn list(&self) -> Result<Vec<Listed>> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let list = self
            .client
            .list_containers(Some(options))
            .await
            .map_err(|e| failed("list the containers of", "Docker", e))?;
        let listed = list.into_iter().filter_map(Listed::new);
        Ok(listed.filter(|c| !c.labels.contains_key(helper::LABEL)).collect())
    }
}

fn nothing_fits(selector: &Selector) -> Error {
    let hint = match selector {
        Selector::Label(label) => format!(
            "give the containers that write the label {label}; \
             `docker ps -a --format '{{{{.Names}}}} {{{{.Labels}}}}'` shows the labels there are"
        ),
        Selector::Name(_) => {
            "`docker ps -a --format '{{.Names}}'` shows the names there are".into()
        }
        Selector::Compose(_) => "`docker compose ls -a` shows the projects there are".into(),
    };
    Error::new(Code::ContainerNotFound, "find a container with", selector)
        .cause("there is none, running or not")
        .hint(hint)
}

/// A container as the list shows it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: RunState,
    pub(super) mounts: Vec<Mount>,
    pub(super) endpoints: Endpoints,
    pub(super) image_id: String,
    image: String,
    labels: BTreeMap<String, String>,
    network_mode: String,
}

impl Listed {
    fn new(summary: ContainerSummary) -> Option<Self> {
        let endpoints = Endpoints::of(&summary);
        let id = summary.id?;
        // Links add names such as `/web/db`; the container's own has one slash.
        let names = summary.names.unwrap_or_default();
        let own = names.iter().filter_map(|n| n.strip_prefix('/')).find(|n| !n.contains('/'));
        Some(Self {
            name: own.unwrap_or(&id).to_string(),
            state: match summary.state {
                Some(
                    ContainerSummaryStateEnum::RUNNING
                    | ContainerSummaryStateEnum::RESTARTING
                    | ContainerSummaryStateEnum::STOPPING,
                ) => RunState::Running,
                Some(ContainerSummaryStateEnum::PAUSED) => RunState::Paused,
                _ => RunState::Stopped,
            },
            mounts: summary.mounts.unwrap_or_default().into_iter().filter_map(mount).collect(),
            endpoints,
            image_id: summary.image_id.unwrap_or_default(),
            image: summary.image.unwrap_or_default(),
            labels: summary.labels.unwrap_or_default().into_iter().collect(),
            network_mode: summary.host_config.and_then(|h| h.network_mode).unwrap_or_default(),
            id,
        })
    }

    fn fits(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Name(name) => self.name == *name,
            Selector::Compose(project) => compose::project(&self.labels) == Some(project),
            Selector::Label(label) => match label.split_once('=') {
                Some((key, value)) => self.labels.get(key).is_some_and(|v| v == value),
                None => self.labels.contains_key(label),
            },
        }
    }

    fn selected_by(&self, selection: &ContainerSelection) -> Container {
        Container {
            id: self.id.clone(),
            name: self.name.clone(),
            image: self.image.clone(),
            state: self.state,
            labels: self.labels.clone(),
            mounts: self.mounts.clone(),
            quiesce: selection.quiesce,
            stop_timeout: selection.stop_timeout.duration(),
            health_timeout: selection.health_timeout.duration(),
            depends_on: Vec::new(),
        }
    }

    /// The containers that must run before this one.
    fn needs(&self, everything: &[Listed]) -> Vec<Dependency> {
        let mut needs = Vec::new();
        for need in compose::needs(&self.labels) {
            let same_project = |c: &&Listed| {
                compose::project(&c.labels) == compose::project(&self.labels)
                    && compose::service(&c.labels) == Some(&need.service)
            };
            needs.extend(
                everything
                    .iter()
                    .filter(same_project)
                    .map(|c| Dependency { id: c.id.clone(), healthy: need.healthy }),
            );
        }
        // `--network container:ID` cannot start before that container.
        if let Some(id) = self.network_mode.strip_prefix("container:") {
            needs.push(Dependency { id: id.to_string(), healthy: false });
        }
        needs
    }
}

fn mount(point: MountPoint) -> Option<Mount> {
    Some(Mount {
        volume: point.name.filter(|name| !name.is_empty()),
        source: PathBuf::from(point.source.unwrap_or_default()),
        destination: PathBuf::from(point.destination?),
        writable: point.rw.unwrap_or(true),
    })
}

/// The selected containers that `id` needs, also through ones that are not selected.
fn dependencies(id: &str, everything: &[Listed], selected: &BTreeSet<String>) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut seen = BTreeSet::from([id.to_string()]);
    let mut open = vec![id.to_string()];
    while let Some(at) = open.pop() {
        let Some(container) = everything.iter().find(|c| c.id == at) else { continue };
        for need in container.needs(everything) {
            if !seen.insert(need.id.clone()) {
                continue;
            }
            if selected.contains(&need.id) {
                found.push(need);
            } else {
                open.push(need.id);
            }
        }
    }
    found
}
