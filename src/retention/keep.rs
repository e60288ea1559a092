//! Keeping a backup by hand.

use crate::catalog::{BackupRecord, Event, EventName, Session};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::host;
use crate::repository::{Lock, Pin, Repository};

/// Keeps a backup by hand: neither `prune` nor `delete` takes it, nor what it needs. The
/// repository is told first, so that other hosts know, and a lost catalog loses nothing.
///
/// # Errors
/// `backup_not_found` where it failed, or has been deleted meanwhile: then there is nothing to keep;
/// `locked` while another host deletes it.
pub fn keep(
    repository: &Repository,
    lock: &Lock,
    catalog: &mut Session,
    mut record: BackupRecord,
    reason: Option<String>,
) -> Result<BackupRecord> {
    if !record.is_published() {
        return Err(Error::new(Code::BackupNotFound, "keep backup", &record.name)
            .cause("it was not completed, so there is nothing to keep"));
    }
    let host = host::name();
    // Said again without a reason, the one that was given still holds.
    let reason = reason.or_else(|| record.pin.as_ref().and_then(|pin| pin.reason.clone()));
    let pin = Pin { at: Some(clock::now()), host: Some(host), reason, brought: false };
    repository.pin(&record.id, &pin, lock)?;
    // Who deletes it from now on sees the pin; on a store another host may have done so before.
    if repository.is_deleted(&record.name, &record.id)? {
        repository.unpin(&record.id, lock)?;
        return Err(Error::new(Code::BackupNotFound, "keep backup", &record.name)
            .cause("it has been deleted meanwhile"));
    }
    let detail = serde_json::json!({ "name": record.name, "reason": pin.reason });
    record.pin = Some(pin);
    catalog.put(&record)?;
    catalog.record_event(&Event::now(EventName::BackupKept, Some(&record.id), detail))?;
    Ok(record)
}

/// Takes back what [`keep`] said. Of a backup that was not kept nothing changes.
pub fn unkeep(
    repository: &Repository,
    lock: &Lock,
    catalog: &mut Session,
    mut record: BackupRecord,
) -> Result<BackupRecord> {
    if repository.unpin(&record.id, lock)? {
        record.pin = None;
        catalog.put(&record)?;
        let detail = serde_json::json!({ "name": record.name });
        catalog.record_event(&Event::now(EventName::BackupUnkept, Some(&record.id), detail))?;
    }
    Ok(record)
}
