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

pub use key::{KeyCheck, check_key};
pub use sample::{Share, sample};

pub(crate) use noticed::{KnownDamage, record_damage};

use crate::backup::{lock, open_repository};
use crate::catalog::{
    BackupRecord, Catalog, Event, EventName, LastVerification, Sampled, Session, VerifyLevel,
};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::progress::Event as ProgressEvent;
use crate::repository::manifest::MANIFEST;
use crate::repository::{BackupId, Checked, Damage, LockMode, PublishedBackup, Repository};
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
/// What hinders reading without being damage: `interrupted`, `tool_missing`; for a single
/// backup `key_missing` and `key_wrong`.
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
        let task = format!("verify {}", record.id.short());
        let mut locked = None;
        let damages = match repository.backup(&record.name) {
            Ok(backup) => match read(setting, &backup, level, &task, &mut checked).await {
                Err(e) if lacks_key(&e) && records.len() > 1 => {
                    setting.progress.warn(e.code(), e.to_string());
                    locked = Some(e.to_string());
                    read(setting, &backup, VerifyLevel::Full, &task, &mut checked).await?
                }
                read => read?,
            },
            Err(e) => vec![Damage::new(MANIFEST, &e.to_string())],
        };
        let level = if locked.is_some() { VerifyLevel::Full } else { level };
        if damages.is_empty() && level >= VerifyLevel::Full {
            Coverage::whole(clock::now()).save(&setting.config.catalog_dir(), &record.id)?;
        }
        let verification = finish(setting, &repository, record, (level, None), damages)?;
        found.push(Verification { locked, ..verification });
    }
    Ok(found)
}

fn lacks_key(error: &Error) -> bool {
    matches!(error.code(), Code::KeyMissing | Code::KeyWrong)
}

/// What lies in the repository as a backup, cannot be read as one, and is not `listed`: the
/// catalog was lost as well as the manifest. On a store a backup without manifest is none yet, or
/// none any more: that is only said.
pub fn verify_unlisted(
    setting: &Setting,
    listed: &[BackupRecord],
    level: VerifyLevel,
) -> Result<Vec<Verification>> {
    let repository = open_repository(setting)?;
    let mut found = Vec::new();
    for name in repository.names()? {
        if listed.iter().any(|record| record.name == name) {
            continue;
        }
        match repository.backup(&name) {
            Ok(_) => {}
            Err(e) if e.code() == Code::BackupNotFound => setting.progress.note(format!(
                "{name} is not published, so it is not verified: somebody is writing it, or did \
                 not finish; `backstop repo check` names what is left over"
            )),
            Err(e) => {
                let damages = vec![Damage::new(MANIFEST, &e.to_string())];
                let (id, sampled, ok, locked) = (None, None, false, None);
                found.push(Verification { id, name, level, sampled, ok, damages, locked });
            }
        }
    }
    Ok(found)
}

/// Everything that a verification of this level finds in one backup. Earlier archives that
/// are in `checked` are not read again.
async fn read(
    setting: &Setting,
    backup: &PublishedBackup,
    level: VerifyLevel,
    task: &str,
    checked: &mut Checked,
) -> Result<Vec<Damage>> {
    let (part, read, task) = (setting.clone(), backup.clone(), task.to_owned());
    let mut known = std::mem::take(checked);
    let work = move || stored(&part, &read, level, &task, &mut known).map(|found| (found, known));
    let mut damages;
    (damages, *checked) = setting.blocking(work).await?;
    if level == VerifyLevel::Deep {
        let work = deep::dumps(setting, backup, &damages);
        damages.extend(setting.unless_interrupted("verify backup of", work).await?);
    }
    Ok(damages)
}

fn stored(
    setting: &Setting,
    backup: &PublishedBackup,
    level: VerifyLevel,
    task: &str,
    checked: &mut Checked,
) -> Result<Vec<Damage>> {
    if level == VerifyLevel::Quick {
        let mut damages = backup.check_sizes()?;
        damages.extend(backup.check_references(&|_| true)?);
        return Ok(damages);
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
    if level == VerifyLevel::Deep {
        let more = deep::contents(setting, backup, &damages)?;
        damages.extend(more);
    }
    Ok(damages)
}

/// Says which backups need what is damaged, and records the result, of those as well.
fn finish(
    setting: &Setting,
    repository: &Repository,
    record: &BackupRecord,
    (level, sampled): (VerifyLevel, Option<Sampled>),
    mut damages: Vec<Damage>,
) -> Result<Verification> {
    let mut session = Catalog::of(&setting.config).session(&setting.progress)?;
    let all = session.list()?;
    if damages.is_empty() && sampled.is_some() {
        // A sample reads nothing of what the backup needs of others.
        damages = needed::known(record, &all);
    }
    needed::name(repository, record, &all, &mut damages);
    let found = Verification {
        id: Some(record.id.clone()),
        name: record.name.clone(),
        level,
        sampled,
        ok: damages.is_empty(),
        damages,
        locked: None,
    };
    let now = all.iter().find(|now| now.id == record.id).unwrap_or(record);
    let last = LastVerification {
        at: clock::now(),
        level,
        sampled: found.sampled.clone(),
        ok: found.ok,
        damages: found.damages.clone(),
    };
    put(&mut session, now, last)?;
    noticed::spread(&mut session, repository, record, &all, &found)?;
    Ok(found)
}

/// Records what a verification found. `now` is what was recorded until then, which is not undone.
fn put(session: &mut Session, now: &BackupRecord, last: LastVerification) -> Result<()> {
    let detail = serde_json::to_value(&last)
        .map_err(|e| Error::new(Code::CatalogFailed, "record", "a verification").source(e))?;
    session.put(&now.clone().verified(last))?;
    session.record_event(&Event::now(EventName::BackupVerified, Some(&now.id), detail))
}
