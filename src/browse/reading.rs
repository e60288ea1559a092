//! What has to be read to know the files of many backups: the index of some, and of those that
//! build upon one that is read only what differs from it.

use super::Unreadable;
use super::indexes::{Bringing, has_index, indexes};
use crate::catalog::{BackupRecord, Changes};
use crate::error::{Error, Result};
use crate::progress::Warning;
use crate::repository::manifest::Component;
use crate::repository::{BackupId, Repository};
use crate::setting::Setting;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What tells the files of a set of backups.
#[derive(Debug, Default)]
pub struct Reading {
    /// Whole indexes.
    pub indexes: Vec<(BackupId, PathBuf)>,
    /// Changes, each after those of the backup that it builds upon.
    pub changes: Vec<Changes>,
    /// Backups of which nothing tells the files, because their index cannot be read, and why.
    pub left_out: Vec<(BackupId, Error)>,
    /// The same and more in words, for whoever asks.
    pub warnings: Vec<Warning>,
}

impl Reading {
    /// What is read, as files of this host.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let indexes = self.indexes.iter().map(|(_, file)| file.as_path());
        indexes.chain(self.changes.iter().map(|changes| changes.file.as_path()))
    }
}

/// What tells the files of those of `records` that have file trees and that `wanted` takes, and
/// perhaps those of others that they build upon. The rest is as for [`indexes`]; changes that
/// are missing or damaged cost no more than a warning, and an index nothing but what its own
/// backup holds: those that build upon it are read otherwise then. Blocking.
///
/// # Errors
/// As [`indexes`].
pub fn reading(
    setting: &Setting,
    repository: &Repository,
    records: &[BackupRecord],
    wanted: Option<&[BackupId]>,
    unreadable: &Unreadable,
) -> Result<Reading> {
    let chosen = match wanted {
        None => None,
        Some(wanted) => match with_ancestors(records, wanted) {
            Some(chosen) => Some(chosen),
            None => return indexes(setting, repository, records, Some(wanted), unreadable),
        },
    };
    let is_chosen = |record: &&BackupRecord| {
        has_index(record) && chosen.as_ref().is_none_or(|chosen| chosen.contains(&record.id))
    };
    let mut ordered: Vec<&BackupRecord> = records.iter().filter(is_chosen).collect();
    // What a backup builds upon is older.
    ordered.sort_by_key(|record| record.sequence);
    let mut bringing = Bringing::new(setting, repository, unreadable);
    let mut read: BTreeSet<&BackupId> = BTreeSet::new();
    let mut reading = Reading::default();
    for record in ordered {
        let since = since(record);
        let is_told = !since.is_empty() && since.values().all(|parent| read.contains(parent));
        let backup = record.id.clone();
        if is_told && let Some(file) = bringing.changes(record)? {
            reading.changes.push(Changes { backup, file, since });
        } else if let Some(file) = bringing.index(record)? {
            reading.indexes.push((backup, file));
        } else {
            continue;
        }
        read.insert(&record.id);
    }
    bringing.finish(reading, records, wanted)
}

/// Since which backup the changes of each file tree are told.
pub(super) fn since(record: &BackupRecord) -> BTreeMap<String, BackupId> {
    let since = |part: &Component| Some((part.name.clone(), part.changes_since()?.clone()));
    record.components.iter().filter_map(since).collect()
}

/// The `wanted` backups and all that they build upon; none where their own indexes are fewer
/// than those that would have to be read then.
fn with_ancestors(records: &[BackupRecord], wanted: &[BackupId]) -> Option<BTreeSet<BackupId>> {
    let known: BTreeMap<&BackupId, &BackupRecord> =
        records.iter().map(|record| (&record.id, record)).collect();
    let mut chosen: BTreeSet<BackupId> = BTreeSet::new();
    let mut roots = 0;
    for id in wanted {
        let mut next = vec![id.clone()];
        while let Some(id) = next.pop() {
            let Some(record) = known.get(&id).filter(|_| !chosen.contains(&id)) else { continue };
            let parents: Vec<BackupId> = since(record).into_values().collect();
            let is_told =
                !parents.is_empty() && parents.iter().all(|parent| known.contains_key(parent));
            match is_told {
                true => next.extend(parents),
                false => roots += 1,
            }
            chosen.insert(id);
        }
    }
    (roots < wanted.len()).then_some(chosen)
}
