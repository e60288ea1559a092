//! The catalog: a DuckDB file that records backups and events.
//!
//! It is an index, not the truth. The manifests in the repository and the event journal
//! in the state directory are, and the catalog is rebuilt from them when it is lost or
//! damaged. DuckDB lets one process write *or* many read, so every unit of work takes
//! `catalog.lock`, opens the file, works and closes it; see [`Catalog::session`].

mod backups;
mod event;
mod journal;
mod migrations;
mod open;
mod query;
mod reconcile;
mod record;
mod runs;
mod verification;

pub use event::{Event, EventName};
pub use query::{Answer, Changes, Query, Question, Source, Value, may_be_unreadable, unreadable};
pub use record::{BackupRecord, Status};
pub use runs::{RunApprovalRow, RunAttemptRow, RunRow, RunStepRow};
pub use verification::{LastVerification, Sampled, VerifyLevel};

use crate::config::Config;
use crate::error::Result;
use crate::progress::Progress;
use crate::repository::{Lock, create_dir};
use duckdb::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a unit of work waits for another process's unit of work.
const WAIT: Duration = Duration::from_secs(30);

/// Its tables, besides the one of its own migrations.
const TABLES: [&str; 7] =
    ["backups", "components", "events", "runs", "run_steps", "run_attempts", "run_approvals"];

/// The place of a catalog; nothing is open.
#[derive(Debug, Clone)]
pub struct Catalog {
    dir: PathBuf,
    /// Whose backups `latest` is among; none where that is not known.
    stack: Option<String>,
}

impl Catalog {
    /// The catalog of the repository that a config names.
    pub fn of(config: &Config) -> Self {
        let stack = (!config.is_unknown()).then(|| config.stack.name.clone());
        Self { dir: config.catalog_dir(), stack }
    }

    /// The catalog in a directory.
    pub fn in_dir(state_dir: &Path) -> Self {
        Self { dir: state_dir.to_path_buf(), stack: None }
    }

    /// Opens the catalog for one unit of work, with its schema up to date.
    ///
    /// A catalog that DuckDB cannot open is moved aside with a warning and begun anew
    /// from the event journal; [`Session::reconcile`] then reads the repository.
    ///
    /// # Errors
    /// `catalog_busy` when another process works on it for more than half a minute,
    /// `catalog_failed` when not even a new one can be created.
    pub fn session(&self, progress: &Arc<dyn Progress>) -> Result<Session> {
        create_dir(&self.dir)?;
        let lock = open::lock(&self.dir, WAIT)?;
        let connection = open::open(&self.dir, progress)?;
        Ok(Session { dir: self.dir.clone(), stack: self.stack.clone(), connection, _lock: lock })
    }

    /// Begins a new catalog from the event journal, with the old one moved aside; returns
    /// where that is. [`Session::reconcile`] then reads the repository.
    pub fn anew(&self, progress: &Arc<dyn Progress>) -> Result<(Session, Option<PathBuf>)> {
        create_dir(&self.dir)?;
        let lock = open::lock(&self.dir, WAIT)?;
        let aside = open::set_aside(&self.dir)?;
        let connection = open::open(&self.dir, progress)?;
        let (dir, stack) = (self.dir.clone(), self.stack.clone());
        Ok((Session { dir, stack, connection, _lock: lock }, aside))
    }

    /// The database file.
    pub fn file(&self) -> PathBuf {
        self.dir.join(open::FILE)
    }
}

/// An open catalog. Keep it for one short unit of work: others wait for it.
pub struct Session {
    dir: PathBuf,
    stack: Option<String>,
    connection: Connection,
    // Declared last: the connection must be closed before the lock is released.
    _lock: Lock,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::error::{Code, Error};
    use crate::progress::Silent;
    use crate::repository::BackupId;
    use crate::repository::manifest::{Kind, Reason};

    fn session(dir: &Path) -> Session {
        let silent: Arc<dyn Progress> = Arc::new(Silent);
        Catalog::in_dir(dir).session(&silent).unwrap()
    }

    fn record(sequence: u64, status: Status) -> BackupRecord {
        let id = BackupId::random().unwrap();
        let name = format!("backup_{}", id.short());
        let now = clock::now();
        let mut record =
            BackupRecord::in_progress(id, name, "shop", Kind::Full, Reason::Manual, now);
        record.sequence = sequence;
        record.status = status;
        record
    }

    #[test]
    fn the_newest_by_history_is_the_latest_even_when_the_clock_was_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut session = session(dir.path());
        let mut newest = record(2, Status::Completed);
        newest.started_at = "2001-01-01T00:00:00Z".parse().unwrap();
        session.put(&record(1, Status::Completed)).unwrap();
        session.put(&newest).unwrap();
        assert_eq!(session.find("latest").unwrap(), newest);
        assert_eq!(session.list().unwrap()[0], newest);
        assert_eq!(session.next_sequence().unwrap(), 3);
    }

    #[test]
    fn a_safety_backup_is_never_the_latest() {
        let dir = tempfile::tempdir().unwrap();
        let mut session = session(dir.path());
        let wanted = record(1, Status::Completed);
        let mut safety = record(2, Status::Completed);
        safety.reason = Reason::Safety;
        session.put(&wanted).unwrap();
        session.put(&safety).unwrap();
        assert_eq!(session.find("latest").unwrap(), wanted);
        assert_eq!(session.find(safety.id.as_str()).unwrap(), safety);
    }

    #[test]
    fn a_partial_backup_is_the_latest_only_where_there_is_no_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut session = session(dir.path());
        let mut partial = record(2, Status::Completed);
        partial.omitted = vec!["shop".into()];
        session.put(&partial).unwrap();
        assert_eq!(session.find("latest").unwrap(), partial);
        let whole = record(1, Status::Completed);
        session.put(&whole).unwrap();
        assert_eq!(session.find("latest").unwrap(), whole);
    }

    #[test]
    fn a_failed_backup_is_listed_where_its_time_puts_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut session = session(dir.path());
        let mut put = |sequence, status, started_at: &str| {
            let mut record = record(sequence, status);
            record.started_at = started_at.parse().unwrap();
            session.put(&record).unwrap();
            record.id
        };
        let first = put(1, Status::Completed, "2026-01-01T00:00:00Z");
        let failed = put(0, Status::Failed, "2026-01-02T00:00:00Z");
        let again = put(0, Status::Failed, "2026-01-03T00:00:00Z");
        let last = put(2, Status::Completed, "2026-01-04T00:00:00Z");
        let listed: Vec<BackupId> =
            session.list().unwrap().into_iter().map(|record| record.id).collect();
        assert_eq!(listed, [last, again, failed, first]);
    }

    #[test]
    fn ids_are_found_by_unique_prefix_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut session = session(dir.path());
        let one = record(1, Status::Completed);
        session.put(&one).unwrap();
        assert_eq!(session.find(&one.id.as_str()[..6]).unwrap(), one);
        assert_eq!(session.find("zz").unwrap_err().code(), Code::BackupNotFound);
        assert_eq!(session.find("").unwrap_err().code(), Code::BackupNotFound);
        let mut two = record(2, Status::Completed);
        two.id =
            BackupId::try_from(format!("{}{}", &one.id.as_str()[..8], "0".repeat(24))).unwrap();
        session.put(&two).unwrap();
        let error = session.find(&one.id.as_str()[..6]).unwrap_err();
        assert_eq!(error.code(), Code::BackupAmbiguous);
    }

    #[test]
    fn a_damaged_catalog_is_moved_aside_and_failures_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let failed = record(0, Status::InProgress)
            .failed(&Error::new(Code::DiskFull, "write", "/x"), clock::now());
        session(dir.path()).put_failed(&failed).unwrap();

        std::fs::write(dir.path().join("catalog.duckdb"), b"not a database at all").unwrap();
        let listed = session(dir.path()).list().unwrap();
        assert_eq!(listed, vec![failed]);
        let aside = std::fs::read_dir(dir.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains(".damaged-"))
            .count();
        assert_eq!(aside, 1);
    }

    #[test]
    fn a_backup_whose_writer_died_is_marked_failed() {
        let dir = tempfile::tempdir().unwrap();
        let mut session = session(dir.path());
        let begun = record(0, Status::InProgress);
        session.put(&begun).unwrap();
        assert_eq!(session.fail_interrupted().unwrap(), vec![begun.id.clone()]);
        let found = session.find(begun.id.as_str()).unwrap();
        assert_eq!(found.status, Status::Failed);
        assert_eq!(found.error.unwrap()["code"], "interrupted");
        assert_eq!(session.events(10).unwrap()[0].event, EventName::BackupFailed);
    }
}
