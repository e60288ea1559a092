//! One database dumped into one file that somebody names, outside of any backup.

use super::reach::reach_database;
use crate::config::DumpFormat;
use crate::database::{DumpRequest, Prepared, dump};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::TableRows;
use crate::repository::{create_dir, hash_file, sync_dir};
use crate::setting::Setting;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What is dumped, and where to.
#[derive(Debug, Clone)]
pub struct SingleDump {
    /// The database's name in the config.
    pub database: String,
    /// Another database of the same server.
    pub dbname: Option<String>,
    /// The format: one that is a single file.
    pub format: DumpFormat,
    /// The file. Where backups are encrypted, `.age` is added, and it is encrypted too.
    pub to: PathBuf,
    /// Part of the names that are used meanwhile; the same one finds and removes what a dead
    /// attempt left.
    pub key: String,
}

/// A dump in one file.
#[derive(Debug, Clone)]
pub struct DumpedFile {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// The rows of each table.
    pub tables: Vec<TableRows>,
}

impl SingleDump {
    /// The file that is there when it is done.
    pub fn path(&self, setting: &Setting) -> PathBuf {
        let name = self.to.as_os_str().to_string_lossy().into_owned();
        setting.recipients.stored_name(&name).into()
    }

    /// Dumps every table. The file appears whole, or not at all, and replaces none.
    pub async fn write(&self, setting: &Setting) -> Result<DumpedFile> {
        let path = self.path(setting);
        let attempted = "dump database to";
        if self.format == DumpFormat::Directory {
            return Err(Error::new(Code::Usage, attempted, path.display())
                .cause("the directory format is no single file"));
        }
        if path.symlink_metadata().is_ok() {
            return Err(Error::new(Code::ActionFailed, attempted, path.display())
                .cause("there is something of this name"));
        }
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        create_dir(dir)?;
        let room = dir.join(format!(".backstop-dump-{}", self.key));
        remove(&room)?;
        create_dir(&room)?;
        let written = setting.unless_interrupted("dump", self.dump(setting, &room, &path)).await;
        let removed = remove(&room);
        let tables = written?;
        removed?;
        let dumped = look(setting, &path).await?;
        Ok(DumpedFile { tables, ..dumped })
    }

    async fn dump(&self, setting: &Setting, room: &Path, path: &Path) -> Result<Vec<TableRows>> {
        let reach = reach_database(setting, &self.database).await?;
        let target = match &self.dbname {
            Some(other) => reach.target.with_database(other),
            None => reach.target.clone(),
        };
        let prepared = Prepared::connect(&target).await?;
        let held = prepared.fence().await?;
        let level = setting.config.repository.compression_level;
        let request = DumpRequest {
            format: self.format,
            exclude_tables: Vec::new(),
            ..DumpRequest::new(&reach.config, level, room)
        }
        .sealed_for(&setting.recipients);
        let dumped = dump::dump(&held, &reach.tools, &request, &setting.progress).await?;
        let file = room.join(setting.recipients.stored_name(&dumped.object));
        let synced = File::open(&file).and_then(|file| file.sync_all());
        synced.map_err(|e| Error::io("write", &file, e))?;
        std::fs::rename(&file, path).map_err(|e| Error::io("rename", &file, e))?;
        sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        Ok(dumped.tables)
    }

    /// The finished dump, where there is one.
    pub async fn find(&self, setting: &Setting) -> Result<Option<DumpedFile>> {
        let path = self.path(setting);
        match path.is_file() {
            true => look(setting, &path).await.map(Some),
            false => Ok(None),
        }
    }
}

async fn look(setting: &Setting, path: &Path) -> Result<DumpedFile> {
    let (file, cancel) = (path.to_owned(), setting.cancel.clone());
    let (bytes, sha256) = setting.blocking(move || hash_file(&cancel, &file)).await?;
    Ok(DumpedFile { path: path.to_owned(), bytes, sha256, tables: Vec::new() })
}

fn remove(room: &Path) -> Result<()> {
    match std::fs::remove_dir_all(room) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", room, e)),
        _ => Ok(()),
    }
}
