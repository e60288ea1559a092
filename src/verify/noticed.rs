//! Damage that something else than a verification came upon, such as sending a backup to a copy.

use super::{finish, needed, put};
use crate::catalog::{BackupRecord, Catalog, LastVerification, Sampled, Session, VerifyLevel};
use crate::clock;
use crate::error::Result;
use crate::repository::{BackupId, Damage, PublishedBackup, Repository};
use crate::setting::Setting;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// Records damage of the backup `name` as a verification that found it would, one that read only
/// a part: so that nothing builds upon it, and only a full verification finds it gone. Whoever
/// came upon it reports it; that it could not be recorded is a warning.
pub(crate) fn record_damage(
    setting: &Setting,
    repository: &Repository,
    name: &str,
    damages: Vec<Damage>,
) {
    if let Err(e) = record(setting, repository, name, damages) {
        setting.progress.warn(e.code(), format!("{name} is damaged, which is not recorded: {e}"));
    }
}

fn record(
    setting: &Setting,
    repository: &Repository,
    name: &str,
    mut damages: Vec<Damage>,
) -> Result<()> {
    let is_it = |record: &&BackupRecord| record.is_published() && record.name == name;
    let mut session = Catalog::of(&setting.config).session(&setting.progress)?;
    let mut all = session.list()?;
    if !all.iter().any(|record| is_it(&record)) {
        // The catalog was lost, or has not seen it yet.
        session.reconcile(repository, &setting.progress)?;
        all = session.list()?;
    }
    drop(session);
    // What no row tells of is built upon by nobody.
    let Some(record) = all.iter().find(is_it) else { return Ok(()) };
    forget_known(record, &mut damages);
    if damages.is_empty() {
        return Ok(());
    }
    let level = (VerifyLevel::Full, Some(read_so_far(record)));
    finish(setting, repository, record, level, damages).map(drop)
}

/// Records damage that was found of one backup of the others that it concerns: of the one that
/// holds a damaged archive, and of all that need it. Each of them is as
/// damaged as the one in which it was found, also to whoever looks at its row alone.
pub(super) fn spread(
    session: &mut Session,
    level: VerifyLevel,
    concerned: Vec<needed::Concerned<'_>>,
) -> Result<()> {
    let mut of_each: BTreeMap<&BackupId, needed::Concerned<'_>> = BTreeMap::new();
    for (other, damages) in concerned {
        of_each.entry(&other.id).or_insert((other, Vec::new())).1.extend(damages);
    }
    for (other, mut damages) in of_each.into_values() {
        forget_known(other, &mut damages);
        damages.sort_by(|one, other| one.object.cmp(&other.object));
        damages.dedup_by(|one, other| one.object == other.object);
        if damages.is_empty() {
            continue;
        }
        let sampled = Some(read_so_far(other));
        let last = LastVerification { at: clock::now(), level, sampled, ok: false, damages };
        put(session, other, last)?;
    }
    Ok(())
}

/// Takes out what is recorded of a backup already.
fn forget_known(record: &BackupRecord, damages: &mut Vec<Damage>) {
    let known = known(record);
    damages.retain(|damage| !known.iter().any(|one| one.object == damage.object));
}

/// The damage that is known of the backups of a repository.
pub(crate) struct KnownDamage(BTreeMap<String, Vec<Damage>>);

impl KnownDamage {
    /// What the catalog says, by the names of the backups; without it nothing is known.
    pub(crate) fn of(setting: &Setting) -> Self {
        let session = Catalog::of(&setting.config).session(&setting.progress);
        let records = session.and_then(|session| session.list()).unwrap_or_default();
        let damaged = records.into_iter().filter(BackupRecord::is_damaged);
        Self(damaged.map(|record| (record.name.clone(), known(&record).to_vec())).collect())
    }

    /// Whether something is known of the backup `name`.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What is still there of it in a backup. Only the files that it names are read.
    ///
    /// # Errors
    /// `interrupted`, and where a store does not answer.
    pub(crate) fn still_there(
        &self,
        backup: &PublishedBackup,
        cancel: &CancellationToken,
    ) -> Result<Vec<Damage>> {
        let Some(known) = self.0.get(&backup.manifest().name) else { return Ok(Vec::new()) };
        let wanted = |object: &str| known.iter().any(|damage| damage.concerns(object));
        backup.check_bytes(&wanted, cancel, &mut |_| {})
    }
}

fn known(record: &BackupRecord) -> &[Damage] {
    let last = record.last_verification.as_ref().filter(|last| !last.ok);
    last.map_or(&[], |last| last.damages.as_slice())
}

/// How much of a backup verifications have read, as far as its record tells.
fn read_so_far(record: &BackupRecord) -> Sampled {
    let total_bytes = record.stored_bytes;
    match &record.last_verification {
        Some(LastVerification { sampled: Some(sampled), .. }) => sampled.clone(),
        Some(last) if last.level >= VerifyLevel::Full => {
            Sampled { covered_bytes: total_bytes, total_bytes, oldest: Some(last.at) }
        }
        _ => Sampled { covered_bytes: 0, total_bytes, oldest: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::manifest::{Kind, Reason};

    fn verified(level: VerifyLevel, sampled: Option<Sampled>) -> BackupRecord {
        let id = BackupId::random().unwrap();
        let (kind, reason) = (Kind::Full, Reason::Manual);
        let mut record =
            BackupRecord::in_progress(id, "one".into(), "shop", kind, reason, clock::now());
        record.stored_bytes = 10;
        record.verified(LastVerification {
            at: clock::now(),
            level,
            sampled,
            ok: true,
            damages: Vec::new(),
        })
    }

    #[test]
    fn damage_that_was_noticed_stays_until_every_byte_was_read_again() {
        let noticed = |record: BackupRecord| {
            let sampled = Some(read_so_far(&record));
            record.verified(LastVerification {
                at: clock::now(),
                level: VerifyLevel::Full,
                sampled,
                ok: false,
                damages: vec![Damage::new("files/uploads.tar.zst", "is missing")],
            })
        };
        let whole = verified(VerifyLevel::Full, None);
        assert_eq!(read_so_far(&whole).covered_bytes, 10);
        assert_eq!(read_so_far(&verified(VerifyLevel::Quick, None)).covered_bytes, 0);
        let damaged = noticed(whole);
        assert!(damaged.is_damaged());
        let again = |level| LastVerification {
            at: clock::now(),
            level,
            sampled: None,
            ok: true,
            damages: Vec::new(),
        };
        assert!(damaged.clone().verified(again(VerifyLevel::Quick)).is_damaged());
        assert!(!damaged.verified(again(VerifyLevel::Full)).is_damaged());
    }
}
