//! `manifest.json`: everything about one backup, written last.
//!
//! A directory in `backups/` is a backup because it holds one. `docs/repository-format.md`
//! describes each field; unknown fields are ignored, so later versions may add some.

mod container;
mod encryption;
mod files;
mod readiness;

pub use container::{ComposeFile, ComposeRole, ContainerDetail, RecordedObject};
pub use encryption::EncryptionDetail;
pub use files::{Elsewhere, FilesDetail};
pub use readiness::{Lacking, Readiness, ReadinessLevel};

use super::BackupId;
use crate::config::DumpFormat;
use crate::progress::Warning;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The version of the repository format that this program writes.
pub const FORMAT: u32 = 1;

/// The name of the manifest inside a backup's directory.
pub const MANIFEST: &str = "manifest.json";

/// Everything about one backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The repository format, [`FORMAT`].
    pub format: u32,
    /// The backup's id.
    pub id: BackupId,
    /// The name of its directory.
    pub name: String,
    /// Its place in the repository's history, from 1. Orders backups even when the
    /// clock was set back.
    pub sequence: u64,
    /// The id of the repository it was written into.
    pub repository_id: String,
    /// The stack's name.
    pub stack: String,
    /// The host that wrote it.
    pub host: String,
    /// The version of backstop that wrote it.
    pub backstop_version: String,
    /// Full, incremental or differential.
    pub kind: Kind,
    /// Why it was taken.
    pub reason: Reason,
    /// Labels given by the user.
    pub labels: BTreeMap<String, String>,
    /// The application's version, as the user named it.
    pub version_label: Option<String>,
    /// The backup this one builds upon; none for a full one.
    pub parent: Option<BackupId>,
    /// Databases and file trees of the stack that `--only` or a checkpoint left out.
    #[serde(default)]
    pub omitted: Vec<String>,
    /// How much of what the config names was there; none in backups of before this was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Readiness>,
    /// The config file that it was taken with, on its host; its copy is an object of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_file: Option<PathBuf>,
    /// When it was started, UTC.
    pub started_at: Timestamp,
    /// When everything but the manifest lay on disk, UTC, by the monotonic clock.
    pub finished_at: Timestamp,
    /// From start to finish, in seconds.
    pub duration_seconds: f64,
    /// How well its parts belong to one instant.
    pub consistency: Consistency,
    /// How long each container was held.
    pub downtime: Vec<Downtime>,
    /// Its parts.
    pub components: Vec<Component>,
    /// The sum of the components' source bytes.
    pub source_bytes: u64,
    /// The sum of the components' stored bytes.
    pub stored_bytes: u64,
    /// The sum of the components' file counts.
    pub file_count: u64,
    /// Whom its objects are encrypted for; none where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionDetail>,
    /// Every stored file but this one and `SHA256SUMS`.
    pub objects: Vec<Object>,
    /// Faults that were survived.
    pub warnings: Vec<Warning>,
}

/// Full, incremental or differential.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everything is stored in this backup.
    Full,
    /// What changed since the newest backup is stored.
    Incremental,
    /// What changed since the newest full backup is stored.
    Differential,
}

/// Why a backup was taken.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Somebody asked for it.
    #[default]
    Manual,
    /// A timer asked for it.
    Scheduled,
    /// An upgrade follows.
    PreUpgrade,
    /// A restore is about to replace what it holds.
    Safety,
    /// A restore point of a bootstrap.
    Checkpoint,
    /// The stack is about to move.
    Migration,
    /// It is kept for good.
    Archive,
}

impl Kind {
    /// The kind as names, flags and JSON write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Differential => "differential",
        }
    }
}

impl Reason {
    /// The reason as names, flags and JSON write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Scheduled => "scheduled",
            Self::PreUpgrade => "pre-upgrade",
            Self::Safety => "safety",
            Self::Checkpoint => "checkpoint",
            Self::Migration => "migration",
            Self::Archive => "archive",
        }
    }
}

impl Level {
    /// The level as flags and JSON write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Snapshot => "snapshot",
            Self::Fenced => "fenced",
        }
    }
}

impl Detail {
    /// The component's type as JSON writes it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Database(_) => "database",
            Self::Globals { .. } => "globals",
            Self::Files(_) => "files",
            Self::Container(_) => "container",
        }
    }
}

/// How well the parts of a backup belong to one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// The level, and with it what may be concluded.
    pub level: Level,
    /// Why the level is what it is, in one sentence.
    pub because: String,
    /// The instant, by the first database server's clock (by this host's without one).
    pub fenced_at: Option<Timestamp>,
    /// One fence a database.
    pub databases: Vec<DatabaseFence>,
    /// Transactions that took an id between the fence and the end of the capture.
    pub transactions_during_capture: u64,
    /// Files that changed or vanished while they were read, as `COMPONENT/path`.
    pub files_changed_during_capture: Vec<String>,
}

/// What may be concluded about the parts of a backup.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No common instant.
    Independent,
    /// Each part is consistent in itself; what happened in between is counted.
    Snapshot,
    /// One instant: writers held, no transaction and no file changed in between.
    Fenced,
}

/// The fence of one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseFence {
    /// The component's name.
    pub name: String,
    /// The exported snapshot's identifier (`pg_export_snapshot()`).
    pub snapshot: String,
    /// The WAL position at the fence (`pg_current_wal_lsn()`).
    pub wal_lsn: String,
    /// The next transaction id that the server would hand out at the fence.
    pub next_xid_at_fence: u64,
    /// The same after the capture of the files.
    pub next_xid_at_release: u64,
    /// The server's clock at the fence.
    pub server_time: Timestamp,
}

/// How long one container was held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Downtime {
    /// The container's name.
    pub container: String,
    /// From the request to hold it until it ran again, in seconds.
    pub seconds: f64,
}

/// One part of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Its name, unique in the backup.
    pub name: String,
    /// Bytes of the source: file contents, or the database's size on its server.
    pub source_bytes: u64,
    /// Bytes in the repository.
    pub stored_bytes: u64,
    /// Files and directories of the tree, or files of the dump.
    pub file_count: u64,
    /// What it is.
    #[serde(flatten)]
    pub detail: Detail,
}

/// What a component is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Detail {
    /// A PostgreSQL database.
    Database(Box<DatabaseDetail>),
    /// Roles and tablespaces of a server.
    Globals {
        /// The script, relative to the backup's directory.
        object: String,
        /// The databases whose server it describes.
        databases: Vec<String>,
    },
    /// A file tree.
    Files(FilesDetail),
    /// A container's definition.
    Container(ContainerDetail),
}

/// A dumped database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseDetail {
    /// The database's name on its server.
    pub database: String,
    /// The dump's format.
    pub format: DumpFormat,
    /// The dump, relative to the backup's directory: a file, or a directory.
    pub object: String,
    /// The server's version, e.g. `15.18`.
    pub server_version: String,
    /// The version of `pg_dump`.
    pub dump_version: String,
    /// The role that owns the database.
    pub owner: String,
    /// The server encoding, e.g. `UTF8`.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// `icu` or `builtin` where collations are not the C library's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale_provider: Option<String>,
    /// The locale of that provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// `ALTER DATABASE … SET` settings, as `name=value`.
    pub settings: Vec<String>,
    /// `ALTER ROLE … IN DATABASE … SET` settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role_settings: Vec<RoleSetting>,
    /// Grants on the database itself, as `pg_database.datacl` prints them.
    pub acl: Vec<String>,
    /// `COMMENT ON DATABASE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// `CONNECTION LIMIT`; none where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<i32>,
    /// The tablespace of what is in no other; none where it is `pg_default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<String>,
    /// `IS_TEMPLATE`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_template: bool,
    /// Table patterns left out of the dump.
    pub exclude_tables: Vec<String>,
    /// Rows of each table at the fence.
    pub tables: Vec<TableRows>,
}

/// A setting that one role has in one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSetting {
    /// The role's name.
    pub role: String,
    /// The setting, as `name=value`.
    pub setting: String,
}

/// Rows of one table at the fence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableRows {
    /// `schema.table`, quoted where SQL needs it.
    pub table: String,
    /// How many rows.
    pub rows: u64,
    /// Counted inside the exported snapshot, or the planner's estimate.
    pub exact: bool,
}

/// One stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Relative to the backup's directory, with `/`.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}
