//! What a backup knows of its stack beside the data: the config that it was taken with, and the
//! definitions of the containers.

use crate::error::{Code, Error, Result};
use crate::repository::{PublishedBackup, create_dir, write_new};
use std::path::{Path, PathBuf};

/// What such a file may be called, after `config/backstop.`.
const EXTENSIONS: [&str; 3] = ["toml", "yaml", "yml"];

/// The text of the config file that `backup` was taken with. It holds no passwords.
///
/// # Errors
/// `file_not_found` where the backup holds none, as when only variables described the stack;
/// `key_missing` and `key_wrong`.
pub fn recorded_config(backup: &PublishedBackup) -> Result<String> {
    recorded_config_file(backup).map(|file| file.text)
}

/// A config file as a backup knows it.
#[derive(Debug, Clone)]
pub struct RecordedConfig {
    /// Its text.
    pub text: String,
    /// `backstop.` and how its format ends.
    pub name: String,
    /// Where it lay, where the backup says so.
    pub path: Option<PathBuf>,
}

/// The config file that `backup` was taken with, and where it lay.
///
/// # Errors
/// As [`recorded_config`].
pub fn recorded_config_file(backup: &PublishedBackup) -> Result<RecordedConfig> {
    let manifest = backup.manifest();
    let is_there = |object: &String| {
        let stored = manifest.stored_name(object);
        manifest.objects.iter().any(|object| object.path == stored)
    };
    let mut objects = EXTENSIONS.iter().map(|extension| format!("config/backstop.{extension}"));
    let Some(object) = objects.find(is_there) else {
        return Err(Error::new(Code::FileNotFound, "print the config of", &manifest.name)
            .cause("the backup holds none")
            .hint("where no file but variables described the stack, none is recorded"));
    };
    let text = String::from_utf8(backup.read(&object)?).map_err(|e| {
        Error::new(Code::BackupDamaged, "print the config of", &manifest.name).source(e)
    })?;
    let name = object.trim_start_matches("config/").to_owned();
    Ok(RecordedConfig { text, name, path: manifest.config_file.clone() })
}

/// Writes the config of `backup`, its containers' definitions and the files of their compose
/// projects into the directory `to`, which is created and must be empty. They may hold secrets:
/// nobody else may read them (mode 0600). Returns their paths there.
///
/// # Errors
/// `restore_failed` where the directory is not empty; `key_missing` and `key_wrong`.
pub fn write_descriptions(backup: &PublishedBackup, to: &Path) -> Result<Vec<String>> {
    create_dir(to)?;
    let failed = |e| Error::io("write to", to, e);
    if std::fs::read_dir(to).map_err(failed)?.next().is_some() {
        return Err(Error::new(Code::RestoreFailed, "write to", to.display())
            .cause("the directory is not empty")
            .hint("name a new or empty directory"));
    }
    let manifest = backup.manifest();
    let objects = manifest.objects.iter().map(|object| manifest.logical_name(&object.path));
    let described =
        |object: &&str| object.starts_with("config/") || object.starts_with("containers/");
    let mut written = Vec::new();
    for object in objects.filter(described) {
        let path = to.join(object);
        if let Some(parent) = path.parent() {
            create_dir(parent)?;
        }
        write_new(&path, &backup.read(object)?)?;
        written.push(object.to_owned());
    }
    Ok(written)
}
