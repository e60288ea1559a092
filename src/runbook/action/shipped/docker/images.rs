//! `docker.hold_images` and `docker.release_images`: the images of a backup's containers stay.

use super::recreate::{ran, recorded};
use crate::docker::Docker;
use crate::error::Result;
use crate::restore::RecordedContainer;
use crate::runbook::action::shipped::outputs;
use crate::runbook::action::{Action, Outputs, Point, Scope};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;

/// The repository of the names that hold images.
const REPOSITORY: &str = "backstop-held";
/// How much of an id stands in a tag.
const SHORT_ID: usize = 12;

pub(in crate::runbook) struct HoldImages;
pub(in crate::runbook) struct ReleaseImages;

/// Whose images.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The backup: a unique prefix of its id, its name, or `latest`.
    backup: String,
}

fn check(with: &With) -> Result<(), String> {
    match with.backup.trim().is_empty() {
        true => Err("`backup` is empty".into()),
        false => Ok(()),
    }
}

/// The tag of an image whose id is `sha256:…`, for a backup: several may hold the same image.
fn tag(image: &str, backup: &str) -> String {
    let digits = image.split_once(':').map_or(image, |(_, digits)| digits);
    let short = |id: &str| id.get(..SHORT_ID).unwrap_or(id).to_owned();
    format!("{}-{}", short(digits), short(backup))
}

fn images(containers: &[RecordedContainer]) -> BTreeSet<&str> {
    containers.iter().map(|it| it.blueprint.image()).collect()
}

impl Action for HoldImages {
    type With = With;
    const NAME: &'static str = "docker.hold_images";
    const ABOUT: &'static str = "Gives the images of a backup's containers a name, so that no `docker image prune` takes them.";
    const OUTPUTS: &'static [&'static str] = &["images", "running"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn check(with: &With) -> Result<(), String> {
        check(with)
    }

    fn plan(&self, with: &With) -> String {
        format!("hold the images of the containers of backup {}", with.backup)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let (backup, containers) = recorded(&with.backup, scope).await?;
        let images = images(&containers);
        let running = ran(&containers, |_| true);
        if containers.is_empty() {
            return Ok(outputs([("images", json!(images)), ("running", json!(running))]));
        }
        let docker = Docker::connect().await?;
        for image in &images {
            let held = docker.tag_image(image, REPOSITORY, &tag(image, &backup)).await;
            held.map_err(|e| e.hint("bring it back with `docker pull` or `docker load`"))?;
            scope.log.line(&format!("{REPOSITORY}:{} is {image}", tag(image, &backup)));
            scope.reach(Point::MidEffect);
        }
        Ok(outputs([("images", json!(images)), ("running", json!(running))]))
    }

    async fn undo(&self, with: &With, _: Option<&Outputs>, scope: &Scope) -> Result<()> {
        release(with, scope).await
    }
}

impl Action for ReleaseImages {
    type With = With;
    const NAME: &'static str = "docker.release_images";
    const ABOUT: &'static str = "Takes the names away by which images were held.";
    const IDEMPOTENT: bool = true;

    fn check(with: &With) -> Result<(), String> {
        check(with)
    }

    fn plan(&self, with: &With) -> String {
        format!("hold the images of backup {} no more", with.backup)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        release(with, scope).await.map(|()| Outputs::new())
    }
}

async fn release(with: &With, scope: &Scope) -> Result<()> {
    let (backup, containers) = recorded(&with.backup, scope).await?;
    if containers.is_empty() {
        return Ok(());
    }
    let docker = Docker::connect().await?;
    for image in images(&containers) {
        docker.untag_image(&format!("{REPOSITORY}:{}", tag(image, &backup))).await?;
        scope.reach(Point::MidEffect);
    }
    Ok(())
}
