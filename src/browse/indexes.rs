//! The indexes of backups, and their changes, as files of this host, which is what DuckDB reads.
//!
//! One that lies in a directory as it is, is read there. Any other is brought to the state
//! directory once: a backup never changes, so its index is still right when it is asked for
//! again.

use super::{CHANGES, INDEX, Reading, Unreadable};
use crate::archive::index::IndexReader;
use crate::backup::plain_index;
use crate::catalog::BackupRecord;
use crate::error::{Code, Error, Result};
use crate::progress::Warning;
use crate::repository::manifest::Detail;
use crate::repository::{BackupId, Repository, hash_blob};
use crate::setting::Setting;
use crate::size::count;
use crate::storage::{Blob, LocalStorage, Storage};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where copies of them lie in the state directory.
pub(super) const COPIES: &str = "indexes";
/// How much of them stays in the state directory, in bytes, beyond what is asked for now.
const MOST_KEPT: u64 = 4 << 30;

/// The indexes of those of `records` that have file trees and that `wanted` takes. One that
/// is missing, damaged, encrypted without its key here, or known to be `unreadable` is left out,
/// and the reading says so. Blocking.
///
/// # Errors
/// `storage_unreachable` and its kin; `interrupted`.
pub fn indexes(
    setting: &Setting,
    repository: &Repository,
    records: &[BackupRecord],
    wanted: Option<&[BackupId]>,
    unreadable: &Unreadable,
) -> Result<Reading> {
    let mut bringing = Bringing::new(setting, repository, unreadable);
    let mut reading = Reading::default();
    for record in records.iter().filter(|record| has_index(record)) {
        if wanted.is_some_and(|wanted| !wanted.contains(&record.id)) {
            continue;
        }
        if let Some(path) = bringing.index(record)? {
            reading.indexes.push((record.id.clone(), path));
        }
    }
    bringing.finish(reading, records, wanted)
}

/// Brings lists of files here, one after the other.
pub(super) struct Bringing<'a> {
    setting: &'a Setting,
    repository: &'a Repository,
    unreadable: &'a Unreadable,
    cache: PathBuf,
    left_out: Vec<(BackupId, Error)>,
    warnings: Vec<Warning>,
}

impl<'a> Bringing<'a> {
    pub(super) fn new(
        setting: &'a Setting,
        repository: &'a Repository,
        unreadable: &'a Unreadable,
    ) -> Self {
        let cache = setting.config.state.dir.join(COPIES).join(repository.id());
        let (left_out, warnings) = (Vec::new(), Vec::new());
        Self { setting, repository, unreadable, cache, left_out, warnings }
    }

    /// The index of a backup; none where it is left out. Its end has been looked at.
    pub(super) fn index(&mut self, record: &BackupRecord) -> Result<Option<PathBuf>> {
        let left_out = match local(self.setting, self.repository, record, &self.cache) {
            Ok(file) => match self.check_index(&file, record) {
                Ok(()) => return Ok(Some(file)),
                Err(e) => e,
            },
            Err(e) if is_left_out(e.code()) => e,
            Err(e) => return Err(e),
        };
        self.left_out.push((record.id.clone(), left_out));
        Ok(None)
    }

    fn check_index(&self, file: &Path, record: &BackupRecord) -> Result<()> {
        self.unreadable.check(file, &record.name, INDEX)?;
        IndexReader::open(&Blob::file(file)?).map(drop)
    }

    /// The changes of a backup; none where its index has to stand in for them.
    pub(super) fn changes(&mut self, record: &BackupRecord) -> Result<Option<PathBuf>> {
        let brought = local_changes(self.setting, self.repository, record, &self.cache);
        let brought = brought.and_then(|file| {
            self.unreadable.check(&file, &record.name, CHANGES)?;
            Ok(file)
        });
        match brought.map_err(|e| (e.code(), e)) {
            Ok(path) => Ok(Some(path)),
            Err((Code::KeyMissing | Code::KeyWrong, _)) => Ok(None),
            Err((Code::BackupDamaged | Code::BackupNotFound, e)) => {
                let message = format!("{e}; the index of {} is read in its place", record.name);
                self.warnings.push(Warning { code: Code::BackupDamaged, message });
                Ok(None)
            }
            Err((_, e)) => Err(e),
        }
    }

    /// Adds what was left out of the `wanted` ones, and removes what is not needed any more.
    pub(super) fn finish(
        self,
        reading: Reading,
        records: &[BackupRecord],
        wanted: Option<&[BackupId]>,
    ) -> Result<Reading> {
        let Self { cache, mut left_out, mut warnings, .. } = self;
        left_out.retain(|(backup, _)| wanted.is_none_or(|wanted| wanted.contains(backup)));
        let (locked, damaged): (Vec<_>, Vec<_>) =
            left_out.iter().map(|(_, error)| error).partition(|error| is_locked(error.code()));
        warnings.extend(damaged.into_iter().map(|error| Warning {
            code: error.code(),
            message: format!("{error}; its index is left out"),
        }));
        // Mostly it is one key that is missing for all.
        if let Some(first) = locked.first() {
            let backups =
                count(locked.len() as u64, "encrypted backup is", "encrypted backups are");
            let message = format!("{backups} left out: {first}");
            warnings.push(Warning { code: first.code(), message });
        }
        clear(&cache, records, &reading.files().collect::<Vec<_>>())?;
        Ok(Reading { left_out, warnings, ..reading })
    }
}

fn is_locked(code: Code) -> bool {
    matches!(code, Code::KeyMissing | Code::KeyWrong)
}

/// Whether a question about many backups is answered without the one of which this is said.
fn is_left_out(code: Code) -> bool {
    is_locked(code) || code == Code::BackupDamaged
}

pub(super) fn has_index(record: &BackupRecord) -> bool {
    let mut components = record.components.iter();
    record.is_published() && components.any(|part| matches!(part.detail, Detail::Files(_)))
}

fn local(
    setting: &Setting,
    repository: &Repository,
    record: &BackupRecord,
    cache: &Path,
) -> Result<PathBuf> {
    if let Some(file) = repository.file(&record.name, INDEX).filter(|file| file.exists()) {
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

/// The changes of a backup, compared with what was written: nothing but they says what became of
/// a file, and they count for all backups that build upon this one.
fn local_changes(
    setting: &Setting,
    repository: &Repository,
    record: &BackupRecord,
    cache: &Path,
) -> Result<PathBuf> {
    let name = format!("{}.changes.parquet", record.id);
    let cached = cache.join(&name);
    if cached.exists() {
        return Ok(cached);
    }
    let backup = repository.backup(&record.name)?;
    let stored = backup.manifest().stored_name(CHANGES);
    let object = backup.manifest().objects.iter().find(|object| object.path == stored);
    let damaged = |cause| {
        Error::new(Code::BackupDamaged, "read", format!("{}/{stored}", backup.shown())).cause(cause)
    };
    let object = object.ok_or_else(|| damaged("the manifest does not list it"))?;
    let check = |blob: &Blob| match hash_blob(&setting.cancel, blob)? {
        (_, hash) if hash == object.sha256 => Ok(()),
        _ => Err(damaged("it has other bytes than were written")),
    };
    if backup.directory().is_some() {
        check(&backup.stored(&stored)?)?;
    }
    let path = match repository.file(&record.name, CHANGES) {
        Some(file) => file,
        None => {
            let content = backup.open(CHANGES)?;
            LocalStorage::new(cache).upload(&name, &content, &setting.cancel, &mut |_| {})?;
            // What is encrypted was checked while it was decrypted.
            if backup.directory().is_none()
                && !backup.is_encrypted()
                && let Err(e) = check(&Blob::file(&cached)?)
            {
                let _ = std::fs::remove_file(&cached);
                return Err(e);
            }
            cached
        }
    };
    IndexReader::open_changes(&Blob::file(&path)?)?;
    Ok(path)
}

/// Removes what is kept of backups that are gone, and the oldest of too much.
fn clear(cache: &Path, records: &[BackupRecord], needed: &[&Path]) -> Result<()> {
    let failed = |e| Error::io("clear", cache, e);
    let mut spare: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(cache).into_iter().flatten() {
        let entry = entry.map_err(failed)?;
        let (path, found) = (entry.path(), entry.metadata().map_err(failed)?);
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.split('.').next().unwrap_or_default();
        if !records.iter().any(|record| record.id.as_str() == id) {
            // Another process may have been faster.
            let _ = std::fs::remove_file(&path);
        } else if !needed.contains(&path.as_path()) {
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
