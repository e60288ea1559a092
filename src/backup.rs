//! One consistent backup: the steps, in order.
//!
//! [`backup`] is the page to read first. Each step has a file of its own.

mod archives;
mod consistency;
mod databases;
mod definitions;
mod estimate;
mod examine;
mod plan;
mod publish;
mod selection;
mod sources;
mod space;
mod verify;
mod workplace;

pub use estimate::{Estimate, EstimatedPart, estimate};
pub use examine::{Finding, examine};
pub use plan::PlanSummary;
pub use selection::Selection;
pub use verify::{Verification, verify};

use crate::catalog::BackupRecord;
use crate::error::{Code, Error, Result};
use crate::fence;
use crate::progress::Warnings;
use crate::repository::manifest::Reason;
use crate::repository::{Lock, PublishedBackup, Repository};
use crate::setting::Setting;
use consistency::Evidence;
use plan::Plan;
use std::collections::BTreeMap;
use std::sync::Arc;
use workplace::Workplace;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Why the backup is taken.
    pub reason: Reason,
    /// Labels to find it by.
    pub labels: BTreeMap<String, String>,
    /// The application's version.
    pub version_label: Option<String>,
    /// Which parts of the stack it concerns.
    pub only: Selection,
}

/// Takes one backup of the stack and publishes it.
///
/// # Errors
/// A failure leaves the containers running, nothing in the repository, and a `failed` row
/// with the error in the catalog.
pub async fn backup(setting: &Setting, request: &Request) -> Result<BackupRecord> {
    let workplace = {
        let (setting, request) = (setting.clone(), request.clone());
        setting.clone().blocking(move || Workplace::enter(&setting, &request)).await?
    };
    write(setting, request, &workplace).await
}

/// The same for a caller that already holds the repository's lock, such as a restore
/// that saves what it is about to replace.
pub(crate) async fn backup_locked(
    setting: &Setting,
    request: &Request,
    repository: &Repository,
    lock: &Lock,
) -> Result<BackupRecord> {
    let workplace = Workplace::enter_locked(setting, request, repository, lock)?;
    write(setting, request, &workplace).await
}

/// What [`backup`] would do: every check of the preflight is run, nothing is touched.
pub async fn plan(setting: &Setting, request: &Request) -> Result<PlanSummary> {
    setting.unless_interrupted("plan backup of", Plan::prepare(setting, request)).await?.summary()
}

async fn write(
    setting: &Setting,
    request: &Request,
    workplace: &Workplace<'_>,
) -> Result<BackupRecord> {
    let warnings = Warnings::before(setting.progress.clone());
    let setting = &Setting { progress: warnings.clone(), ..setting.clone() };
    let steps = take(setting, request, workplace, &warnings);
    match setting.unless_interrupted("take backup of", steps).await {
        Ok(backup) => {
            let record = BackupRecord::published(&backup);
            workplace.record_published(setting, &record);
            Ok(record)
        }
        Err(error) => {
            workplace.record_failed(setting, &error);
            Err(error)
        }
    }
}

/// The steps of a backup. Dropping this future at any point resumes the containers and
/// leaves nothing in the repository.
async fn take(
    setting: &Setting,
    request: &Request,
    workplace: &Workplace<'_>,
    warnings: &Arc<Warnings>,
) -> Result<PublishedBackup> {
    let progress = &setting.progress;

    progress.step("preflight");
    let plan = Plan::prepare(setting, request).await?;
    plan.check_space(setting, &workplace.repository)?;
    let incoming = workplace.incoming()?;
    let definitions = definitions::write(&plan, incoming.path(), setting).await?;

    progress.step("quiesce");
    let held = fence::hold(setting, workplace.id(), &plan.writers()).await?;

    progress.step("fence");
    let fenced_at = crate::clock::now();
    let snapshots = databases::fence(plan.databases).await?;

    progress.step("capture");
    let mut archives = archives::Writer::create(incoming.path(), workplace.id(), setting)?;
    let captured = archives.capture(plan.sources, &held).await?;
    let observed = databases::observe(&snapshots).await?;

    progress.step("resume");
    let writers_held = held.is_holding();
    let resumed = held.resume().await?;

    progress.step("dump");
    let (dumps, files, ()) = tokio::try_join!(
        databases::dump(&snapshots, incoming.path(), setting),
        archives.finish(captured),
        resumed.wait_healthy(),
    )?;

    progress.step("publish");
    let evidence = Evidence {
        fenced_at,
        databases: observed,
        has_files: !files.trees.is_empty(),
        writers_held,
        files_changed: files.changed(),
    };
    let parts = publish::Parts {
        consistency: evidence.judge(),
        downtime: resumed.downtime,
        dumps,
        files,
        definitions,
        warnings: warnings.clone(),
    };
    let incoming = parts.publish(workplace, incoming, setting).await?;
    setting.check_interrupted("publish backup of")?;
    Ok(incoming)
}
