//! A PostgreSQL database in the config.

use super::{DatabaseUrl, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;
use std::path::PathBuf;

/// One PostgreSQL database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The component's name.
    pub name: String,
    /// `postgres://user@host:port/database`; a socket directory is written as
    /// `postgres://user@/database?host=/run/postgresql`.
    pub url: DatabaseUrl,
    /// The environment variable that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// The file whose first line is the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// How many tables `pg_dump` and `pg_restore` work on at once (directory format).
    #[serde(default = "Database::default_jobs")]
    pub jobs: NonZeroU16,
    /// The format of the dump; without it `directory`, or `custom` where `container` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DumpFormat>,
    /// The container in which `pg_dump` and `pg_restore` run (`docker exec`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Tables left out of the dump, as `pg_dump --exclude-table` patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<String>,
    /// Tables up to this size have their rows counted at the fence, so that a restore can
    /// compare; of larger ones the planner's estimate is recorded.
    #[serde(default = "Database::default_count_rows_up_to")]
    pub count_rows_up_to: Size,
    /// The directory of `pg_dump`, `pg_restore` and `pg_dumpall`; without it the
    /// newest installed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bin_dir: Option<PathBuf>,
}

impl Database {
    fn default_jobs() -> NonZeroU16 {
        NonZeroU16::MIN.saturating_add(1)
    }

    fn default_count_rows_up_to() -> Size {
        Size::of_bytes(1 << 30)
    }

    /// The format of the dump that will be written.
    ///
    /// A directory cannot be streamed out of a container, and nothing is written inside
    /// one, so there `directory` becomes `custom`.
    pub fn dump_format(&self) -> DumpFormat {
        match (self.format, &self.container) {
            (None | Some(DumpFormat::Directory), Some(_)) => DumpFormat::Custom,
            (None, None) => DumpFormat::Directory,
            (Some(format), _) => format,
        }
    }
}

/// The formats of `pg_dump --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DumpFormat {
    /// A directory with one compressed file a table; parallel.
    Directory,
    /// One compressed file.
    Custom,
    /// SQL text, compressed with zstd.
    Plain,
    /// A tar archive, compressed with zstd.
    Tar,
}

impl DumpFormat {
    /// The format's name, as `pg_dump --format` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Custom => "custom",
            Self::Plain => "plain",
            Self::Tar => "tar",
        }
    }
}
