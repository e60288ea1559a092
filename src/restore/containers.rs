//! The containers of a backup as they were made.

use crate::docker::Blueprint;
use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;
use crate::repository::manifest::{ContainerDetail, Detail, RecordedObject};
use serde_json::Value;

/// A container as a backup recorded it.
#[derive(Clone)]
pub struct RecordedContainer {
    /// How it was made.
    pub blueprint: Blueprint,
    /// The networks that it needs, word for word.
    pub networks: Vec<Value>,
    /// The volumes that it needs, word for word.
    pub volumes: Vec<Value>,
    /// What else is known of it.
    pub detail: ContainerDetail,
}

/// The containers that `backup` recorded, by name.
///
/// # Errors
/// `backup_damaged` where a definition is no such thing; `key_missing` and `key_wrong`.
pub fn recorded_containers(backup: &PublishedBackup) -> Result<Vec<RecordedContainer>> {
    let mut containers = Vec::new();
    for component in &backup.manifest().components {
        let Detail::Container(detail) = &component.detail else { continue };
        let inspect = definition(backup, &detail.object)?;
        let blueprint = Blueprint::read(&inspect)
            .ok_or_else(|| damaged(&detail.object).cause("it is no definition of a container"))?;
        let all = |recorded: &[RecordedObject]| {
            recorded.iter().map(|it| definition(backup, &it.object)).collect::<Result<Vec<_>>>()
        };
        containers.push(RecordedContainer {
            blueprint,
            networks: all(&detail.networks)?,
            volumes: all(&detail.volumes)?,
            detail: detail.clone(),
        });
    }
    Ok(containers)
}

fn definition(backup: &PublishedBackup, object: &str) -> Result<Value> {
    serde_json::from_slice(&backup.read(object)?).map_err(|e| damaged(object).source(e))
}

fn damaged(object: &str) -> Error {
    Error::new(Code::BackupDamaged, "read the definition", object)
}
