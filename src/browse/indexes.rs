//! The indexes of encrypted backups, decrypted for questions: DuckDB reads files.

use super::INDEX;
use crate::backup::{open_repository, plain_index};
use crate::catalog::{BackupRecord, Catalog};
use crate::encryption::sealed_name;
use crate::error::{Code, Result};
use crate::repository::BackupId;
use crate::setting::Setting;
use crate::size::count;
use crate::storage::{LocalStorage, Storage};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// In the state directory: decrypted indexes, named by their backups' ids.
const INDEXES: &str = "indexes";

/// Above so many bytes those that were decrypted first are removed, unless they are wanted now.
const MOST_BYTES: u64 = 2 << 30;

/// Decrypts the indexes of the `wanted` backups, or of all, that are encrypted and were not
/// decrypted before, into the state directory. Returns where each lies; none where there is no
/// key, which is a warning for all and a failure for those that are wanted. What is kept of
/// backups that are gone is removed.
///
/// # Errors
/// `key_missing`, `key_wrong` for backups that are wanted.
pub fn decrypted_indexes(
    setting: &Setting,
    wanted: Option<&[BackupId]>,
) -> Result<BTreeMap<BackupId, Option<PathBuf>>> {
    let session = Catalog::in_dir(&setting.config.state.dir).session(&setting.progress)?;
    let records = session.list()?;
    drop(session);
    let dir = setting.config.state.dir.join(INDEXES);
    let is_wanted = |record: &&BackupRecord| wanted.is_none_or(|ids| ids.contains(&record.id));
    let encrypted: Vec<&BackupRecord> = records
        .iter()
        .filter(is_wanted)
        .filter(|record| {
            let path = record.path.as_ref().filter(|_| record.is_published());
            path.is_some_and(|path| path.join(sealed_name(INDEX)).exists())
        })
        .collect();
    let mut found = BTreeMap::new();
    let mut locked = Vec::new();
    for record in encrypted {
        setting.check_interrupted("read the indexes of")?;
        let index = match decrypted(setting, record, &dir) {
            Ok(index) => Some(index),
            Err(e) if matches!(e.code(), Code::KeyMissing | Code::KeyWrong) => match wanted {
                Some(_) => return Err(e),
                None => {
                    locked.push(e);
                    None
                }
            },
            Err(e) => {
                setting.progress.warn(e.code(), format!("{} is left out: {e}", record.name));
                None
            }
        };
        found.insert(record.id.clone(), index);
    }
    if let Some(first) = locked.first() {
        let backups = count(locked.len() as u64, "encrypted backup is", "encrypted backups are");
        setting.progress.warn(first.code(), format!("{backups} left out: {first}"));
    }
    let known = records.iter().map(|record| record.id.as_str()).collect();
    tidy(&dir, &known, &found);
    Ok(found)
}

fn decrypted(setting: &Setting, record: &BackupRecord, dir: &Path) -> Result<PathBuf> {
    let name = format!("{}.parquet", record.id);
    let path = dir.join(&name);
    if path.exists() {
        return Ok(path);
    }
    if !setting.identities.are_configured()
        && let Some(index) = plain_index(setting, &record.id)
    {
        return Ok(index);
    }
    let index = open_repository(setting)?.backup(&record.name)?.open(INDEX)?;
    LocalStorage::new(dir).upload(&name, &index, &setting.cancel, &mut |_| {})?;
    Ok(path)
}

/// Removes the indexes of backups that are not `known`, and the oldest of those that are not
/// needed now where all of them are too many.
fn tidy(dir: &Path, known: &BTreeSet<&str>, now: &BTreeMap<BackupId, Option<PathBuf>>) {
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let id = name.to_str().and_then(|name| name.strip_suffix(".parquet"));
        let Ok(found) = entry.metadata() else { continue };
        match id.is_some_and(|id| known.contains(id)) {
            true => {
                let at = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                kept.push((at, found.len(), path));
            }
            // What cannot be removed now is tried again by the next question.
            false => drop(std::fs::remove_file(path)),
        }
    }
    kept.sort();
    let mut bytes: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, size, path) in kept {
        let is_needed = now.values().flatten().any(|needed| *needed == path);
        if bytes > MOST_BYTES && !is_needed && std::fs::remove_file(&path).is_ok() {
            bytes -= size;
        }
    }
}
