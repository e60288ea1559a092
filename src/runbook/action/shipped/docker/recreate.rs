//! `docker.recreate`: containers become again what a backup recorded.

use crate::backup::{self, Wish, open_repository};
use crate::config::{ContainerSelection, Selector};
use crate::docker::{Container, Docker};
use crate::error::{Code, Error, Result};
use crate::restore::{RecordedContainer, recorded_containers};
use crate::runbook::action::shipped::{logged::logged, outputs};
use crate::runbook::action::{Action, Outputs, Point, Scope};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a container that is replaced may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

pub(in crate::runbook) struct DockerRecreate;

/// Whose containers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The backup: a unique prefix of its id, its name, or `latest`.
    backup: String,
}

/// The id of a backup, and its containers.
///
/// # Errors
/// What finding and reading the backup says.
pub(super) async fn recorded(
    wanted: &str,
    scope: &Scope,
) -> Result<(String, Vec<RecordedContainer>)> {
    let wish = Wish { backup: wanted.to_owned(), ..Wish::default() };
    let record = backup::choose(&logged(scope), &wish).await?;
    let (setting, name) = (scope.setting.part(), record.name.clone());
    let read = scope
        .setting
        .blocking(move || recorded_containers(&open_repository(&setting)?.backup(&name)?));
    Ok((record.id.to_string(), read.await?))
}

/// The names of those that ran and fit.
pub(super) fn ran(
    containers: &[RecordedContainer],
    fits: impl Fn(&RecordedContainer) -> bool,
) -> Vec<&str> {
    let ran = containers.iter().filter(|it| it.detail.was_running && fits(it));
    ran.map(|it| it.blueprint.name()).collect()
}

/// Refuses before anything is removed where an image is not there any more.
async fn require_images(docker: &Docker, containers: &[RecordedContainer]) -> Result<()> {
    for RecordedContainer { blueprint, detail, .. } in containers {
        if !docker.has_image(blueprint.image()).await? {
            return Err(Error::new(Code::DockerFailed, "make container", blueprint.name())
                .cause(format!(
                    "its image {}, {}, is not in the local store",
                    detail.image,
                    blueprint.image()
                ))
                .hint("load it with `docker pull` or `docker load`"));
        }
    }
    Ok(())
}

/// Stops the containers of the same compose projects that the backup does not know: what an
/// upgrade added must not write into what becomes live.
async fn stop_strangers(
    docker: &Docker,
    containers: &[RecordedContainer],
    scope: &Scope,
) -> Result<Vec<String>> {
    let projects: BTreeSet<&String> =
        containers.iter().filter_map(|it| it.detail.compose_project.as_ref()).collect();
    let select = |it: &&String| ContainerSelection::of(Selector::Compose(String::clone(it)));
    let all = docker.select(&projects.iter().map(select).collect::<Vec<_>>()).await?;
    let known = |it: &Container| containers.iter().any(|one| one.blueprint.name() == it.name);
    let mut stopped = Vec::new();
    for stranger in all.containers.iter().filter(|it| !known(it)) {
        docker.retire(&stranger.id, stranger.stop_timeout).await?;
        let said = format!("container {} is not in the backup; it stays, stopped", stranger.name);
        scope.log.line(&said);
        scope.setting.progress.warn(Code::ContainerNotHeld, said);
        scope.reach(Point::MidEffect);
        stopped.push(stranger.name.clone());
    }
    Ok(stopped)
}

async fn make_surroundings(docker: &Docker, it: &RecordedContainer, scope: &Scope) -> Result<()> {
    let name = |definition: &Value| definition["Name"].as_str().unwrap_or_default().to_owned();
    for network in &it.networks {
        if docker.make_network(network).await? {
            scope.log.line(&format!("network {} is made", name(network)));
        }
    }
    for volume in &it.volumes {
        if docker.make_volume(volume).await? {
            scope.log.line(&format!("volume {} is made, empty", name(volume)));
        }
    }
    Ok(())
}

impl Action for DockerRecreate {
    type With = With;
    const NAME: &'static str = "docker.recreate";
    const ABOUT: &'static str = "Makes the containers of a backup again, with the images, networks \
                                 and volumes that they had, and stops others of their projects.";
    const OUTPUTS: &'static [&'static str] =
        &["containers", "made", "running", "servers", "others"];
    const IDEMPOTENT: bool = true;

    fn check(with: &With) -> Result<(), String> {
        match with.backup.trim().is_empty() {
            true => Err("`backup` is empty".into()),
            false => Ok(()),
        }
    }

    fn plan(&self, with: &With) -> String {
        format!("make the containers of backup {} as they were, where they differ", with.backup)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let docker = Docker::connect().await?;
        let (_, containers) = recorded(&with.backup, scope).await?;
        require_images(&docker, &containers).await?;
        let others = stop_strangers(&docker, &containers, scope).await?;
        let mut made = Vec::new();
        for container in &containers {
            let blueprint = &container.blueprint;
            let name = blueprint.name();
            make_surroundings(&docker, container, scope).await?;
            if let Some(image) = blueprint.image_name()
                && docker.give_name_back(blueprint.image(), image).await?
            {
                scope.log.line(&format!("{image} is {} again", blueprint.image()));
            }
            let Some(why) = docker.difference(blueprint).await? else { continue };
            scope.log.line(&format!("{name}: {why}; it is made again"));
            scope.unless_cancelled(docker.make_again(blueprint, STOP_TIMEOUT)).await?;
            scope.reach(Point::MidEffect);
            made.push(name);
        }
        let names: Vec<&str> = containers.iter().map(|it| it.blueprint.name()).collect();
        Ok(outputs([
            ("containers", json!(names)),
            ("others", json!(others)),
            ("made", json!(made)),
            ("running", json!(ran(&containers, |it| it.detail.selected))),
            ("servers", json!(ran(&containers, |it| !it.detail.selected))),
        ]))
    }
}
