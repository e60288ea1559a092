//! Back to the state before a restore, or the end of that possibility.

use super::plan::to_stop;
use super::record::{RestoreRecord, Stage};
use super::swap::Exchange;
use super::{note, onlookers, undo};
use crate::backup::{Reach, connect_if_needed, lock, open_repository};
use crate::catalog::EventName;
use crate::error::{Code, Error, Result};
use crate::fence;
use crate::repository::LockMode;
use crate::setting::Setting;
use std::path::Path;

/// The restore that a rollback (or a purge) concerns: the one of this key, or the newest
/// that is live.
///
/// # Errors
/// `nothing_to_roll_back`
pub fn rollback_target(setting: &Setting, key: Option<&str>, purge: bool) -> Result<RestoreRecord> {
    let state_dir = &setting.config.state.dir;
    let record = match key {
        Some(key) => RestoreRecord::find(state_dir, key)?,
        None => RestoreRecord::all(state_dir)?
            .into_iter()
            .find(|record| record.stage == Stage::Swapped)
            .ok_or_else(|| {
                Error::new(Code::NothingToRollBack, "roll back", &setting.config.stack.name)
                    .cause("no restore is live that replaced something")
            })?,
    };
    let fits = match record.stage {
        Stage::Swapped => true,
        Stage::RolledBack | Stage::Built => purge,
        _ => false,
    };
    if fits {
        if !purge {
            refuse_covered(state_dir, &record)?;
        }
        return Ok(record);
    }
    Err(Error::new(Code::NothingToRollBack, "roll back restore", &record.key)
        .cause(format!("its stage is {}", record.stage.as_str())))
}

/// Fails unless a rollback of the restore `key` can begin, or there is nothing of it to roll back.
///
/// # Errors
/// `nothing_to_roll_back` where a later restore has replaced parts of it, or what it replaced is
/// kept no more.
pub fn require_way_back(state_dir: &Path, key: &str) -> Result<()> {
    let record = RestoreRecord::find(state_dir, key)?;
    match record.stage {
        Stage::Swapped => refuse_covered(state_dir, &record),
        Stage::Purged => Err(Error::new(Code::NothingToRollBack, "roll back restore", key)
            .cause("what it replaced is kept no more")),
        _ => Ok(()),
    }
}

/// Restores go back in the opposite order: what a later one put in place of the same
/// component would otherwise be mixed with the state before an earlier one.
fn refuse_covered(state_dir: &Path, record: &RestoreRecord) -> Result<()> {
    let later = RestoreRecord::all(state_dir)?
        .into_iter()
        .take_while(|other| other.key != record.key)
        .filter(|other| other.stage == Stage::Swapped)
        .find(|other| other.shares_component_with(record));
    match later {
        None => Ok(()),
        Some(later) => Err(Error::new(Code::NothingToRollBack, "roll back restore", &record.key)
            .cause(format!("restore {} has replaced parts of it since", later.key))
            .hint(format!("`backstop rollback {}` first", later.key))),
    }
}

/// Makes the state before a restore live again; what was live until now is kept aside.
pub async fn rollback(setting: &Setting, restore: RestoreRecord) -> Result<RestoreRecord> {
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Exclusive).await?;
    // Somebody may have purged it, or restored over it, while the question was asked.
    let mut restore = rollback_target(setting, Some(&restore.key), false)?;
    let docker = connect_if_needed(setting).await?;
    let containers = to_stop(setting, docker.as_ref()).await?;
    onlookers::refuse_recorded(docker.as_ref(), &restore.trees, &containers).await?;
    let reaches = undo::reach_all(setting, &restore).await?;
    let reaches: Vec<&Reach> = reaches.iter().collect();
    Exchange { setting, docker: docker.as_ref(), containers: &containers, reaches }
        .back(&mut restore)
        .await?;
    let detail = serde_json::json!({ "key": restore.key });
    note(setting, &restore, EventName::RolledBack, &detail);
    if let Some(docker) = &docker {
        setting.progress.step("health");
        let healthy = async { Ok(fence::wait_healthy(docker, &containers).await) };
        let sick = setting.unless_interrupted("wait for the health of", healthy).await;
        let sick =
            sick.map_err(|e| e.hint("the rollback is done; `docker ps` shows the health"))?;
        for sick in sick {
            setting.progress.warn(sick.code(), sick.to_string());
        }
    }
    Ok(restore)
}

/// Removes what a restore keeps aside. After that nothing leads back.
pub async fn purge(setting: &Setting, restore: RestoreRecord) -> Result<RestoreRecord> {
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Exclusive).await?;
    // Somebody may have rolled it back while the question was asked.
    let mut restore = rollback_target(setting, Some(&restore.key), true)?;
    let reaches = undo::reach_all(setting, &restore).await?;
    let reaches: Vec<&Reach> = reaches.iter().collect();
    undo::remove_kept(&restore, &reaches).await?;
    restore.save(&setting.config.state.dir, Stage::Purged)?;
    let detail = serde_json::json!({ "key": restore.key });
    note(setting, &restore, EventName::Purged, &detail);
    Ok(restore)
}
