//! Containers that see the files which are about to be replaced.
//!
//! A bind mount stays with the directory that it was made of, wherever that is renamed to. So
//! a container that goes on running would write into, or read from, what is kept aside. One
//! that only reads and mounts a directory further above finds the new files by their name.

use super::tree_swap::TreeSwap;
use crate::backup::{Place, Source};
use crate::docker::{Container, Docker, Mounter, RunState};
use crate::error::{Code, Error, Result};
use std::path::Path;

/// Where files are, as a container may mount them.
enum Ground<'a> {
    Directory(&'a Path),
    Volume(&'a str),
}

/// Refuses to replace `trees` while a container that is not among `held` would go on with the
/// replaced files. Docker is asked where it answers, also when the config does not need it.
///
/// # Errors
/// `container_not_held`, naming the container.
pub(super) async fn refuse(
    docker: Option<&Docker>,
    trees: impl Iterator<Item = &Source>,
    held: &[Container],
) -> Result<()> {
    let Some(docker) = &reachable(docker).await else { return Ok(()) };
    for source in trees {
        let ground = match &source.place {
            Place::Directory(path) => Ground::Directory(path),
            Place::Container { volume, .. } => Ground::Volume(volume),
        };
        refuse_at(docker, &source.tree.name, &ground, held).await?;
    }
    Ok(())
}

/// The same for trees that a restore has recorded.
pub(super) async fn refuse_recorded(
    docker: Option<&Docker>,
    trees: &[TreeSwap],
    held: &[Container],
) -> Result<()> {
    if trees.is_empty() {
        return Ok(());
    }
    let Some(docker) = &reachable(docker).await else { return Ok(()) };
    for tree in trees {
        let ground = match &tree.volume {
            Some(place) => Ground::Volume(&place.volume),
            None => Ground::Directory(&tree.live),
        };
        refuse_at(docker, &tree.component, &ground, held).await?;
    }
    Ok(())
}

async fn reachable(docker: Option<&Docker>) -> Option<Docker> {
    match docker {
        Some(docker) => Some(docker.clone()),
        None => Docker::connect().await.ok(),
    }
}

async fn refuse_at(
    docker: &Docker,
    component: &str,
    ground: &Ground<'_>,
    held: &[Container],
) -> Result<()> {
    let mounters = match ground {
        Ground::Directory(path) => docker.mounters_at(path).await?,
        Ground::Volume(volume) => docker.mounters(volume).await?,
    };
    for mounter in mounters.iter().filter(|mounter| stays_behind(mounter)) {
        let is_held = held.iter().any(|container| container.id == mounter.id);
        let (is, help) = match mounter.state {
            RunState::Running if is_held => continue,
            RunState::Running => (
                "runs and is not held",
                "select it in [[containers]], so that it is stopped and started, or stop it",
            ),
            _ => ("is paused", "unpause or stop it first"),
        };
        let cause = format!(
            "container {} {is}, and would stay with the replaced files at {}",
            mounter.name,
            mounter.destination.display()
        );
        return Err(Error::new(Code::ContainerNotHeld, "replace files", component)
            .cause(cause)
            .hint(format!("{help}; or restore beside it with --to DIR")));
    }
    Ok(())
}

/// Whether a container would go on with files that are not live any more. One that starts
/// later looks for its directories anew.
fn stays_behind(mounter: &Mounter) -> bool {
    mounter.state != RunState::Stopped && (mounter.writable || !mounter.from_above)
}
