//! Who is there now.

use super::clear::CLOCK;
use super::{Found, LEASES, Pace, WRITE, age, all};
use crate::error::Result;
use crate::repository::BackupId;
use crate::storage::Storage;

/// Who is writing a backup, by host. Costs one listing where nobody holds a lease.
pub(in crate::repository) fn who_writes(
    storage: &dyn Storage,
    pace: Pace,
) -> Result<Option<String>> {
    let writers = all(storage, WRITE)?;
    if writers.is_empty() {
        return Ok(None);
    }
    let clock = format!("{LEASES}/{CLOCK}{}", BackupId::random()?);
    storage.write(&clock, b"")?;
    let mut present = Ok(None);
    // Who gave up publishes nothing.
    let gave_up = |found: &Found| found.lease.as_ref().is_some_and(|lease| lease.abandoned);
    for found in writers.into_iter().filter(|found| !gave_up(found)) {
        match age(storage, &found.object, &clock) {
            // Of one that is gone by now the backup is published, or is none.
            Ok(age) if age.is_none_or(|age| age > pace.stale) => {}
            Ok(_) => present = Ok(Some(found.holder())),
            Err(e) => present = Err(e),
        }
    }
    storage.remove(&clock)?;
    present
}
