//! Verification: is what is stored what was written?
//!
//! [`verify`] reads whole backups, [`sample`] a part of the repository that is another one
//! each time.

mod coverage;
mod deep;
mod key;
mod needed;
mod noticed;
mod sample;
mod unlisted;

pub use key::{KeyCheck, check_key};
pub use sample::{Share, sample};
pub use unlisted::{verify_unlisted, verify_unlisted_one};

pub(crate) use noticed::{KnownDamage, record_damage};

use crate::backup::{lock, open_repository};
use crate::catalog::{
    BackupRecord, Catalog, Event, EventName, LastVerification, Sampled, Session, VerifyLevel,
};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::progress::Event as ProgressEvent;
use crate::repository::manifest::MANIFEST;
use crate::repository::{
    BackupId, Checked, Damage, LockMode, PublishedBackup, Repository, is_no_damage,
};
use crate::setting::Setting;
use coverage::Coverage;
use serde::Serialize;

/// What the verification of one backup found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The backup's id; none where its manifest cannot be read and no row knows it.
    pub id: Option<BackupId>,
    /// Its name.
    pub name: String,
    /// How thorough it was.
    pub level: VerifyLevel,
    /// Of a sample, how much has been read so far; none where all was read at once.
    pub sampled: Option<Sampled>,
    /// Whether nothing is damaged.
    pub ok: bool,
    /// What is damaged.
    pub damages: Vec<Damage>,
    /// Why the part that needs a key was left out.
    pub locked: Option<String>,
}

/// Verifies backups one after the other and records each result. Damage is a result, not
/// an error. Of one among several that this host has no key for every stored byte is read, and
/// nothing inside. Other readers may work at the same time, writers may not.
///
/// # Errors
/// What hinders reading without being damage: `interrupted`, `tool_missing`, a repository that is
/// gone; for a single backup `key_missing`, `key_wrong`, and `backup_not_found` where it was
/// deleted meanwhile, which of several is only said.
pub async fn verify(
    setting: &Setting,
    records: &[BackupRecord],
    level: VerifyLevel,
) -> Result<Vec<Verification>> {
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    let mut found = Vec::new();
    let mut checked = Checked::new();
    for record in records {
        let one = one(setting, &repository, record, level, records.len() > 1, &mut checked).await?;
        match one {
            Some(one) => found.push(one),
            None if records.len() == 1 => return Err(deleted(&repository, record)),
            None => setting.progress.note(format!("{} was deleted meanwhile", record.name)),
        }
    }
    Ok(found)
}

/// Verifies one backup, of `several` or alone; none where it was deleted since `record` was read.
async fn one(
    setting: &Setting,
    repository: &Repository,
    record: &BackupRecord,
    level: VerifyLevel,
    several: bool,
    checked: &mut Checked,
) -> Result<Option<Verification>> {
    let task = format!("verify {}", record.id.short());
    let mut locked = None;
    let (damages, needed) = match opened(repository, record)? {
        Opened::Deleted => return Ok(None),
        Opened::Damaged(damage) => (vec![damage], VerifyLevel::Full),
        Opened::Readable(backup) => {
            let mut found = read(setting, &backup, level, &task, checked).await;
            if let Err(e) = &found
                && lacks_key(e)
                && several
            {
                setting.progress.warn(e.code(), e.to_string());
                locked = Some(e.to_string());
                found = read(setting, &backup, VerifyLevel::Full, &task, checked).await;
            }
            match found {
                // What was deleted under its reader cannot be read, and that says nothing.
                Err(e)
                    if !is_no_damage(&e) && repository.is_deleted(&record.name, &record.id)? =>
                {
                    return Ok(None);
                }
                found => found?,
            }
        }
    };
    let level = if locked.is_some() { VerifyLevel::Full } else { level };
    if damages.is_empty() && level >= VerifyLevel::Full {
        Coverage::whole(clock::now()).save(&setting.config.catalog_dir(), &record.id)?;
    }
    // What reading the bytes alone would have found is found gone by that too, without a key.
    let recorded = if damages.is_empty() { level } else { level.min(needed) };
    let verification = finish(setting, repository, record, (recorded, None), damages)?;
    Ok(verification.map(|verification| Verification { level, locked, ..verification }))
}

/// What a backup that a row tells of was found to be.
enum Opened {
    Readable(Box<PublishedBackup>),
    /// Its manifest is no good.
    Damaged(Damage),
    /// Rows are read before the lock is taken, and other hosts delete without it.
    Deleted,
}

fn opened(repository: &Repository, record: &BackupRecord) -> Result<Opened> {
    match repository.backup(&record.name) {
        Ok(backup) => Ok(Opened::Readable(Box::new(backup))),
        Err(e) if is_no_damage(&e) => Err(e),
        Err(_) if repository.is_deleted(&record.name, &record.id)? => Ok(Opened::Deleted),
        Err(e) => Ok(Opened::Damaged(Damage::new(MANIFEST, &e.to_string()))),
    }
}

fn deleted(repository: &Repository, record: &BackupRecord) -> Error {
    Error::new(Code::BackupNotFound, "verify backup", &record.name)
        .cause(format!("it does not lie in {}", repository.shown()))
}

fn lacks_key(error: &Error) -> bool {
    matches!(error.code(), Code::KeyMissing | Code::KeyWrong)
}

/// Everything that a verification of this level finds in one backup, and which level would have
/// found all of that. Earlier archives that are in `checked` are not read again.
async fn read(
    setting: &Setting,
    backup: &PublishedBackup,
    level: VerifyLevel,
    task: &str,
    checked: &mut Checked,
) -> Result<(Vec<Damage>, VerifyLevel)> {
    let (part, read, task) = (setting.clone(), backup.clone(), task.to_owned());
    let mut known = std::mem::take(checked);
    let work = move || stored(&part, &read, level, &task, &mut known).map(|found| (found, known));
    let (mut damages, mut needed);
    ((damages, needed), *checked) = setting.blocking(work).await?;
    if level == VerifyLevel::Deep {
        let work = deep::dumps(setting, backup, &damages);
        let more = setting.unless_interrupted("verify backup of", work).await?;
        if !more.is_empty() {
            needed = VerifyLevel::Deep;
        }
        damages.extend(more);
    }
    Ok((damages, needed))
}

fn stored(
    setting: &Setting,
    backup: &PublishedBackup,
    level: VerifyLevel,
    task: &str,
    checked: &mut Checked,
) -> Result<(Vec<Damage>, VerifyLevel)> {
    if level == VerifyLevel::Quick {
        let mut damages = backup.check_sizes()?;
        damages.extend(backup.check_references(&|_| true)?);
        return Ok((damages, level));
    }
    let progress = &setting.progress;
    let total_bytes = Some(backup.manifest().objects.iter().map(|object| object.size).sum());
    progress.report(ProgressEvent::Started { task: task.into(), total_bytes });
    let advance = &mut |bytes| {
        progress.report(ProgressEvent::Advanced { task: task.into(), bytes });
    };
    let mut damages = backup.check_bytes(&|_| true, &setting.cancel, advance)?;
    damages.extend(backup.check_reference_bytes(&|_| true, &setting.cancel, checked)?);
    progress.report(ProgressEvent::Finished { task: task.into() });
    let mut needed = VerifyLevel::Full;
    if level == VerifyLevel::Deep {
        let more = deep::contents(setting, backup, &damages)?;
        if !more.is_empty() {
            needed = level;
        }
        damages.extend(more);
    }
    Ok((damages, needed))
}

/// Says which backups need what is damaged, and records the result, of those as well; none where
/// the backup was deleted meanwhile, and nothing is recorded.
///
/// # Errors
/// Where nothing can be recorded, which is said of each damage; and where the repository is gone:
/// what is missing with it is not damaged.
fn finish(
    setting: &Setting,
    repository: &Repository,
    record: &BackupRecord,
    level: (VerifyLevel, Option<Sampled>),
    damages: Vec<Damage>,
) -> Result<Option<Verification>> {
    if !damages.is_empty() && repository.is_deleted(&record.name, &record.id)? {
        return Ok(None);
    }
    note(setting, repository, record, level, damages.clone()).inspect_err(|_| {
        for damage in &damages {
            setting.progress.warn(Code::BackupDamaged, format!("{}: {damage}", record.name));
        }
    })
}

fn note(
    setting: &Setting,
    repository: &Repository,
    record: &BackupRecord,
    (level, sampled): (VerifyLevel, Option<Sampled>),
    mut damages: Vec<Damage>,
) -> Result<Option<Verification>> {
    let mut session = Catalog::of(&setting.config).session(&setting.progress)?;
    let all = session.list()?;
    if damages.is_empty() && sampled.is_some() {
        // A sample reads nothing of what the backup needs of others.
        damages = needed::known(record, &all);
    }
    let damaged = damages.iter_mut();
    let concerned =
        damaged.flat_map(|damage| needed::concerned(repository, record, &all, damage)).collect();
    let found = Verification {
        id: Some(record.id.clone()),
        name: record.name.clone(),
        level,
        sampled,
        ok: damages.is_empty(),
        damages,
        locked: None,
    };
    let now = match all.iter().find(|now| now.id == record.id) {
        Some(now) => now,
        // A row that somebody took out with its backup does not come back.
        None if repository.is_deleted(&record.name, &record.id)? => return Ok(None),
        None => record,
    };
    let last = LastVerification {
        at: clock::now(),
        level,
        sampled: found.sampled.clone(),
        ok: found.ok,
        damages: found.damages.clone(),
    };
    put(&mut session, now, last)?;
    noticed::spread(&mut session, found.level, concerned)?;
    Ok(Some(found))
}

/// Records what a verification found. `now` is what was recorded until then, which is not undone.
fn put(session: &mut Session, now: &BackupRecord, last: LastVerification) -> Result<()> {
    let detail = serde_json::to_value(&last)
        .map_err(|e| Error::new(Code::CatalogFailed, "record", "a verification").source(e))?;
    session.put(&now.clone().verified(last))?;
    session.record_event(&Event::now(EventName::BackupVerified, Some(&now.id), detail))
}
