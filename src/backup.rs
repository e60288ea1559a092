//! One consistent backup: the steps, in order.
//!
//! [`backup`] is the page to read first. Each step has a file of its own.

mod archives;
mod bystanders;
mod choose;
mod consistency;
mod databases;
mod definitions;
mod estimate;
mod examine;
mod fetch;
mod idle;
mod known;
mod link;
mod parent;
mod plain;
mod plan;
mod publish;
mod reach;
pub mod readiness;
mod seal;
mod selection;
mod single;
mod sources;
mod space;
mod workplace;
mod writers;

pub use choose::{Wish, all, choose, data_as_of};
pub use estimate::{Estimate, EstimatedPart, estimate};
pub use examine::{Finding, examine};
pub use plan::PlanSummary;
pub use selection::Selection;
pub use single::{DumpedFile, SingleDump};

pub(crate) use archives::{CHANGES, INDEX};
pub(crate) use fetch::fetch;
pub(crate) use known::{claim_state, open_copy, open_repository, remember_repository};
pub(crate) use plain::plain_index;
pub(crate) use plan::connect_if_needed;
pub(crate) use reach::{Reach, local_tools, open_connection, open_server, reach_database};
pub(crate) use sources::{Place, Source};
pub(crate) use space::require as require_space;
pub(crate) use workplace::lock;
pub(crate) use writers::Selected;

use crate::catalog::BackupRecord;
use crate::clock::Stopwatch;
use crate::docker::{Container, Docker};
use crate::error::Result;
use crate::fence::{self, Hold, Journal};
use crate::progress::{Progress, Warnings};
use crate::repository::manifest::{Kind, Readiness, Reason};
use crate::repository::{Lock, LockMode, Repository};
use crate::retention;
use crate::setting::Setting;
use bystanders::Bystanders;
use consistency::Evidence;
use idle::Idle;
use plan::Plan;
use publish::Sealed;
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
    /// Full, incremental or differential; by itself what fits without a wish.
    pub kind: Option<Kind>,
    /// How much of what the config names is there, where that is known already.
    pub readiness: Option<Readiness>,
}

/// Takes one backup of the stack and publishes it.
///
/// # Errors
/// A failure leaves the containers running, nothing in the repository, and a `failed` row
/// with the error in the catalog.
pub async fn backup(setting: &Setting, request: &Request) -> Result<BackupRecord> {
    let watch = Stopwatch::start();
    request.only.check_config(&setting.config)?;
    let record = workplace::begin(setting, request, &watch)?;
    let (repository, lock) = match locked_repository(setting).await {
        Ok(opened) => opened,
        Err(error) => {
            workplace::record_failed(setting, record, watch.reading(), &error);
            return Err(error);
        }
    };
    let record = write(setting, request, (record, watch), (&repository, &lock)).await?;
    if setting.config.retention.as_ref().is_some_and(|retention| retention.auto) {
        prune(setting, repository, lock).await;
    }
    Ok(record)
}

/// Thins out the repository. The backup is good whatever comes of it.
async fn prune(setting: &Setting, repository: Repository, lock: Lock) {
    setting.progress.step("prune");
    let work = setting.clone();
    let pruned = setting.blocking(move || retention::prune_locked(&work, &repository, &lock)).await;
    match pruned {
        Ok(plan) => plan.notes.iter().for_each(|note| setting.progress.note(note.clone())),
        Err(e) => setting.progress.warn(e.code(), format!("the backup is good, but: {e}")),
    }
}

/// The repository, locked and free of what dead writers left.
async fn locked_repository(setting: &Setting) -> Result<(Repository, Lock)> {
    let repository = workplace::open_or_create(setting)?;
    let lock = lock(setting, &repository, LockMode::Exclusive).await?;
    for left in repository.clear_leftovers(&lock)? {
        setting.progress.note(format!("cleared {}", left));
    }
    Ok((repository, lock))
}

/// The same for a caller that already holds the repository's lock, such as a restore
/// that saves what it is about to replace.
pub(crate) async fn backup_locked(
    setting: &Setting,
    request: &Request,
    repository: &Repository,
    lock: &Lock,
) -> Result<BackupRecord> {
    let watch = Stopwatch::start();
    let record = workplace::begin(setting, request, &watch)?;
    write(setting, request, (record, watch), (repository, lock)).await
}

/// What [`backup`] would do: every check of the preflight is run, nothing is touched.
pub async fn plan(setting: &Setting, request: &Request) -> Result<PlanSummary> {
    setting.unless_interrupted("plan backup of", Plan::prepare(setting, request)).await?.summary()
}

async fn write(
    setting: &Setting,
    request: &Request,
    (record, watch): (BackupRecord, Stopwatch),
    (repository, lock): (&Repository, &Lock),
) -> Result<BackupRecord> {
    let warnings = Warnings::before(setting.progress.clone());
    let setting = &Setting { progress: warnings.clone(), ..setting.part() };
    let workplace = &Workplace::enter(setting, request, record, watch, repository, lock)?;
    let steps = take(setting, request, workplace, &warnings);
    let published = match setting.unless_interrupted("take backup of", steps).await {
        // From here on a signal waits: what is about to be visible must not be called failed.
        Ok(sealed) => setting.blocking(move || sealed.publish()).await,
        Err(error) => Err(error),
    };
    match published {
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
) -> Result<Sealed> {
    let progress = &setting.progress;
    let id = &workplace.record.id;

    progress.step("preflight");
    // The first walks through the trees, the second reads what an earlier backup has of them.
    let (plan, trees, readiness) = tokio::join!(
        Plan::prepare(setting, request),
        workplace.parent_trees(setting),
        readiness::for_backup(setting, request),
    );
    let plan = plan?;
    plan.check_space(setting, workplace.repository, workplace.record.kind)?;
    let trees = trees?;
    let incoming = workplace.incoming()?;
    let definitions = definitions::write(&plan, incoming.path(), setting).await?;
    let mut archives = archives::Writer::create(incoming.path(), id, trees, setting)?;
    let (docker, held) = (plan.docker.clone(), plan.held());
    let bystanders = Bystanders::of(&plan);
    let mut seen = bystanders.look().await?;
    let jobs = archives::Job::plan(plan.sources, id)?;
    let jobs = setting.blocking(|| archives::settle(jobs)).await?;

    progress.step("quiesce");
    let sound = match &docker {
        // A restore follows, on whose state health is waited for.
        Some(_) if request.reason == Reason::Safety => Vec::new(),
        Some(docker) => fence::sound(docker, &held).await,
        None => Vec::new(),
    };
    let mut journal = Journal::new(id.as_str(), &held);
    journal.captures = jobs.iter().filter_map(archives::Job::journal_entry).collect();
    let mut hold = Hold::post(setting, journal).await?;
    hold.quiesce(docker.as_ref(), setting).await?;
    let idle = Idle::look(docker.as_ref(), &plan.containers.writers).await;

    progress.step("fence");
    let fenced_at = crate::clock::now();
    let fenced = databases::fence(plan.databases).await?;

    progress.step("capture");
    archives = archives.capture(jobs, docker.as_ref(), &hold).await?;
    let look = async { Ok((bystanders.look().await?, hold.strays().await)) };
    let (observed, (seen_now, strays)) = tokio::try_join!(databases::observe(&fenced), look)?;
    let writers = idle.judge(hold.is_holding()).await;

    progress.step("resume");
    let downtime = hold.resume().await?;

    progress.step("dump");
    let (databases, files, ()) = tokio::try_join!(
        databases::write(fenced, incoming.path(), setting),
        archives.finish(),
        await_health(docker.as_ref(), &sound, progress),
    )?;
    hold.finish().await?;

    progress.step("publish");
    seen.extend(seen_now);
    let evidence = Evidence {
        fenced_at,
        databases: observed,
        has_files: !files.components.is_empty(),
        writers,
        files_changed: files.changed.clone(),
        disturbances: bystanders::disturbances(&seen, strays, progress.as_ref()),
    };
    let consistency = evidence.judge();
    let parts = publish::Parts {
        consistency,
        readiness,
        downtime,
        definitions,
        databases,
        files,
        warnings: warnings.clone(),
    };
    parts.seal(workplace, incoming, setting).await
}

/// Waits until the containers that were sound before the hold are so again. One that is not
/// is a warning: the backup is as good as without it.
async fn await_health(
    docker: Option<&Docker>,
    containers: &[Container],
    progress: &Arc<dyn Progress>,
) -> Result<()> {
    if let Some(docker) = docker {
        for sick in fence::wait_healthy(docker, containers).await {
            progress.warn(sick.code(), sick.to_string());
        }
    }
    Ok(())
}
