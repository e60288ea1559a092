//! `docker.recreate`: containers become again what a backup recorded.

use crate::backup::{self, Wish, open_repository};
use crate::docker::Docker;
use crate::error::{Code, Error, Result};
use crate::restore::{RecordedContainer, recorded_containers};
use crate::runbook::action::shipped::{logged::logged, outputs};
use crate::runbook::action::{Action, Outputs, Point, Scope};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

pub(in crate::runbook) struct DockerRecreate;

/// Whose containers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The backup: a unique prefix of its id, its name, or `latest`.
    backup: String,
}

/// The containers of a backup.
///
/// # Errors
/// What finding and reading the backup says.
pub(super) async fn recorded(wanted: &str, scope: &Scope) -> Result<Vec<RecordedContainer>> {
    let wish = Wish { backup: wanted.to_owned(), ..Wish::default() };
    let record = backup::choose(&logged(scope), &wish).await?;
    let setting = scope.setting.part();
    let read = scope
        .setting
        .blocking(move || recorded_containers(&open_repository(&setting)?.backup(&record.name)?));
    read.await
}

/// Refuses before anything is removed where an image is not there any more.
async fn require_images(docker: &Docker, containers: &[RecordedContainer]) -> Result<()> {
    for RecordedContainer { blueprint, image, .. } in containers {
        if !docker.has_image(blueprint.image()).await? {
            return Err(Error::new(Code::DockerFailed, "make container", blueprint.name())
                .cause(format!(
                    "its image {image}, {}, is not in the local store",
                    blueprint.image()
                ))
                .hint("load it with `docker pull` or `docker load`"));
        }
    }
    Ok(())
}

impl Action for DockerRecreate {
    type With = With;
    const NAME: &'static str = "docker.recreate";
    const ABOUT: &'static str =
        "Makes the containers of a backup again, with the images that they had.";
    const OUTPUTS: &'static [&'static str] = &["containers", "made", "running"];
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
        let containers = recorded(&with.backup, scope).await?;
        require_images(&docker, &containers).await?;
        let mut made = Vec::new();
        for RecordedContainer { blueprint, .. } in &containers {
            let name = blueprint.name();
            let Some(why) = docker.difference(blueprint).await? else { continue };
            scope.log.line(&format!("{name}: {why}; it is made again"));
            scope.unless_cancelled(docker.make_again(blueprint)).await?;
            scope.reach(Point::MidEffect);
            made.push(name);
        }
        let names: Vec<&str> = containers.iter().map(|it| it.blueprint.name()).collect();
        let running = containers.iter().filter(|it| it.was_running);
        let running: Vec<&str> = running.map(|it| it.blueprint.name()).collect();
        Ok(outputs([
            ("containers", json!(names)),
            ("made", json!(made)),
            ("running", json!(running)),
        ]))
    }
}
