//! Deletion of single backups, which leaves all others restorable.

use super::unreadable::Unreadable;
use crate::catalog::{BackupRecord, Event, EventName, Session};
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use crate::repository::manifest::Component;
use crate::repository::{Considered, Lock, Repository};
use crate::size::count;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The published backups whose file trees have contents in `record`'s archives.
pub fn dependents<'a>(record: &BackupRecord, all: &'a [BackupRecord]) -> Vec<&'a BackupRecord> {
    let needs = |other: &&BackupRecord| {
        let mut elsewhere = other.components.iter().flat_map(Component::elsewhere);
        other.is_published() && elsewhere.any(|stored| stored.backup == record.id)
    };
    all.iter().filter(needs).collect()
}

/// Refuses what [`delete`] would refuse, without touching anything. `all` are the catalog's
/// records.
///
/// # Errors
/// `backup_needed` where other backups have contents in it, or may have; `backup_kept`. `force`
/// lets one go that is kept by hand, or that a backup which cannot be read may need.
pub fn refuse_delete(
    repository: &Repository,
    all: &[BackupRecord],
    record: &BackupRecord,
    force: bool,
) -> Result<()> {
    let dependents = dependents(record, all);
    if let Some(first) = dependents.first() {
        let cause = match dependents.len() as u64 - 1 {
            0 => format!("{} has files in it", first.name),
            more => {
                let more = count(more, "more backup has", "more backups have");
                format!("{} and {more} files in it", first.name)
            }
        };
        return Err(Error::new(Code::BackupNeeded, "delete backup", &record.name)
            .cause(cause)
            .hint("delete those first, newest first"));
    }
    let unreadable = Unreadable::among(repository, all, "delete from")?;
    if let Some(other) = unreadable.iter().find(|other| !force && other.may_need(record)) {
        return Err(Error::new(Code::BackupNeeded, "delete backup", &record.name)
            .cause(format!("{} cannot be read and may have files in it", other.name))
            .hint("`backstop repo check` says what is wrong with that; --force deletes this one"));
    }
    if let Some(pin) = record.pin.as_ref().filter(|_| !force) {
        let because = pin.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        return Err(Error::new(Code::BackupKept, "delete backup", &record.name)
            .cause(format!("it is kept by hand{because}")));
    }
    Ok(())
}

/// Says why nothing seems to happen, where a deletion waits.
pub(crate) fn announce_pause(repository: &Repository, progress: &Arc<dyn Progress>) {
    if let Some(pause) = repository.deletion_pause() {
        let seconds = pause.as_secs();
        progress
            .note(format!("waiting {seconds} s, so that no other host loses what it builds upon"));
    }
}

/// Deletes one backup from the repository and then from the catalog, in this order: a
/// crash in between leaves a row that the next session removes. `force` deletes one that is
/// kept by hand as well, or that a backup which cannot be read may need.
///
/// # Errors
/// As [`refuse_delete`]; and `backup_needed` where another host builds upon it.
pub fn delete(
    repository: &Repository,
    lock: &Lock,
    catalog: &mut Session,
    record: &BackupRecord,
    force: bool,
    progress: &Arc<dyn Progress>,
) -> Result<()> {
    let all = catalog.list()?;
    refuse_delete(repository, &all, record, force)?;
    if record.is_published() {
        let targets = BTreeMap::from([(record.id.clone(), record.name.clone())]);
        announce_pause(repository, progress);
        let considered = Considered {
            needs: &|name| all.iter().any(|other| other.name == name),
            pin: &|id| all.iter().any(|other| other.id == *id && other.pin.is_some()),
        };
        let cancel = CancellationToken::new();
        let mut deletion = repository.deletion(targets, considered, &cancel, lock)?;
        let deleted = deletion.delete(&record.id);
        let finished = deletion.finish();
        deleted?;
        finished?;
    }
    forget(catalog, record)
}

/// Takes the row of a deleted backup out.
pub(super) fn forget(catalog: &mut Session, record: &BackupRecord) -> Result<()> {
    catalog.remove(&record.id)?;
    let detail = serde_json::json!({ "name": record.name });
    catalog.record_event(&Event::now(EventName::BackupDeleted, Some(&record.id), detail))
}
