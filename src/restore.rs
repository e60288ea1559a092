//! Restore: the steps, in order.
//!
//! [`restore`] is the page to read first. Nothing live is touched before everything that
//! will replace it stands beside it, verified; the exchange itself is renames that are
//! recorded beforehand and can be undone from any point.

mod begin;
mod checked;
mod compose_files;
mod containers;
mod database_swap;
mod databases;
mod elsewhere;
mod files;
mod kept;
mod losses;
mod missing_files;
mod onlookers;
mod paths;
mod plan;
mod quarantine;
mod record;
mod recover;
mod rollback;
mod salvage;
mod soundness;
mod staged;
mod summary;
mod swap;
mod tree_swap;
mod undo;
pub(crate) mod volume;

pub use compose_files::{
    ComposeChange, ComposeProject, change_compose_files, compose_changes, compose_projects,
    unchange_compose_files,
};
pub use containers::{RecordedContainer, recorded_containers};
pub use database_swap::DatabaseSwap;
pub use elsewhere::{Elsewhere, elsewhere};
pub use kept::{Kept, kept};
pub use losses::{DatabaseLosses, FileLosses, Losses, TableCount, TableLosses, Tally, losses};
pub use missing_files::{Returning, bring_files_back, missing_files, take_files_away};
pub use paths::restore_paths;
pub use quarantine::{Quarantine, quarantine, release};
pub use record::{RestoreRecord, Stage};
pub use recover::{Recovery, guard, recover, resume};
pub use rollback::{purge, require_way_back, rollback, rollback_target};
pub use salvage::Lost;
pub use soundness::{Depth, Soundness, examine};
pub use staged::{Staged, discard_staged, find_staged, stage, swap_staged};
pub use summary::{PlanSummary, Replacement};
pub use tree_swap::TreeSwap;
pub use volume::VolumePlace;

use crate::backup::{self, Selection, open_repository};
use crate::catalog::{BackupRecord, Catalog, Event, EventName};
use crate::clock::Stopwatch;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::Reason;
use crate::repository::{BackupId, Lock, LockMode, Repository};
use crate::setting::Setting;
use checked::Wanted;
use plan::Plan;
use serde::Serialize;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which parts of the backup come back.
    pub selection: Selection,
    /// Whether a backup is taken of what is replaced.
    pub safety: bool,
    /// Whether what is whole comes back though something is damaged.
    pub salvage: bool,
}

impl Request {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { selection: &self.selection, salvage: self.salvage, live: true }
    }
}

/// What a restore did.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// Whether nothing was written: only what would be is listed.
    pub dry_run: bool,
    /// The key for `backstop rollback`; none when nothing live was touched.
    pub key: Option<String>,
    /// The backup that was restored.
    pub backup: BackupId,
    /// Its name.
    pub backup_name: String,
    /// The safety backup of what was replaced.
    pub safety_backup: Option<BackupId>,
    /// Where each component is now.
    pub places: Vec<Restoration>,
    /// What is damaged and did not come back; only a salvaging restore goes on without it.
    pub lost: Vec<Lost>,
    /// How long each container was held.
    pub downtime: Vec<crate::repository::manifest::Downtime>,
    /// How long it all took.
    pub seconds: f64,
}

/// Where one component was restored to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restoration {
    /// The component's name.
    pub component: String,
    /// A directory, or a database.
    pub place: String,
    /// Where what it replaced is kept.
    pub kept: Option<String>,
}

/// What [`restore`] would replace; the backup's stored bytes are verified, nothing is
/// touched.
pub async fn plan(
    setting: &Setting,
    record: &BackupRecord,
    request: &Request,
) -> Result<PlanSummary> {
    Ok(Plan::prepare_live(setting, record, request.wanted()).await?.summary())
}

/// Replaces the live state by that of a backup.
///
/// # Errors
/// After a failure the live state is what it was, and the containers run. Where that could not
/// be achieved at once the hint says so, and the guardian goes on with it.
pub async fn restore(
    setting: &Setting,
    record: &BackupRecord,
    request: &Request,
) -> Result<Restored> {
    let watch = Stopwatch::start();
    let progress = &setting.progress;
    let repository = open_repository(setting)?;
    let lock = backup::lock(setting, &repository, LockMode::Exclusive).await?;

    progress.step("verify");
    let plan = Plan::prepare_live(setting, record, request.wanted()).await?;
    let mut restore = plan.begin(setting, None)?;

    if request.safety {
        progress.step("safety");
        match save_existing(setting, &plan, &restore, &repository, &lock).await {
            Ok(saved) => restore.safety_backup = saved,
            Err(error) => {
                plan.abandon(setting, &mut restore).await;
                return Err(error);
            }
        }
    }

    progress.step("build");
    let built = setting.unless_interrupted("restore", plan.build(setting, &mut restore)).await;
    if let Err(error) = built {
        plan.abandon(setting, &mut restore).await;
        return Err(error);
    }

    let downtime = match swap::swap(setting, &plan, &mut restore).await {
        Ok(downtime) => downtime,
        Err(error) => {
            note(setting, &restore, EventName::RestoreFailed, &error.to_json());
            // The guardian may have gone on with it meanwhile.
            if let Ok(now) = RestoreRecord::find(&setting.config.state.dir, &restore.key) {
                restore = now;
            }
            let stage = restore.stage;
            if matches!(stage, Stage::Building | Stage::Abandoned) {
                plan.abandon(setting, &mut restore).await;
            }
            return Err(explain(error, stage, &record.name));
        }
    };
    let restored = Restored {
        dry_run: false,
        key: Some(restore.key.clone()),
        backup: record.id.clone(),
        backup_name: record.name.clone(),
        safety_backup: restore.safety_backup.clone(),
        places: restore.places(),
        lost: plan.lost.clone(),
        downtime,
        seconds: watch.elapsed().as_secs_f64(),
    };
    let detail = serde_json::to_value(&restored).unwrap_or_default();
    note(setting, &restore, EventName::Restored, &detail);
    Ok(restored)
}

/// A failed exchange, with the truth about what is live.
fn explain(error: Error, stage: Stage, backup: &str) -> Error {
    let truth = match stage {
        // What was swapped and not swapped back is no failed restore.
        Stage::Swapped | Stage::Purged => return error,
        Stage::Building | Stage::Built | Stage::Abandoned => "nothing live was replaced",
        Stage::RolledBack => {
            "the state before the restore is live again; the restored one is kept aside, see \
             `backstop rollback --list`"
        }
        Stage::Swapping | Stage::Resuming | Stage::SwappingBack => {
            "the exchange is not undone yet: the guardian goes on with it, see guardian.log in \
             the state directory, and so does `backstop recover`"
        }
    };
    // Who asked for the end is told that it came.
    if error.code() == Code::Interrupted {
        return error.hint(truth);
    }
    let hint = match error.own_hint() {
        Some(hint) => format!("{hint}; {truth}"),
        None => truth.to_string(),
    };
    Error::new(Code::RestoreFailed, "restore", backup).source(error).hint(hint)
}

/// Takes a backup of what the restore is about to replace, where there is something.
async fn save_existing(
    setting: &Setting,
    plan: &Plan,
    restore: &RestoreRecord,
    repository: &Repository,
    lock: &Lock,
) -> Result<Option<BackupId>> {
    let mut existing = Vec::new();
    for (name, exists) in plan.components() {
        if exists {
            existing.push(name.to_string());
        } else {
            let note = format!("there is no {name} now: the safety backup leaves it out");
            setting.progress.note(note);
        }
    }
    if existing.is_empty() {
        return Ok(None);
    }
    let request = backup::Request {
        reason: Reason::Safety,
        labels: [("restore".to_string(), restore.key.clone())].into(),
        version_label: None,
        only: Selection::new(existing),
        kind: None,
        readiness: None,
    };
    let saved = backup::backup_locked(setting, &request, repository, lock).await.map_err(|e| {
        e.hint("nothing was restored; --no-safety restores without a safety backup")
    })?;
    Ok(Some(saved.id))
}

/// Records what happened in the catalog. The restore record has it too, so failing to is a
/// warning.
fn note(setting: &Setting, restore: &RestoreRecord, event: EventName, detail: &serde_json::Value) {
    let written =
        Catalog::of(&setting.config).session(&setting.progress).and_then(|mut session| {
            session.record_event(&Event::now(event, Some(&restore.backup), detail.clone()))
        });
    if let Err(e) = written {
        setting.progress.warn(e.code(), e.to_string());
    }
}
