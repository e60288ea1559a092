//! Backups that lie in the repository and cannot be read: nobody knows what they need.

use crate::catalog::{BackupRecord, Event, EventName, Session};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{Component, Kind};
use crate::repository::{BackupId, Considered, Lock, Repository};
use std::collections::{BTreeMap, BTreeSet};
use tokio_util::sync::CancellationToken;

/// A backup whose manifest is damaged or missing, and that no row of the catalog knows. With
/// the manifest of a copy it is as good as it was, so what it may need stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// The name of its directory.
    pub(super) name: String,
}

impl Unreadable {
    /// Those in `repository` that are not among the published `records`.
    ///
    /// # Errors
    /// Where one cannot be read for another reason than damage, as one that a later version
    /// wrote; `attempted` says for what its needs were to be known.
    pub(super) fn among(
        repository: &Repository,
        records: &[BackupRecord],
        attempted: &str,
    ) -> Result<Vec<Self>> {
        let listed: BTreeSet<&str> = records
            .iter()
            .filter(|record| record.is_published())
            .map(|record| record.name.as_str())
            .collect();
        let mut unreadable = Vec::new();
        for name in repository.names()?.into_iter().filter(|name| !listed.contains(name.as_str())) {
            match repository.proven_backup(&name) {
                Err(e) if e.code() == Code::BackupDamaged => unreadable.push(Self { name }),
                Err(e) if e.code() != Code::BackupNotFound => {
                    return Err(Error::new(e.code(), attempted, repository.shown())
                        .cause(format!("which backups {name} needs is unknown: {e}"))
                        .hint(e.hint_text()));
                }
                _ => {}
            }
        }
        Ok(unreadable)
    }

    /// What to do about it, where it keeps others from going.
    pub(super) fn advice(&self, repository: &Repository) -> String {
        let name = &self.name;
        let otherwise = match repository.directory() {
            Some(_) => format!("; without one, `backstop delete {name} --force` takes it away"),
            None => String::new(),
        };
        format!(
            "{name} cannot be read, so what it may need stays: bring its manifest.json back from \
             a copy of the repository{otherwise}."
        )
    }

    /// Whether it may have contents in `record`: it is no full backup. That its name has an earlier
    /// time says nothing: the clock may have been set back.
    pub(super) fn may_need(&self, record: &BackupRecord) -> bool {
        let is_full = self.name.starts_with(&format!("backup_{}_", Kind::Full.as_str()));
        record.is_published() && !is_full
    }
}

/// Whether a directory of this name lies among the backups, cannot be read as one, and is none of
/// `records`. On a store nobody can tell whether it is only being written, so there none does.
///
/// # Errors
/// As where a backup is deleted.
pub fn lies_unreadable(
    repository: &Repository,
    records: &[BackupRecord],
    name: &str,
) -> Result<bool> {
    let unreadable = || Unreadable::among(repository, records, "delete from");
    Ok(repository.directory().is_some() && unreadable()?.iter().any(|it| it.name == name))
}

/// Refuses what [`delete_unreadable`] may not delete, without touching anything. Its id is not
/// known, but for the digits in its name.
///
/// # Errors
/// `backup_needed` where one of `records` has contents in it: with its manifest it would be as good
/// as before. `backup_damaged` without `force`.
pub fn refuse_delete_unreadable(records: &[BackupRecord], name: &str, force: bool) -> Result<()> {
    let has_files_in_it = |record: &&BackupRecord| {
        let mut elsewhere = record.components.iter().flat_map(Component::elsewhere);
        let is_it = |id: &BackupId| name.ends_with(&format!("_{}", id.suffix()));
        record.is_published() && elsewhere.any(|stored| is_it(&stored.backup))
    };
    if let Some(first) = records.iter().find(has_files_in_it) {
        return Err(Error::new(Code::BackupNeeded, "delete backup", name)
            .cause(format!("it cannot be read, and {} has files in it", first.name))
            .hint(
                "bring its manifest.json back from a copy of the repository, or delete those \
                 that need it first, newest first",
            ));
    }
    match force {
        true => Ok(()),
        false => Err(Error::new(Code::BackupDamaged, "delete backup", name)
            .cause("it cannot be read, and the catalog does not know it")
            .hint(
                "bring its manifest.json back from a copy of the repository; without one, --force \
                 deletes it",
            )),
    }
}

/// Deletes a directory that [`lies_unreadable`] tells of, and records that.
///
/// # Errors
/// As [`refuse_delete_unreadable`] with `force`; `backup_not_found` where it is none any more.
pub fn delete_unreadable(
    repository: &Repository,
    lock: &Lock,
    catalog: &mut Session,
    name: &str,
) -> Result<()> {
    let records = catalog.list()?;
    if !lies_unreadable(repository, &records, name)? {
        return Err(Error::new(Code::BackupNotFound, "delete backup", name)
            .cause("it is gone, or can be read by now"));
    }
    refuse_delete_unreadable(&records, name, true)?;
    // Only what it is called on its way out.
    let id = BackupId::random()?;
    let targets = BTreeMap::from([(id.clone(), name.to_owned())]);
    // The id is a new one: nobody can have kept it.
    let considered = Considered { needs: &|_| true, pin: &|_| true };
    let cancel = CancellationToken::new();
    let mut deletion = repository.deletion(targets, considered, &cancel, lock)?;
    deletion.delete(&id)?;
    deletion.finish()?;
    let detail = serde_json::json!({ "name": name });
    catalog.record_event(&Event::now(EventName::BackupDeleted, None, detail))
}
