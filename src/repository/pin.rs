//! Pins: backups that somebody wants to keep, whatever the rules say.
//!
//! A pin is a file beside the backups, since those are never modified; so every host that
//! uses the repository knows of it.

use super::durable::{create_dir, sync_dir, write_replacing};
use super::{BackupId, PINS, lease};
use crate::error::{Code, Error, Result};
use crate::storage::Storage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// That a backup is kept by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Since when, UTC; none where the file cannot be read.
    pub at: Option<Timestamp>,
    /// On which host that was said.
    pub host: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// In a copy: a sync brought it from the repository, and takes it back when it is taken back
    /// there. What is kept in the copy itself stays kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub brought: bool,
}

fn file(repository: &Path, id: &BackupId) -> PathBuf {
    repository.join(PINS).join(format!("{id}.json"))
}

/// Writes the pin of a backup, or replaces it.
pub(super) fn write(repository: &Path, id: &BackupId, pin: &Pin) -> Result<()> {
    create_dir(&repository.join(PINS))?;
    sync_dir(repository)?;
    let path = file(repository, id);
    let mut text = serde_json::to_vec_pretty(pin)
        .map_err(|e| Error::io("write", &path, std::io::Error::other(e)))?;
    text.push(b'\n');
    write_replacing(&path, &text)
}

/// Removes the pin of a backup; false where it has none.
pub(super) fn remove(repository: &Path, id: &BackupId) -> Result<bool> {
    let path = file(repository, id);
    match std::fs::remove_file(&path) {
        Ok(()) => sync_dir(&repository.join(PINS)).map(|()| true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("remove", &path, e)),
    }
}

/// The object of a pin on a store.
fn object(id: &BackupId) -> String {
    format!("{PINS}/{id}.json")
}

/// Writes a pin on a store, unless somebody is deleting the backup: said before looked, so that
/// one of the two sees the other.
pub(super) fn write_to(storage: &dyn Storage, id: &BackupId, pin: &Pin) -> Result<()> {
    let object = object(id);
    let failed = |e| Error::new(Code::Io, "write", storage.shown(&object)).source(e);
    let mut text = serde_json::to_vec_pretty(pin).map_err(failed)?;
    text.push(b'\n');
    storage.write(&object, &text)?;
    match lease::who_deletes(storage, id)? {
        None => Ok(()),
        Some(holder) => {
            storage.remove(&object)?;
            Err(Error::new(Code::Locked, "keep backup", id)
                .cause(format!("{holder} is deleting it")))
        }
    }
}

/// Removes a pin from a store; false where there is none.
pub(super) fn remove_from(storage: &dyn Storage, id: &BackupId) -> Result<bool> {
    let object = object(id);
    let is_there = storage.size(&object)?.is_some();
    storage.remove(&object)?;
    Ok(is_there)
}

/// All pins on a store.
pub(super) fn all_on(storage: &dyn Storage) -> Result<BTreeMap<BackupId, Pin>> {
    let mut pins = BTreeMap::new();
    for name in storage.names(PINS)? {
        let Some(id) = name.strip_suffix(".json").map(str::to_owned) else { continue };
        let Ok(id) = BackupId::try_from(id) else { continue };
        let text = storage.read(&object(&id))?.unwrap_or_default();
        let unknown = Pin { at: None, host: None, reason: None, brought: false };
        pins.insert(id, serde_json::from_slice(&text).unwrap_or(unknown));
    }
    Ok(pins)
}

/// All pins. A file whose content cannot be read is a pin all the same: keeping too much does
/// no harm.
pub(super) fn all(repository: &Path) -> Result<BTreeMap<BackupId, Pin>> {
    let dir = repository.join(PINS);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(Error::io("list", &dir, e)),
    };
    let mut pins = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("list", &dir, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(id) = name.strip_suffix(".json").map(str::to_owned) else { continue };
        let Ok(id) = BackupId::try_from(id) else { continue };
        let unknown = Pin { at: None, host: None, reason: None, brought: false };
        let text = std::fs::read(&path).unwrap_or_default();
        pins.insert(id, serde_json::from_slice(&text).unwrap_or(unknown));
    }
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_back_and_an_unreadable_one_still_holds() {
        let dir = tempfile::tempdir().unwrap();
        assert!(all(dir.path()).unwrap().is_empty());
        let (one, two) = (BackupId::random().unwrap(), BackupId::random().unwrap());
        let pin = Pin {
            at: Some("2026-11-21T03:00:00Z".parse().unwrap()),
            host: Some("web-1".into()),
            reason: Some("before the audit".into()),
            brought: false,
        };
        write(dir.path(), &one, &pin).unwrap();
        std::fs::write(file(dir.path(), &two), "{").unwrap();
        std::fs::write(dir.path().join(PINS).join(".backstop-new-x"), "").unwrap();
        let pins = all(dir.path()).unwrap();
        assert_eq!((pins.len(), &pins[&one], pins[&two].at), (2, &pin, None));
        assert!(remove(dir.path(), &one).unwrap());
        assert!(!remove(dir.path(), &one).unwrap());
    }
}
