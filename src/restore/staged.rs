//! A restore in two halves that are asked for apart, as the steps of a runbook do: one
//! component is built and verified beside what is live, stays there, and goes live later or
//! is dropped.
//!
//! Whoever asks names the restore with a key of its own, so that after a crash it finds what
//! became of it. From the swap on it is a restore like any other: `rollback` leads back.

use super::checked::Wanted;
use super::databases::refuse_replicated;
use super::plan::{Plan, to_stop};
use super::record::{RestoreRecord, Stage};
use super::swap::Exchange;
use super::{explain, note, onlookers, recover, undo};
use crate::backup::{Reach, Selection, connect_if_needed, lock, open_repository};
use crate::catalog::{BackupRecord, EventName};
use crate::database::Compared;
use crate::error::{Code, Error, Result};
use crate::repository::LockMode;
use crate::repository::manifest::Downtime;
use crate::setting::Setting;

/// What was built.
#[derive(Debug, Clone)]
pub struct Staged {
    /// The restore.
    pub record: RestoreRecord,
    /// Of a database, how its rows compare with those at the fence.
    pub compared: Option<Compared>,
}

/// Builds one component of a backup beside what is live, and verifies it there. What an
/// earlier attempt of the same key has built is removed first.
///
/// # Errors
/// Those of a restore until its swap. Nothing of what was built is left then.
pub async fn stage(
    setting: &Setting,
    backup: &BackupRecord,
    component: &str,
    key: &str,
) -> Result<Staged> {
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    remove_earlier(setting, key).await?;
    setting.progress.step("verify");
    let selection = Selection::new(vec![component.to_owned()]);
    let wanted = Wanted { selection: &selection, salvage: false, live: true };
    let plan = Plan::prepare_replacing(setting, backup, wanted).await?;
    let mut record = plan.begin(setting, Some(key))?;

    setting.progress.step("build");
    let built = setting.unless_interrupted("restore", plan.build(setting, &mut record)).await;
    let compared = match built {
        Ok(compared) => compared,
        Err(error) => {
            plan.abandon(setting, &mut record).await;
            return Err(error);
        }
    };
    record.save(&setting.config.state.dir, Stage::Built)?;
    Ok(Staged { record, compared: compared.into_iter().next() })
}

/// The restore of this key that was built to go live later; none where nothing is recorded.
///
/// # Errors
/// `restore_failed` where the key is that of a restore of another kind.
pub fn find_staged(setting: &Setting, key: &str) -> Result<Option<RestoreRecord>> {
    let found = match RestoreRecord::find(&setting.config.state.dir, key) {
        Err(e) if e.code() == Code::NothingToRollBack => return Ok(None),
        found => found?,
    };
    match found.staged {
        true => Ok(Some(found)),
        false => Err(Error::new(Code::RestoreFailed, "find what was built as", key)
            .cause("it is a restore by itself, no part of a runbook")),
    }
}

/// Makes live what was built, under the same guard as any restore. One that was turned back
/// goes forth again. Does nothing where it is live.
///
/// # Errors
/// `restore_failed`: the state before is live then.
pub async fn swap_staged(setting: &Setting, key: &str) -> Result<(RestoreRecord, Vec<Downtime>)> {
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Exclusive).await?;
    let missing = || {
        Error::new(Code::RestoreFailed, "swap", key)
            .cause("nothing is built under this key")
            .hint("build it first with `files.restore` or `database.restore`")
    };
    let mut record = find_staged(setting, key)?.ok_or_else(missing)?;
    match record.stage {
        Stage::Swapped => return Ok((record, Vec::new())),
        Stage::Built | Stage::RolledBack => {}
        Stage::Building | Stage::Abandoned | Stage::Purged => return Err(missing()),
        Stage::Swapping | Stage::Resuming | Stage::SwappingBack => {
            return Err(Error::new(Code::RestoreFailed, "swap", key)
                .cause("an earlier swap of it was cut short")
                .hint("`backstop recover` turns it back"));
        }
    }
    let docker = connect_if_needed(setting).await?;
    let containers = to_stop(setting, docker.as_ref()).await?;
    onlookers::refuse_recorded(docker.as_ref(), &record.trees, &containers).await?;
    let reaches = undo::reach_all(setting, &record).await?;
    for reach in &reaches {
        refuse_replicated(setting, reach).await?;
    }
    let reaches: Vec<&Reach> = reaches.iter().collect();
    let (docker, containers) = (docker.as_ref(), containers.as_slice());
    let exchange = Exchange { setting, docker, containers, reaches };
    match exchange.forth(&mut record).await {
        Ok(downtime) => {
            let detail = serde_json::json!({ "key": key, "places": record.places() });
            note(setting, &record, EventName::Restored, &detail);
            Ok((record, downtime))
        }
        Err(error) => {
            note(setting, &record, EventName::RestoreFailed, &error.to_json());
            // The guardian may have gone on with it meanwhile.
            let stage = match find_staged(setting, key) {
                Ok(Some(now)) => now.stage,
                _ => record.stage,
            };
            Err(explain(error, stage, &record.backup_name))
        }
    }
}

/// Removes what was built and never was live, and its record. Does nothing where there is none.
///
/// # Errors
/// `restore_failed` where it is live, or was: then it may hold what was written meanwhile.
pub async fn discard_staged(setting: &Setting, key: &str) -> Result<()> {
    if find_staged(setting, key)?.is_some_and(|record| record.stage == Stage::RolledBack) {
        return Err(Error::new(Code::RestoreFailed, "remove what was built as", key)
            .cause("it was live, and may hold what was written then")
            .hint(format!("`backstop rollback {key} --purge` removes it")));
    }
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    remove_earlier(setting, key).await
}

async fn remove_earlier(setting: &Setting, key: &str) -> Result<()> {
    let Some(mut record) = find_staged(setting, key)? else { return Ok(()) };
    match record.stage {
        Stage::Building | Stage::Built | Stage::RolledBack | Stage::Abandoned => {
            recover::remove_built(setting, &mut record).await?;
            record.forget(&setting.config.state.dir)
        }
        Stage::Purged => record.forget(&setting.config.state.dir),
        Stage::Swapping | Stage::Resuming | Stage::Swapped | Stage::SwappingBack => {
            Err(Error::new(Code::RestoreFailed, "remove what was built as", key)
                .cause("it is live")
                .hint(format!("`backstop rollback {key}` brings back what it replaced")))
        }
    }
}
