//! One backup as lists and `--json` show it, whether it was published or failed.

use super::verification::LastVerification;
use crate::repository::manifest::{
    Component, Consistency, Detail, Downtime, FORMAT, Kind, Level, Manifest, Object, Readiness,
    Reason,
};
use crate::repository::{BackupId, Damage, Pin, PublishedBackup};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How far a backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Planned, nothing done yet.
    Pending,
    /// Being written.
    InProgress,
    /// Published.
    Completed,
    /// Published, and every byte was read back later.
    Verified,
    /// Not published; `error` says why.
    Failed,
}

impl Status {
    /// The status as the catalog and JSON write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Verified => "verified",
            Self::Failed => "failed",
        }
    }
}

/// One backup: the object that `backup --json` ends with and `list --json` is an array of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// The backup's id.
    pub id: BackupId,
    /// The name of its directory.
    pub name: String,
    /// Its directory; none while it is not published.
    pub path: Option<PathBuf>,
    /// Its place in the repository's history.
    pub sequence: u64,
    /// The stack's name.
    pub stack: String,
    /// Full, incremental or differential.
    pub kind: Kind,
    /// Why it was taken.
    pub reason: Reason,
    /// How far it has come.
    pub status: Status,
    /// Labels given by the user.
    pub labels: BTreeMap<String, String>,
    /// The application's version.
    pub version_label: Option<String>,
    /// The backup that it builds upon.
    #[serde(default)]
    pub parent: Option<BackupId>,
    /// Databases and file trees of the stack that `--only` or a checkpoint left out.
    #[serde(default)]
    pub omitted: Vec<String>,
    /// How much of what the config names was there; none where that was not recorded.
    #[serde(default)]
    pub readiness: Option<Readiness>,
    /// When it was started, UTC.
    pub started_at: Timestamp,
    /// When it was finished or had failed, UTC.
    pub finished_at: Option<Timestamp>,
    /// From start to finish, in seconds.
    pub duration_seconds: Option<f64>,
    /// How well its parts belong to one instant.
    pub consistency: Option<Consistency>,
    /// How long each container was held.
    pub downtime: Vec<Downtime>,
    /// Its parts.
    pub components: Vec<Component>,
    /// Bytes of the sources.
    pub source_bytes: u64,
    /// Bytes in the repository.
    pub stored_bytes: u64,
    /// Files of all parts.
    pub file_count: u64,
    /// Whether its objects are encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// The names of the copies that it was last seen in. Not recorded: whoever shows it asks
    /// what is remembered of the copies.
    #[serde(default)]
    pub copies: Vec<String>,
    /// Faults that were survived.
    pub warnings: Vec<crate::progress::Warning>,
    /// What its last verification found; none where there was none yet.
    #[serde(default)]
    pub last_verification: Option<LastVerification>,
    /// That it is kept by hand.
    #[serde(default)]
    pub pin: Option<Pin>,
    /// The error of a failed backup, as [`crate::error::Error::to_json`] writes it.
    pub error: Option<serde_json::Value>,
}

impl BackupRecord {
    /// The record of a backup that begins.
    pub fn in_progress(
        id: BackupId,
        name: String,
        stack: &str,
        kind: Kind,
        reason: Reason,
        started_at: Timestamp,
    ) -> Self {
        Self {
            id,
            name,
            path: None,
            sequence: 0,
            stack: stack.into(),
            kind,
            reason,
            status: Status::InProgress,
            labels: BTreeMap::new(),
            version_label: None,
            parent: None,
            omitted: Vec::new(),
            readiness: None,
            started_at,
            finished_at: None,
            duration_seconds: None,
            consistency: None,
            downtime: Vec::new(),
            components: Vec::new(),
            source_bytes: 0,
            stored_bytes: 0,
            file_count: 0,
            encrypted: false,
            copies: Vec::new(),
            warnings: Vec::new(),
            last_verification: None,
            pin: None,
            error: None,
        }
    }

    /// The record of a published backup.
    pub fn published(backup: &PublishedBackup) -> Self {
        let Manifest {
            id,
            name,
            sequence,
            stack,
            kind,
            reason,
            labels,
            version_label,
            parent,
            omitted,
            readiness,
            started_at,
            finished_at,
            duration_seconds,
            consistency,
            downtime,
            components,
            source_bytes,
            stored_bytes,
            file_count,
            encryption,
            warnings,
            ..
        } = backup.manifest().clone();
        Self {
            id,
            name,
            path: backup.directory(),
            sequence,
            stack,
            kind,
            reason,
            status: Status::Completed,
            labels,
            version_label,
            parent,
            omitted,
            readiness,
            started_at,
            finished_at: Some(finished_at),
            duration_seconds: Some(duration_seconds),
            consistency: Some(consistency),
            downtime,
            components,
            source_bytes,
            stored_bytes,
            file_count,
            encrypted: encryption.is_some(),
            copies: Vec::new(),
            warnings,
            last_verification: None,
            pin: None,
            error: None,
        }
    }

    /// The manifest of the backup as far as the record knows it, for one whose own is damaged.
    pub fn to_manifest(&self, repository_id: &str, objects: Vec<Object>) -> Manifest {
        let no_instant = || Consistency {
            level: Level::Independent,
            because: "nothing is known of it".into(),
            fenced_at: None,
            databases: Vec::new(),
            transactions_during_capture: 0,
            files_changed_during_capture: Vec::new(),
        };
        Manifest {
            format: FORMAT,
            id: self.id.clone(),
            name: self.name.clone(),
            sequence: self.sequence,
            repository_id: repository_id.into(),
            stack: self.stack.clone(),
            host: String::new(),
            backstop_version: String::new(),
            kind: self.kind,
            reason: self.reason,
            labels: self.labels.clone(),
            version_label: self.version_label.clone(),
            parent: self.parent.clone(),
            config_file: None,
            omitted: self.omitted.clone(),
            readiness: self.readiness.clone(),
            started_at: self.started_at,
            finished_at: self.finished_at.unwrap_or(self.started_at),
            duration_seconds: self.duration_seconds.unwrap_or_default(),
            consistency: self.consistency.clone().unwrap_or_else(no_instant),
            downtime: self.downtime.clone(),
            components: self.components.clone(),
            source_bytes: self.source_bytes,
            stored_bytes: self.stored_bytes,
            file_count: self.file_count,
            encryption: None,
            objects,
            warnings: self.warnings.clone(),
        }
    }

    /// The same backup after a verification. It is `verified` once every byte was read and is
    /// as it was written. Damage that was found stays until a verification that is at least as
    /// thorough finds it gone.
    #[must_use]
    pub fn verified(mut self, mut found: LastVerification) -> Self {
        if let Some(last) = self.last_verification.take_if(|last| !last.ok)
            && found.is_weaker_than(&last)
        {
            if found.ok {
                self.last_verification = Some(last);
                return self;
            }
            let again = |known: &Damage| found.damages.iter().any(|d| d.object == known.object);
            let known: Vec<Damage> = last.damages.into_iter().filter(|d| !again(d)).collect();
            found.damages.extend(known);
            (found.level, found.sampled) = (last.level, last.sampled);
        }
        if !found.ok {
            self.status = Status::Completed;
        } else if found.vouches_for_every_byte() {
            self.status = Status::Verified;
        }
        self.last_verification = Some(found);
        self
    }

    /// The databases and file trees that it does not hold as a whole: those that `--only` left
    /// out, and trees of which something could not be read.
    pub fn lacking(&self) -> Vec<&str> {
        self.omitted.iter().map(String::as_str).chain(self.unread()).collect()
    }

    /// The file trees of which something could not be read.
    pub fn unread(&self) -> Vec<&str> {
        let unread = |component: &&Component| match &component.detail {
            Detail::Files(files) => !files.unreadable.is_empty(),
            _ => false,
        };
        self.components.iter().filter(unread).map(|component| component.name.as_str()).collect()
    }

    /// Whether its last verification found damage.
    pub fn is_damaged(&self) -> bool {
        self.last_verification.as_ref().is_some_and(|found| !found.ok)
    }

    /// The same backup, failed with `error` at `at`.
    #[must_use]
    pub fn failed(mut self, error: &crate::error::Error, at: Timestamp) -> Self {
        self.status = Status::Failed;
        self.duration_seconds = Some(at.duration_since(self.started_at).as_secs_f64().max(0.0));
        self.finished_at = Some(at);
        self.error = Some(error.to_json());
        self
    }

    /// Its place among the instants: a consolidated backup has that of what it was made of.
    pub fn instant(&self) -> (u64, Timestamp) {
        (self.sequence, self.started_at)
    }

    /// Whether the backup lies in the repository.
    pub fn is_published(&self) -> bool {
        matches!(self.status, Status::Completed | Status::Verified)
    }

    /// Whether it is being written, or its process died while it was.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.status, Status::InProgress | Status::Pending)
    }
}

/// A time as a DuckDB `TIMESTAMP` literal in UTC.
pub(super) fn sql_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}
