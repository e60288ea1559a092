//! The containers of a backup as they were made.

use crate::docker::Blueprint;
use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;
use crate::repository::manifest::Detail;

/// A container as a backup recorded it.
#[derive(Debug, Clone)]
pub struct RecordedContainer {
    /// How it was made.
    pub blueprint: Blueprint,
    /// Whether it ran.
    pub was_running: bool,
    /// Its image by the name that the container used.
    pub image: String,
}

/// The containers that `backup` recorded, by name.
///
/// # Errors
/// `backup_damaged` where a definition is no such thing; `key_missing` and `key_wrong`.
pub fn recorded_containers(backup: &PublishedBackup) -> Result<Vec<RecordedContainer>> {
    let mut containers = Vec::new();
    for component in &backup.manifest().components {
        let Detail::Container(detail) = &component.detail else { continue };
        let text = backup.read(&detail.object)?;
        let damaged =
            || Error::new(Code::BackupDamaged, "read the definition of container", &component.name);
        let inspect = serde_json::from_slice(&text).map_err(|e| damaged().source(e))?;
        let blueprint = Blueprint::read(&inspect)
            .ok_or_else(|| damaged().cause(format!("{} is no definition", detail.object)))?;
        let (was_running, image) = (detail.was_running, detail.image.clone());
        containers.push(RecordedContainer { blueprint, was_running, image });
    }
    Ok(containers)
}
