//! Whether the backups that a plan relies on are there. Rows say what was true once, and what is
//! deleted because of them does not come back.

use super::prune::Plan;
use crate::catalog::{BackupRecord, LastVerification, VerifyLevel};
use crate::clock;
use crate::error::{Code, Result};
use crate::repository::manifest::MANIFEST;
use crate::repository::{BackupId, Damage, Listing, Repository};
use crate::setting::Setting;
use std::collections::BTreeSet;

/// A look at names and sizes, at each backup once.
pub(super) struct Look<'a> {
    setting: &'a Setting,
    repository: &'a Repository,
    /// All of a store by one listing, once it was asked for; in a directory each backup is looked at.
    listing: Option<Listing>,
    seen: BTreeSet<BackupId>,
    /// What is damaged by the look of it, by the names of the backups.
    pub(super) damaged: Vec<(String, Vec<Damage>)>,
}

impl<'a> Look<'a> {
    pub(super) fn of(setting: &'a Setting, repository: &'a Repository) -> Self {
        let (listing, seen, damaged) = (None, BTreeSet::new(), Vec::new());
        Self { setting, repository, listing, seen, damaged }
    }

    /// Looks at those among `records` that stay by `plan`, count as sound, and were not looked at
    /// yet. What is not there, or not whole, counts as damaged from then on; false where all is.
    ///
    /// # Errors
    /// `interrupted`, and where the repository is gone or does not answer.
    pub(super) fn finds_damage(
        &mut self,
        plan: &Plan,
        records: &mut [BackupRecord],
    ) -> Result<bool> {
        let mut found = false;
        let kept: BTreeSet<&BackupId> =
            plan.verdicts.iter().filter(|it| it.keep).map(|it| &it.id).collect();
        for record in records.iter_mut().filter(|it| it.is_published() && !it.is_damaged()) {
            if !kept.contains(&record.id) || !self.seen.insert(record.id.clone()) {
                continue;
            }
            self.setting.check_interrupted("prune backups of")?;
            let damages = self.damages(record)?;
            if damages.is_empty() {
                continue;
            }
            found = true;
            let (at, level) = (clock::now(), VerifyLevel::Quick);
            let last = LastVerification { at, level, sampled: None, ok: false, damages };
            *record = record.clone().verified(last);
        }
        Ok(found)
    }

    fn damages(&mut self, record: &BackupRecord) -> Result<Vec<Damage>> {
        if self.repository.directory().is_none() && self.listing.is_none() {
            self.listing = Some(self.repository.listing()?);
        }
        let missing = match self.repository.missing_of(&record.name, self.listing.as_ref()) {
            Err(e) if e.code() == Code::BackupNotFound => {
                let missing = vec![Damage::new(MANIFEST, &e.to_string())];
                if self.repository.is_deleted(&record.name, &record.id)? {
                    // That it does not count any more is all that there is to say.
                    return Ok(missing);
                }
                missing
            }
            missing => missing?,
        };
        if !missing.is_empty() {
            // What is missing with all the rest is not missing of this one.
            self.repository.require_there()?;
            self.damaged.push((record.name.clone(), missing.clone()));
        }
        Ok(missing)
    }
}
