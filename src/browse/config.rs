//! The config that a backup was taken with.

use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;

/// What such a file may be called, after `config/backstop.`.
const EXTENSIONS: [&str; 3] = ["toml", "yaml", "yml"];

/// The text of the config file that `backup` was taken with. It holds no passwords.
///
/// # Errors
/// `file_not_found` where the backup holds none, as when only variables described the stack;
/// `key_missing` and `key_wrong`.
pub fn recorded_config(backup: &PublishedBackup) -> Result<String> {
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
    String::from_utf8(backup.read(&object)?).map_err(|e| {
        Error::new(Code::BackupDamaged, "print the config of", &manifest.name).source(e)
    })
}
