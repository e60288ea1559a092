//! The indexes of backups as files of this host, which is what DuckDB reads.
//!
//! One that lies in a directory as it is, is read there. Any other is brought to the state
//! directory once: a backup never changes, so its index is still right when it is asked for
//! again.

use super::INDEX;
use crate::backup::plain_index;
use crate::catalog::BackupRecord;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::Detail;
use crate::repository::{BackupId, Repository};
use crate::setting::Setting;
use crate::size::count;
use crate::storage::{LocalStorage, Storage};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How much of them stays in the state directory, in bytes, beyond what is asked for now.
const MOST_KEPT: u64 = 4 << 30;

/// The indexes of those of `records` that have file trees and that `wanted` takes. One that
/// cannot be brought here is left out with a warning, and so are encrypted ones without their
/// key where all are asked for. Blocking.
///
/// # Errors
/// `storage_unreachable` and its kin; `key_missing` and `key_wrong` of backups that are wanted;
/// `interrupted`.
pub fn indexes(
    setting: &Setting,
    repository: &Repository,
    records: &[BackupRecord],
    wanted: Option<&[BackupId]>,
) -> Result<Vec<(BackupId, PathBuf)>> {
    let cache = setting.config.state.dir.join("indexes").join(repository.id());
    let (mut found, mut locked) = (Vec::new(), Vec::new());
    for record in records.iter().filter(|record| has_index(record)) {
        if wanted.is_some_and(|wanted| !wanted.contains(&record.id)) {
            continue;
        }
        match local(setting, repository, record, &cache) {
            Ok(path) => found.push((record.id.clone(), path)),
            Err(e) if e.code() == Code::BackupDamaged => {
                setting.progress.warn(e.code(), format!("{e}; its index is left out"));
            }
            Err(e) if wanted.is_none() && matches!(e.code(), Code::KeyMissing | Code::KeyWrong) => {
                locked.push(e);
            }
            Err(e) => return Err(e),
        }
    }
    if let Some(first) = locked.first() {
        let backups = count(locked.len() as u64, "encrypted backup is", "encrypted backups are");
        setting.progress.warn(first.code(), format!("{backups} left out: {first}"));
    }
    clear(&cache, records, &found)?;
    Ok(found)
}

fn has_index(record: &BackupRecord) -> bool {
    let mut components = record.components.iter();
    record.is_published() && components.any(|part| matches!(part.detail, Detail::Files(_)))
}

fn local(
    setting: &Setting,
    repository: &Repository,
    record: &BackupRecord,
    cache: &Path,
) -> Result<PathBuf> {
    if let Some(file) = repository.file(&record.name, INDEX) {
        return Ok(file);
    }
    let name = format!("{}.parquet", record.id);
    let cached = cache.join(&name);
    if !cached.exists()
        && !setting.identities.are_configured()
        && let Some(kept) = plain_index(setting, &record.id)
    {
        return Ok(kept);
    }
    if !cached.exists() {
        let index = repository.backup(&record.name)?.open(INDEX)?;
        LocalStorage::new(cache).upload(&name, &index, &setting.cancel, &mut |_| {})?;
    }
    Ok(cached)
}

/// Removes the indexes of backups that are gone, and the oldest ones of too many.
fn clear(cache: &Path, records: &[BackupRecord], needed: &[(BackupId, PathBuf)]) -> Result<()> {
    let failed = |e| Error::io("clear", cache, e);
    let mut spare: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(cache).into_iter().flatten() {
        let entry = entry.map_err(failed)?;
        let (path, found) = (entry.path(), entry.metadata().map_err(failed)?);
        let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !records.iter().any(|record| record.id.as_str() == id) {
            // Another process may have been faster.
            let _ = std::fs::remove_file(&path);
        } else if !needed.iter().any(|(_, needed)| *needed == path) {
            spare.push((found.modified().map_err(failed)?, found.len(), path));
        }
    }
    spare.sort();
    let mut kept = 0;
    for (_, size, path) in spare.iter().rev() {
        kept += size;
        if kept > MOST_KEPT {
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}
