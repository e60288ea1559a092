//! What verifications of a copy found to be damaged there.

use crate::catalog::{BackupRecord, Catalog, VerifyLevel};
use crate::config::Copy;
use crate::error::{Code, Error, Result};
use crate::repository::{BackupId, Damage, PublishedBackup, Repository};
use crate::setting::Setting;
use crate::verify::{Verification, verify};
use std::collections::{BTreeMap, BTreeSet};

/// The damaged backups of a copy, as `--copy NAME verify` has recorded them, and the objects that
/// are in question.
#[derive(Default)]
pub(super) struct Suspects {
    pub(super) records: Vec<BackupRecord>,
    /// By the name of the backup that they belong to.
    objects: BTreeMap<String, BTreeSet<String>>,
}

impl Suspects {
    /// Reads what is known of `copy`; nothing where none of it was ever looked into. The objects
    /// are those of `source`, whose backups are the same.
    pub(super) fn of(setting: &Setting, copy: &Copy, source: &Repository) -> Self {
        let catalog = Catalog::of(&setting.at(copy.place()).config);
        if !catalog.file().exists() {
            return Self::default();
        }
        let mut suspects = Self::default();
        let records = match catalog.session(&setting.progress).and_then(|it| it.list()) {
            Ok(records) => records,
            // What is missing is sent all the same.
            Err(e) => {
                setting.progress.warn(e.code(), e.to_string());
                return suspects;
            }
        };
        for record in records.into_iter().filter(BackupRecord::is_damaged) {
            // What the repository has no more cannot be mended with it.
            let Ok(backup) = source.backup(&record.name) else { continue };
            let verification = record.last_verification.iter();
            for damage in verification.flat_map(|found| &found.damages) {
                suspects.add(&backup, damage);
            }
            suspects.records.push(record);
        }
        suspects
    }

    /// What is in question of the backup `name`.
    pub(super) fn of_backup(&self, name: &str) -> BTreeSet<String> {
        self.objects.get(name).cloned().unwrap_or_default()
    }

    fn add(&mut self, backup: &PublishedBackup, damage: &Damage) {
        let manifest = backup.manifest();
        let own = self.objects.entry(manifest.name.clone()).or_default();
        own.insert(damage.object.clone());
        // A component is a file or a directory, and named without what encryption adds to it.
        let below = format!("{}/", damage.object);
        let is_about =
            |path: &&str| path.starts_with(&below) || manifest.logical_name(path) == damage.object;
        let objects = manifest.objects.iter().map(|object| object.path.as_str());
        own.extend(objects.filter(is_about).map(str::to_owned));
        let elsewhere = manifest.components.iter().flat_map(|component| component.elsewhere());
        for named in elsewhere.filter(|named| named.shown() == damage.object) {
            if let Ok(holder) = backup.sibling(&named.backup) {
                let holder = holder.manifest();
                let objects = self.objects.entry(holder.name.clone()).or_default();
                objects.insert(holder.stored_name(&named.object));
            }
        }
    }
}

/// Verifies again what was damaged in a copy and was mended, each backup as thoroughly as is needed
/// to find the damage, so that nothing calls it damaged any longer: that takes a key only where the
/// bytes were as they were written, and what is in them was not. Returns what is damaged still.
///
/// # Errors
/// `interrupted`. What hinders a verification otherwise is a warning.
pub(super) async fn verify_again(
    setting: &Setting,
    copy: &Copy,
    mended: &[BackupRecord],
) -> Result<Option<Error>> {
    let setting = setting.at(copy.place());
    // At once: what many of them need is read once.
    let mut by_level: BTreeMap<VerifyLevel, Vec<BackupRecord>> = BTreeMap::new();
    for record in mended {
        let found = record.last_verification.as_ref().map(|found| found.level);
        let level = found.unwrap_or_default().max(VerifyLevel::Full);
        by_level.entry(level).or_default().push(record.clone());
    }
    let mut damaged = None;
    for (level, records) in by_level {
        match verify(&setting, &records, level).await {
            Ok(found) => {
                let first = found.iter().find_map(|one| Some((one, one.damages.first()?)));
                damaged =
                    damaged.or_else(|| first.map(|(one, first)| still_damaged(one, copy, first)));
            }
            Err(e) if e.code() == Code::Interrupted => return Err(e),
            Err(e) => setting.progress.warn(e.code(), e.to_string()),
        }
    }
    Ok(damaged)
}

fn still_damaged(found: &Verification, copy: &Copy, damage: &Damage) -> Error {
    Error::new(Code::BackupDamaged, "mend the copy of", &found.name).cause(damage).hint(format!(
        "a damaged copy is deleted with `backstop --copy {} delete {}`, and sent again by `sync`",
        copy.name,
        found.id.as_ref().map_or(found.name.as_str(), BackupId::short)
    ))
}
