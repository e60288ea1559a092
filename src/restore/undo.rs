//! What a dead restore left: a swap that was cut short is turned back, and what was built
//! and never became live is removed.

use super::databases::configured;
use super::record::{RestoreRecord, Stage};
use super::swap::{Direction, turn};
use super::volume::{Action, discard, docker_for, perform};
use crate::backup::{Reach, connect_if_needed};
use crate::database::drop_database;
use crate::error::Result;
use crate::setting::Setting;

/// Puts the restore `key` right, whatever stage it died in. Does nothing where it ended.
pub(super) async fn undo(setting: &Setting, key: &str) -> Result<()> {
    let state_dir = &setting.config.state.dir;
    let mut restore = RestoreRecord::find(state_dir, key)?;
    let goal = match restore.stage {
        Stage::Swapping => restore.unswapped(),
        // What was written to the new state meanwhile is kept.
        Stage::Resuming | Stage::SwappingBack => Stage::RolledBack,
        Stage::Building
        | Stage::Built
        | Stage::Swapped
        | Stage::RolledBack
        | Stage::Abandoned
        | Stage::Purged => return Ok(()),
    };
    let reaches = reach_all(setting, &restore).await?;
    let reaches: Vec<&Reach> = reaches.iter().collect();
    let docker = docker_for(&restore).await?;
    // A dead restore's helper may still be at work.
    discard(docker.as_ref(), &restore).await?;
    turn(docker.as_ref(), &reaches, &restore, Direction::Back).await?;
    discard(docker.as_ref(), &restore).await?;
    restore.save(state_dir, goal)?;
    Ok(())
}

/// The servers of a restore's databases. The databases themselves need not exist.
pub(super) async fn reach_all(setting: &Setting, restore: &RestoreRecord) -> Result<Vec<Reach>> {
    let mut reaches = Vec::new();
    if restore.databases.is_empty() {
        return Ok(reaches);
    }
    let docker = connect_if_needed(setting).await?;
    for swap in &restore.databases {
        let database = configured(&setting.config, &swap.component)?;
        reaches.push(Reach::find(setting, database, docker.as_ref(), Some("postgres")).await?);
    }
    Ok(reaches)
}

/// Removes what was built for a restore that never became live.
pub(super) async fn remove_built(restore: &RestoreRecord, reaches: &[&Reach]) -> Result<()> {
    for swap in &restore.databases {
        if let Some(reach) = reaches.iter().find(|reach| reach.config.name == swap.component) {
            drop_database(&reach.target, &swap.new).await?;
        }
    }
    perform_on_all(restore, Action::RemoveNew).await
}

/// Removes everything that is not live: what was replaced, and what was rolled back.
pub(super) async fn remove_kept(restore: &RestoreRecord, reaches: &[&Reach]) -> Result<()> {
    remove_built(restore, reaches).await?;
    for swap in &restore.databases {
        if let Some(reach) = reaches.iter().find(|reach| reach.config.name == swap.component) {
            drop_database(&reach.target, &swap.kept).await?;
        }
    }
    perform_on_all(restore, Action::Purge).await
}

async fn perform_on_all(restore: &RestoreRecord, action: Action) -> Result<()> {
    let docker = docker_for(restore).await?;
    let docker = docker.as_ref();
    discard(docker, restore).await?;
    for tree in &restore.trees {
        perform(docker, &restore.key, tree, action).await?;
    }
    discard(docker, restore).await
}
