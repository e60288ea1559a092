//! What a store really does, found out by doing it.

use super::BackupId;
use super::lease::LEASES;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::storage::{Created, Storage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a store was found to do when the repository was created. For people and for the
/// record: nothing rests on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Probe {
    probed_at: Timestamp,
    conditional_writes: Conditional,
    server_side_copy: bool,
}

/// What becomes of a write that should not replace anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Conditional {
    /// It is refused where something is there.
    Honoured,
    /// It is accepted, and replaces what is there.
    Ignored,
    /// The store has no such request.
    Unknown,
}

/// Tries what the leases rest upon, and what makes work cheaper.
///
/// # Errors
/// `storage_failed` where the store does not return or list what was just written: several
/// hosts could not share it safely.
pub(super) fn probe(storage: &dyn Storage) -> Result<Probe> {
    let name = format!("probe-{}", BackupId::random()?);
    let (object, copy) = (format!("{LEASES}/{name}"), format!("{LEASES}/{name}-copy"));
    let found = try_all(storage, &name, &object, &copy);
    // What was tried leaves no trace, whatever came of it.
    let removed = storage.remove(&object).and(storage.remove(&copy));
    let found = found?;
    removed?;
    if storage.size(&object)?.is_some() || storage.names(LEASES)?.contains(&name) {
        return Err(unfit(storage, "it goes on showing what was just removed"));
    }
    Ok(found)
}

fn try_all(storage: &dyn Storage, name: &str, object: &str, copy: &str) -> Result<Probe> {
    storage.write(object, b"first")?;
    storage.write(object, b"second")?;
    if storage.read(object)?.as_deref() != Some(b"second") {
        return Err(unfit(storage, "it does not return what was just written"));
    }
    if !storage.names(LEASES)?.iter().any(|listed| listed == name) {
        return Err(unfit(storage, "it does not list what was just written"));
    }
    if storage.modified(object)?.is_none() {
        return Err(unfit(storage, "it does not tell when an object was written"));
    }
    let conditional_writes = match storage.create(object, b"third")? {
        Created::Existed => Conditional::Honoured,
        Created::New => Conditional::Ignored,
        Created::CannotSay => Conditional::Unknown,
    };
    let server_side_copy = storage.copy(object, copy)?;
    Ok(Probe { probed_at: clock::now(), conditional_writes, server_side_copy })
}

fn unfit(storage: &dyn Storage, cause: &str) -> Error {
    Error::new(Code::StorageFailed, "use", storage.shown(""))
        .cause(cause)
        .hint("choose a store that shows at once what was written, or a cache-free address of it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryStorage;

    #[test]
    fn what_a_store_does_with_conditions_is_found_out_and_nothing_is_left() {
        let honest = MemoryStorage::new();
        let liar = honest.ignoring_conditions();
        assert_eq!(probe(&honest).unwrap().conditional_writes, Conditional::Honoured);
        let found = probe(&liar).unwrap();
        assert_eq!(
            (found.conditional_writes, found.server_side_copy),
            (Conditional::Ignored, true)
        );
        assert_eq!(honest.all(), Vec::<String>::new());
    }
}
