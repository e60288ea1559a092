//! Verification: every stored byte is read and compared with what was written.

use super::{lock, open_repository};
use crate::catalog::{BackupRecord, Catalog, Event, EventName, LastVerification};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::progress::Event as ProgressEvent;
use crate::repository::{BackupId, Checked, Damage, LockMode, Repository};
use crate::setting::Setting;
use serde::Serialize;

/// What the verification of one backup found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The backup's id; none where its manifest cannot be read and no row knows it.
    pub id: Option<BackupId>,
    /// Its name.
    pub name: String,
    /// Whether nothing is damaged.
    pub ok: bool,
    /// What is damaged.
    pub damages: Vec<Damage>,
}

/// Verifies backups one after the other and records each result. Damage is a result, not
/// an error. Other readers may work at the same time, writers may not.
pub async fn verify(setting: &Setting, records: &[BackupRecord]) -> Result<Vec<Verification>> {
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    let (setting, records) = (setting.clone(), records.to_vec());
    setting
        .clone()
        .blocking(move || {
            let mut checked = Checked::new();
            let mut verify = |record| verify_one(&setting, &repository, record, &mut checked);
            records.iter().map(&mut verify).collect()
        })
        .await
}

/// What lies in the repository as a backup, cannot be read as one, and is not `listed`: the
/// catalog was lost as well as the manifest.
pub fn verify_unlisted(setting: &Setting, listed: &[BackupRecord]) -> Result<Vec<Verification>> {
    let repository = open_repository(setting)?;
    let mut found = Vec::new();
    for name in repository.names()? {
        if listed.iter().any(|record| record.name == name) {
            continue;
        }
        if let Err(e) = repository.backup(&name) {
            let damages = vec![Damage::new("manifest.json", &e.to_string())];
            found.push(Verification { id: None, name, ok: false, damages });
        }
    }
    Ok(found)
}

fn verify_one(
    setting: &Setting,
    repository: &Repository,
    record: &BackupRecord,
    checked: &mut Checked,
) -> Result<Verification> {
    let task = format!("verify {}", record.id.short());
    let progress = &setting.progress;
    let damages = match repository.backup(&record.name) {
        Ok(backup) => {
            let total_bytes = Some(backup.manifest().objects.iter().map(|o| o.size).sum());
            progress.report(ProgressEvent::Started { task: task.clone(), total_bytes });
            let advance = &mut |bytes| {
                progress.report(ProgressEvent::Advanced { task: task.clone(), bytes });
            };
            let mut damages = backup.check_bytes(&|_| true, &setting.cancel, advance)?;
            let references = backup.check_reference_bytes(&|_| true, &setting.cancel, checked)?;
            damages.extend(references);
            progress.report(ProgressEvent::Finished { task: task.clone() });
            damages
        }
        Err(e) => vec![Damage::new("manifest.json", &e.to_string())],
    };
    let found = Verification {
        id: Some(record.id.clone()),
        name: record.name.clone(),
        ok: damages.is_empty(),
        damages,
    };
    note(setting, record, &found)?;
    Ok(found)
}

fn note(setting: &Setting, record: &BackupRecord, found: &Verification) -> Result<()> {
    let mut session = Catalog::in_dir(&setting.config.state.dir).session(&setting.progress)?;
    let last = LastVerification { at: clock::now(), ok: found.ok, damages: found.damages.clone() };
    let detail = serde_json::to_value(&last)
        .map_err(|e| Error::new(Code::CatalogFailed, "record", "a verification").source(e))?;
    session.put(&record.clone().verified(last))?;
    session.record_event(&Event::now(EventName::BackupVerified, Some(&record.id), detail))
}
