//! Backups that lie in the repository and cannot be read: nobody knows what they need.

use crate::catalog::BackupRecord;
use crate::error::{Code, Error, Result};
use crate::repository::Repository;
use crate::repository::manifest::Kind;
use std::collections::BTreeSet;

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
            match repository.backup(&name).and_then(|backup| backup.require_proven()) {
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

    /// Whether it may have contents in `record`: it is no full backup. That its name has an earlier
    /// time says nothing: the clock may have been set back.
    pub(super) fn may_need(&self, record: &BackupRecord) -> bool {
        let is_full = self.name.starts_with(&format!("backup_{}_", Kind::Full.as_str()));
        record.is_published() && !is_full
    }
}
