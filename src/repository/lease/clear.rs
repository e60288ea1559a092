//! Clearing away what the dead left.

use super::deleter::remove;
use super::{DELETE, LEASES, Lease, Pace, WRITE, age, all};
use crate::error::Result;
use crate::repository::manifest::MANIFEST;
use crate::repository::{BACKUPS, BackupId};
use crate::storage::Storage;

/// An object that is written to learn the store's time.
pub(super) const CLOCK: &str = "clock-";

/// Takes over the leases that belong to nobody any more, removes the objects of backups that
/// were never published, finishes deletions that were begun, and returns what was removed.
/// Costs one listing where nobody holds a lease.
pub(in crate::repository) fn clear(storage: &dyn Storage, pace: Pace) -> Result<Vec<String>> {
    if storage.names(LEASES)?.is_empty() {
        return Ok(Vec::new());
    }
    let clock = format!("{LEASES}/{CLOCK}{}", BackupId::random()?);
    storage.write(&clock, b"")?;
    let cleared = clear_by(storage, pace, &clock);
    storage.remove(&clock)?;
    cleared
}

fn clear_by(storage: &dyn Storage, pace: Pace, clock: &str) -> Result<Vec<String>> {
    let is_stale = |object: &str| {
        Ok::<_, crate::error::Error>(age(storage, object, clock)?.is_some_and(|it| it > pace.stale))
    };
    for name in storage.names(LEASES)?.iter().filter(|name| name.starts_with(CLOCK)) {
        let object = format!("{LEASES}/{name}");
        if is_stale(&object)? {
            storage.remove(&object)?;
        }
    }
    let mut marked = Vec::new();
    for kind in [WRITE, DELETE] {
        for found in all(storage, kind)? {
            match found.lease {
                // One that was marked is cleared by whoever marked it, unless that died as well.
                Some(lease) if is_stale(&found.object)? => {
                    let lease = Lease { abandoned: true, ..lease };
                    lease.write(storage, &found.object)?;
                    marked.push((found.object, lease));
                }
                // Nothing can be learned of it.
                None if is_stale(&found.object)? => storage.remove(&found.object)?,
                _ => {}
            }
        }
    }
    if !marked.is_empty() {
        std::thread::sleep(pace.age);
    }
    let mut cleared = Vec::new();
    for (object, lease) in marked {
        let lying = storage.read(&object)?.and_then(|it| serde_json::from_slice::<Lease>(&it).ok());
        // Its holder woke up at that moment, or somebody else cleared it away.
        if lying.as_ref() != Some(&lease) {
            continue;
        }
        for name in lease.writes.iter().chain(lease.deletes.values()) {
            let dir = format!("{BACKUPS}/{name}");
            if storage.size(&format!("{dir}/{MANIFEST}"))?.is_none()
                && !storage.names(&dir)?.is_empty()
            {
                remove(storage, &dir)?;
                cleared.push(storage.shown(&dir));
            }
        }
        storage.remove(&object)?;
    }
    Ok(cleared)
}
