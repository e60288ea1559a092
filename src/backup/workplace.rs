//! The place where one backup is written: the locked repository, the new id, the catalog.

use super::Request;
use super::known::Known;
use super::parent::{self, Parent, ParentTrees};
use super::plain;
use crate::catalog::{BackupRecord, Catalog};
use crate::clock::Stopwatch;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::Kind;
use crate::repository::{BackupId, IncomingBackup, Lock, LockMode, Repository, backup_name};
use crate::setting::Setting;
use crate::size::count;
use jiff::Timestamp;
use std::time::{Duration, Instant};

/// How often a lock that somebody holds is tried again.
const POLL: Duration = Duration::from_millis(50);

/// Takes the repository's lock, waiting for as long as the setting says.
///
/// # Errors
/// `locked` when it is not free by then, `interrupted` when asked to end before.
pub(crate) async fn lock(
    setting: &Setting,
    repository: &Repository,
    mode: LockMode,
) -> Result<Lock> {
    let deadline = Instant::now() + setting.lock_wait;
    loop {
        match repository.lock(mode, Duration::ZERO) {
            Err(e) if e.code() == Code::Locked && Instant::now() < deadline => {
                setting.check_interrupted("wait for the lock of")?;
                tokio::time::sleep(POLL).await;
            }
            taken => return taken,
        }
    }
}

/// A locked repository with a directory in `incoming/`, and the backup's row.
pub(super) struct Workplace<'a> {
    pub(super) repository: &'a Repository,
    lock: &'a Lock,
    pub(super) watch: Stopwatch,
    pub(super) record: BackupRecord,
    /// What it builds upon.
    pub(super) parent: Option<Parent>,
    catalog: Catalog,
}

impl<'a> Workplace<'a> {
    /// Records that the backup begins, and that those which dead writers began have failed.
    pub(super) fn enter(
        setting: &Setting,
        request: &Request,
        mut record: BackupRecord,
        watch: Stopwatch,
        repository: &'a Repository,
        lock: &'a Lock,
    ) -> Result<Self> {
        let catalog = Catalog::of(&setting.config);
        let mut session = catalog.session(&setting.progress)?;
        session.reconcile(repository, &setting.progress)?;
        session.fail_interrupted()?;
        record.sequence = session.next_sequence()?;
        let wanted = request.only.components(&setting.config);
        let records = session.list()?;
        plain::prune(setting, &records);
        let (kind, parent) = parent::choose(setting, request.kind, &wanted, repository, &records)?;
        record.kind = kind;
        record.parent = parent.as_ref().map(|parent| parent.backup.manifest().id.clone());
        let version = record.version_label.as_deref();
        record.name = backup_name(kind, record.reason, version, record.started_at, &record.id);
        session.put(&record)?;
        drop(session);
        Ok(Self { repository, lock, watch, record, parent, catalog })
    }

    /// What the parent's file trees hold.
    pub(super) async fn parent_trees(&self, setting: &Setting) -> Result<Option<ParentTrees>> {
        let Some(parent) = self.parent.clone() else { return Ok(None) };
        let part = setting.clone();
        setting.blocking(move || parent.trees(&part)).await
    }

    /// A directory to write into.
    pub(super) fn incoming(&self) -> Result<IncomingBackup> {
        let parent = self.parent.as_ref().map(|parent| &parent.backup);
        self.repository.incoming(&self.record.id, parent, self.lock)
    }

    /// Records the published backup. The backup exists whether or not this succeeds: what
    /// the catalog misses now, the next command adds.
    pub(super) fn record_published(&self, setting: &Setting, record: &BackupRecord) {
        let written = self.catalog.session(&setting.progress).and_then(|mut session| {
            session.put(record)?;
            session.checkpoint()
        });
        if let Err(e) = written {
            setting.progress.warn(e.code(), e.to_string());
        }
    }

    /// Records the failure.
    pub(super) fn record_failed(&self, setting: &Setting, error: &Error) {
        record_failed(setting, self.record.clone(), self.watch.reading(), error);
    }
}

/// The row of a backup that begins, not yet in the catalog.
pub(super) fn begin(
    setting: &Setting,
    request: &Request,
    watch: &Stopwatch,
) -> Result<BackupRecord> {
    let id = BackupId::random()?;
    let started_at = watch.started_at();
    let version = request.version_label.as_deref();
    let name = backup_name(Kind::Full, request.reason, version, started_at, &id);
    let stack = &setting.config.stack.name;
    let mut record =
        BackupRecord::in_progress(id, name, stack, Kind::Full, request.reason, started_at);
    record.labels = request.labels.clone();
    record.version_label = request.version_label.clone();
    record.omitted = request.only.omitted(&setting.config);
    Ok(record)
}

/// Records that a backup failed at `at`.
pub(super) fn record_failed(setting: &Setting, record: BackupRecord, at: Timestamp, error: &Error) {
    let mut record = record.failed(error, at);
    let written =
        Catalog::of(&setting.config).session(&setting.progress).and_then(|mut session| {
            if record.sequence == 0 {
                record.sequence = session.next_sequence()?;
            }
            session.put_failed(&record)
        });
    if let Err(e) = written {
        setting.progress.warn(e.code(), e.to_string());
    }
}

/// Opens the repository, or creates it for the first backup.
///
/// # Errors
/// `repository_not_found` where there was one, or the catalog knows of backups in it: most
/// likely its file system is not mounted, and a new repository would fill the disk below;
/// `repository_replaced` where another one lies there.
pub(super) fn open_or_create(setting: &Setting) -> Result<Repository> {
    let mut known = Known::of(setting)?;
    let repository = match known.open() {
        Err(e) if e.code() == Code::RepositoryNotFound && !known.is_known() => {
            refuse_listed(setting)?;
            Repository::open_or_create_at(
                &setting.config.repository.place(),
                &setting.config.state.dir,
            )?
            .with_identities(&setting.identities)
        }
        opened => opened?,
    };
    known.remember(&repository)?;
    Ok(repository)
}

/// A state directory of an earlier version remembers no repository, but its catalog does.
fn refuse_listed(setting: &Setting) -> Result<()> {
    let repository = &setting.config.repository;
    let catalog = Catalog::of(&setting.config);
    let records = catalog.session(&setting.progress)?.list()?;
    let lay_there = |record: &&BackupRecord| {
        record.is_published()
            && match (&record.path, &repository.url) {
                (Some(lies), None) => lies.starts_with(&repository.path),
                (None, Some(_)) => true,
                _ => false,
            }
    };
    match records.iter().filter(lay_there).count() {
        0 => Ok(()),
        known => Err(Error::new(Code::RepositoryNotFound, "open repository", repository.place())
            .cause(format!(
                "it is gone, but the catalog knows of {} in it",
                count(known as u64, "backup", "backups")
            ))
            .hint(
                "mount its file system; if the backups are gone for good, move catalog.duckdb away",
            )),
    }
}
