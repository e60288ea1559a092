//! Which backups are kept, and how the others are taken out.

use crate::catalog::{BackupRecord, Event, EventName, Session};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::Component;
use crate::repository::{Lock, Repository};

/// The published backups whose file trees have contents in `record`'s archives.
pub fn dependents<'a>(record: &BackupRecord, all: &'a [BackupRecord]) -> Vec<&'a BackupRecord> {
    let needs = |other: &&BackupRecord| {
        let mut elsewhere = other.components.iter().flat_map(Component::elsewhere);
        other.is_published() && elsewhere.any(|stored| stored.backup == record.id)
    };
    all.iter().filter(needs).collect()
}

/// Deletes one backup from the repository and then from the catalog, in this order: a
/// crash in between leaves a row that the next session removes.
///
/// # Errors
/// `backup_needed` where other backups have contents in it.
pub fn delete(
    repository: &Repository,
    lock: &Lock,
    catalog: &mut Session,
    record: &BackupRecord,
) -> Result<()> {
    let all = catalog.list()?;
    let dependents = dependents(record, &all);
    if let Some(first) = dependents.first() {
        let cause = match dependents.len() - 1 {
            0 => format!("{} has files in it", first.name),
            more => format!("{} and {more} more backups have files in it", first.name),
        };
        return Err(Error::new(Code::BackupNeeded, "delete backup", &record.name)
            .cause(cause)
            .hint("delete those first, newest first"));
    }
    if record.is_published() {
        repository.delete(&record.name, &record.id, lock)?;
    }
    catalog.remove(&record.id)?;
    let detail = serde_json::json!({ "name": record.name });
    catalog.record_event(&Event::now(EventName::BackupDeleted, Some(&record.id), detail))
}
