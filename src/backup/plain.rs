//! What a host keeps in the clear of its newest encrypted backups, so that the next one can
//! build upon them without a key: the index, and the hashes of the files of their dumps.

use crate::catalog::BackupRecord;
use crate::encryption::StoredBytes;
use crate::error::{Error, Result};
use crate::repository::manifest::Kind;
use crate::repository::{BackupId, PublishedBackup, create_dir, hash_file, write_replacing};
use crate::setting::Setting;
use crate::storage::{LocalStorage, Storage};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// In the state directory: one directory a backup, named by its id.
const PARENTS: &str = "parents";
const INDEX: &str = "index.parquet";
const CHANGES: &str = "changes.parquet";
const SUMMARY: &str = "plain.json";

/// Of how many of the newest backups, and of the newest full ones, this is kept: any of them
/// may hold most of what the next backup wants.
const NEWEST: usize = 3;

/// Size and hash of a file before it was encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct PlainFile {
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl From<StoredBytes> for PlainFile {
    fn from(StoredBytes { size, sha256 }: StoredBytes) -> Self {
        Self { size, sha256 }
    }
}

/// What an encrypted backup holds, as far as the next one needs it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Summary {
    /// The index; none in a backup without file trees.
    pub(super) index: Option<PlainFile>,
    /// The files of dumps in directory format, by their object.
    pub(super) dumps: BTreeMap<String, PlainFile>,
}

/// The directory that keeps it for one backup.
pub(super) struct Plain(PathBuf);

impl Plain {
    /// That of the backup `id`, whether or not it is there.
    pub(super) fn of(setting: &Setting, id: &BackupId) -> Self {
        Self(setting.config.state.dir.join(PARENTS).join(id.as_str()))
    }

    /// That of a backup that is being written.
    pub(super) fn create(setting: &Setting, id: &BackupId) -> Result<Self> {
        let plain = Self::of(setting, id);
        create_dir(&plain.0)?;
        Ok(plain)
    }

    /// Where the index lies.
    pub(super) fn index(&self) -> PathBuf {
        self.0.join(INDEX)
    }

    /// Where the changes lie until they are encrypted.
    pub(super) fn changes(&self) -> PathBuf {
        self.0.join(CHANGES)
    }

    /// Writes the summary; with it, what is kept counts.
    pub(super) fn write(&self, summary: &Summary) -> Result<()> {
        let file = self.0.join(SUMMARY);
        let mut text =
            serde_json::to_vec_pretty(summary).map_err(|e| Error::io("write", &file, e.into()))?;
        text.push(b'\n');
        write_replacing(&file, &text)
    }

    /// What was kept; none where it is gone or not what it was.
    pub(super) fn recall(&self, setting: &Setting) -> Option<Summary> {
        let text = std::fs::read(self.0.join(SUMMARY)).ok()?;
        let summary: Summary = serde_json::from_slice(&text).ok()?;
        if let Some(index) = &summary.index {
            let (size, sha256) = hash_file(&setting.cancel, &self.index()).ok()?;
            if (size, &sha256) != (index.size, &index.sha256) {
                return None;
            }
        }
        Some(summary)
    }

    /// Decrypts the index of `backup` again. The hashes of its dumps are not made anew: their
    /// tables are stored once more.
    ///
    /// # Errors
    /// `key_missing`, `key_wrong`, `backup_damaged`.
    pub(super) fn renew(&self, setting: &Setting, backup: &PublishedBackup) -> Result<Summary> {
        create_dir(&self.0)?;
        let mut summary = Summary::default();
        let manifest = backup.manifest();
        if manifest.stored_name(super::INDEX) != super::INDEX {
            let (index, place) = (backup.open(super::INDEX)?, LocalStorage::new(&self.0));
            place.upload(INDEX, &index, &setting.cancel, &mut |_| {})?;
            let (size, sha256) = hash_file(&setting.cancel, &self.index())?;
            summary.index = Some(PlainFile { size, sha256 });
        }
        self.write(&summary)?;
        Ok(summary)
    }
}

/// The index of an encrypted backup, where this host keeps it in the clear.
pub(crate) fn plain_index(setting: &Setting, id: &BackupId) -> Option<PathBuf> {
    let plain = Plain::of(setting, id);
    plain.recall(setting)?.index.map(|_| plain.index())
}

/// Removes what is kept of backups that the next one will not build upon.
pub(super) fn prune(setting: &Setting, records: &[BackupRecord]) {
    let mut ours: Vec<&BackupRecord> = records
        .iter()
        .filter(|record| record.is_published() && record.stack == setting.config.stack.name)
        .collect();
    ours.sort_by_key(|record| std::cmp::Reverse(record.sequence));
    let full = ours.iter().filter(|record| record.kind == Kind::Full).take(NEWEST);
    let kept: BTreeSet<&str> = match setting.recipients.are_there() {
        true => ours.iter().take(NEWEST).chain(full).map(|record| record.id.as_str()).collect(),
        false => BTreeSet::new(),
    };
    remove_others(&setting.config.state.dir.join(PARENTS), &kept);
}

fn remove_others(parents: &Path, kept: &BTreeSet<&str>) {
    for entry in std::fs::read_dir(parents).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(|name| kept.contains(name)) {
            // What cannot be removed now is tried again by the next backup.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
