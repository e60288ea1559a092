//! What one config file protects: the stack.
//!
//! The types are the contract, and the schema made from them is what is enforced.
//! [`load`](Config::load) finds the file, lays the environment over it and refuses what
//! it does not know; `docs/configuration.md` describes every key.

mod check;
mod containers;
mod contradictions;
mod database;
mod elsewhere;
mod encryption;
mod environment;
mod files;
mod guard;
mod legacy;
mod load;
mod locate;
mod origin;
mod overrides;
mod problem;
mod real_path;
mod redact;
mod retention;
mod schema;
mod show;
mod size;
mod source;
mod store;
mod store_url;
#[cfg(test)]
mod tests;
mod text;
mod timeout;
mod toml;
mod url;
mod yaml;

pub use containers::{ContainerSelection, Quiesce, Selector};
pub use database::{Database, DumpFormat};
pub(crate) use elsewhere::state_dir;
pub use encryption::{Encryption, Recipient};
pub use environment::Environment;
pub use files::{Capture, FileTree};
pub use guard::Guard;
pub use load::Loaded;
pub use origin::Origin;
pub(crate) use real_path::real_path;
pub use redact::without_passwords;
pub use retention::{Retention, Rules};
pub use schema::schema;
pub use show::{show_toml, to_json};
pub use size::Size;
pub use store::{Copy, Credentials, KnownHosts, Place, Store, StoreOptions};
pub use store_url::{Service, StoreUrl};
pub use timeout::Timeout;
pub use url::DatabaseUrl;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything backstop needs to know about one stack.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether backups are taken at all. `BACKUP_ENABLED=false` in the environment turns them
    /// off too.
    #[serde(default = "Config::default_enabled")]
    pub enabled: bool,
    /// The stack as a whole.
    pub stack: Stack,
    /// Where backups lie.
    pub repository: Repository,
    /// Where the catalog, journals and locks lie.
    #[serde(default)]
    pub state: State,
    /// PostgreSQL databases.
    #[serde(default)]
    pub databases: Vec<Database>,
    /// File trees and Docker volumes.
    #[serde(default)]
    pub files: Vec<FileTree>,
    /// Containers that write, and are held while the fence is taken.
    #[serde(default)]
    pub containers: Vec<ContainerSelection>,
    /// Which backups stay. Without it all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Where own runbooks lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbooks: Option<Runbooks>,
    /// How upgrades are guarded.
    #[serde(default)]
    pub guard: Guard,
    /// Who can read the backups. Without it they are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What the catalog of another repository than the config's own is kept under.
    #[serde(skip)]
    pub(crate) elsewhere: Option<String>,
    /// Whether that is one of its copies.
    #[serde(skip)]
    pub(crate) copy: bool,
}

impl Config {
    fn default_enabled() -> bool {
        true
    }

    /// Whether the environment of this process turns backups off, whatever a config says.
    pub fn is_disabled_by_environment() -> bool {
        Environment::current().disables()
    }
}

/// Where own runbooks lie.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runbooks {
    /// A directory of YAML files; one of the name of a shipped runbook replaces that.
    pub dir: PathBuf,
}

/// The stack as a whole.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// The name that backups carry.
    pub name: String,
}

/// Where backups lie.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// A directory; the first backup creates it. Either this or `url`; empty with the latter.
    #[serde(default, skip_serializing_if = "no_path")]
    pub path: PathBuf,
    /// An object store that is the repository's only home; either this or `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<StoreUrl>,
    /// What the store's address does not say.
    #[serde(default, skip_serializing_if = "store::is_default")]
    pub options: StoreOptions,
    /// Where the store's secrets are found.
    #[serde(default, skip_serializing_if = "store::is_default")]
    pub credentials: Credentials,
    /// zstd level of archives, 1 (fast) to 19 (small).
    #[serde(default = "Repository::default_compression_level")]
    #[schemars(range(min = 1, max = 19))]
    pub compression_level: i32,
    /// How old the newest full backup may become before the next one is full again. Backups in
    /// between store what changed.
    #[serde(default = "Repository::default_full_every")]
    pub full_every: Timeout,
    /// Further places where every backup is to lie.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Copy>,
}

fn no_path(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

impl Repository {
    /// Where it lies.
    pub fn place(&self) -> Place {
        store::place(Some(&self.path), self.url.as_ref(), &self.options, &self.credentials)
    }

    /// One whose place is still to be said.
    fn unnamed() -> Self {
        Self {
            path: PathBuf::new(),
            url: None,
            options: StoreOptions::default(),
            credentials: Credentials::default(),
            compression_level: Self::default_compression_level(),
            full_every: Self::default_full_every(),
            copies: Vec::new(),
        }
    }

    fn default_compression_level() -> i32 {
        3
    }

    fn default_full_every() -> Timeout {
        Timeout::seconds(30 * 24 * 60 * 60)
    }
}

/// Where the catalog, journals and locks lie.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// A directory on a local disk.
    pub dir: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self { dir: PathBuf::from("/var/lib/backstop") }
    }
}
