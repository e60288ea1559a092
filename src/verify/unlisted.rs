//! Backups that lie in the repository and are not in the catalog, which takes in only what is
//! as it was written: the catalog was lost as well as a manifest.

use super::Verification;
use crate::backup::open_repository;
use crate::catalog::{BackupRecord, VerifyLevel};
use crate::error::{Code, Result};
use crate::repository::manifest::MANIFEST;
use crate::repository::{Damage, Repository, is_no_damage};
use crate::setting::Setting;

/// What lies in the repository as a backup, cannot be read as one or has another manifest than was
/// written, and is not `listed`. On a store a backup without manifest is none yet, or none any more:
/// that is only said.
///
/// # Errors
/// Where the repository is gone, or does not answer.
pub fn verify_unlisted(
    setting: &Setting,
    listed: &[BackupRecord],
    level: VerifyLevel,
) -> Result<Vec<Verification>> {
    let repository = open_repository(setting)?;
    let mut found = Vec::new();
    for name in repository.names()? {
        if !listed.iter().any(|record| record.name == name) {
            found.extend(look(setting, &repository, name, level)?);
        }
    }
    Ok(found)
}

/// The same of the one that `wanted` names: by its name, or by the first digits of its id, of
/// which its name has the first four.
///
/// # Errors
/// The same.
pub fn verify_unlisted_one(
    setting: &Setting,
    listed: &[BackupRecord],
    level: VerifyLevel,
    wanted: &str,
) -> Result<Option<Verification>> {
    let is_it = |name: &str| match name.rsplit_once('_') {
        Some((_, digits)) if !wanted.is_empty() && !digits.is_empty() => {
            name == wanted || digits.starts_with(wanted) || wanted.starts_with(digits)
        }
        _ => name == wanted,
    };
    let mut found = verify_unlisted(setting, listed, level)?;
    found.retain(|one| is_it(&one.name));
    // Two that begin so are told apart by their names.
    Ok(if found.len() == 1 { found.pop() } else { None })
}

fn look(
    setting: &Setting,
    repository: &Repository,
    name: String,
    level: VerifyLevel,
) -> Result<Option<Verification>> {
    match repository.proven_backup(&name) {
        // Somebody has just published it.
        Ok(_) => Ok(None),
        Err(e) if is_no_damage(&e) => Err(e),
        Err(e) if e.code() == Code::BackupNotFound => {
            repository.require_there()?;
            setting.progress.note(format!(
                "{name} is not published, so it is not verified: somebody is writing it, or did \
                 not finish; `backstop repo check` names what is left over"
            ));
            Ok(None)
        }
        Err(e) => {
            repository.require_there()?;
            let damages = vec![Damage::new(MANIFEST, &e.to_string())];
            let (id, sampled, ok, locked) = (None, None, false, None);
            Ok(Some(Verification { id, name, level, sampled, ok, damages, locked }))
        }
    }
}
