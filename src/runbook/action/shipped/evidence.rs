//! `database.dump` and `files.quarantine`: what is there now, kept as it is.

use super::logged::logged;
use super::outputs;
use super::staged::key;
use crate::backup::{DumpedFile, SingleDump};
use crate::config::DumpFormat;
use crate::error::Result;
use crate::restore::{quarantine, release};
use crate::runbook::action::{Action, Outputs, Probe, Scope};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;

pub(in crate::runbook) struct DatabaseDump;
pub(in crate::runbook) struct FilesQuarantine;

/// What is dumped, and where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Dump {
    /// The database's name in the config.
    database: String,
    /// Another database of the same server.
    dbname: Option<String>,
    /// The file, which must not exist; where backups are encrypted, `.age` is added to it.
    to: PathBuf,
    /// The format.
    #[serde(default)]
    format: Format,
}

/// A format of `pg_dump` that is one file.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// For `pg_restore`.
    #[default]
    Custom,
    /// SQL, compressed with zstd.
    Plain,
    /// For `pg_restore`, compressed with zstd.
    Tar,
}

/// Which files are moved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Files {
    /// The file tree's name in the config.
    files: String,
    /// Files and directories, relative to the tree; without any, all that is in it.
    #[serde(default)]
    paths: Vec<PathBuf>,
}

impl Dump {
    fn single(&self, scope: &Scope) -> SingleDump {
        SingleDump {
            database: self.database.clone(),
            dbname: self.dbname.clone(),
            format: match self.format {
                Format::Custom => DumpFormat::Custom,
                Format::Plain => DumpFormat::Plain,
                Format::Tar => DumpFormat::Tar,
            },
            to: self.to.clone(),
            key: key(scope),
        }
    }
}

fn dumped(dump: &DumpedFile) -> Outputs {
    let path = dump.path.display().to_string();
    outputs([
        ("path", path.clone().into()),
        ("bytes", dump.bytes.into()),
        ("sha256", dump.sha256.clone().into()),
        ("evidence", json!({ "file": path, "bytes": dump.bytes, "sha256": dump.sha256 })),
    ])
}

impl Action for DatabaseDump {
    type With = Dump;
    const NAME: &'static str = "database.dump";
    const ABOUT: &'static str = "Dumps a database as it is now into a file.";
    const OUTPUTS: &'static [&'static str] = &["path", "bytes", "sha256", "evidence"];
    const PROBES: bool = true;

    fn check(with: &Dump) -> std::result::Result<(), String> {
        match with.to.file_name() {
            Some(_) => Ok(()),
            None => Err("`to` names no file".into()),
        }
    }

    fn plan(&self, with: &Dump) -> String {
        let dbname = with.dbname.as_deref().map(|name| format!("{name} on the server of "));
        let dbname = dbname.unwrap_or_default();
        format!("dump {dbname}{} to {}", with.database, with.to.display())
    }

    async fn run(&self, with: &Dump, scope: &Scope) -> Result<Outputs> {
        let (setting, dump) = (logged(scope), with.single(scope));
        // What is there already is somebody else's.
        let free = dump.path(&setting).symlink_metadata().is_err();
        scope.note("free", free)?;
        dump.write(&setting).await.map(|file| dumped(&file))
    }

    async fn probe(&self, with: &Dump, scope: &Scope) -> Result<Probe> {
        if scope.noted("free") != Some(true.into()) {
            return Ok(Probe::NotDone);
        }
        let found = with.single(scope).find(&scope.setting).await?;
        Ok(found.map_or(Probe::NotDone, |file| Probe::Done(dumped(&file))))
    }
}

impl Action for FilesQuarantine {
    type With = Files;
    const NAME: &'static str = "files.quarantine";
    const ABOUT: &'static str =
        "Moves files out of a live tree to where nothing but root finds them, with their hashes.";
    const OUTPUTS: &'static [&'static str] = &["place", "moved", "files", "bytes", "evidence"];
    const IDEMPOTENT: bool = true;
    const UNDOES: bool = true;

    fn plan(&self, with: &Files) -> String {
        let paths: Vec<String> = with.paths.iter().map(|path| path.display().to_string()).collect();
        match paths.as_slice() {
            [] => format!("move everything out of the files {}", with.files),
            paths => format!("move {} out of the files {}", paths.join(", "), with.files),
        }
    }

    async fn run(&self, with: &Files, scope: &Scope) -> Result<Outputs> {
        let setting = logged(scope);
        let found = quarantine(&setting, &with.files, &with.paths, &key(scope)).await?;
        found.moved.iter().for_each(|path| scope.log.line(path));
        Ok(outputs([
            ("place", found.place.display().to_string().into()),
            ("moved", json!(found.moved)),
            ("files", found.files.into()),
            ("bytes", found.bytes.into()),
            (
                "evidence",
                json!({ "quarantine": found.place, "files": found.files, "sha256sums": found.sha256 }),
            ),
        ]))
    }

    async fn undo(&self, with: &Files, _outputs: Option<&Outputs>, scope: &Scope) -> Result<()> {
        release(&logged(scope), &with.files, &key(scope)).await
    }
}
