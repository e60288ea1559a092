//! Which backups are kept, and how the others are taken out.

use crate::catalog::{BackupRecord, Event, EventName, Session};
use crate::error::Result;
use crate::repository::{Lock, Repository};

/// Deletes one backup from the repository and then from the catalog, in this order: a
/// crash in between leaves a row that the next session removes.
pub fn delete(
    repository: &Repository,
    lock: &Lock,
    catalog: &mut Session,
    record: &BackupRecord,
) -> Result<()> {
    if record.is_published() {
        repository.delete(&record.name, &record.id, lock)?;
    }
    catalog.remove(&record.id)?;
    let detail = serde_json::json!({ "name": record.name });
    catalog.record_event(&Event::now(EventName::BackupDeleted, Some(&record.id), detail))
}
