//! What can be saved of a damaged backup: every component that is whole, and of a damaged
//! archive every file whose bytes are.

use super::files::{LostFiles, survey};
use crate::backup::{INDEX, open_repository};
use crate::catalog::BackupRecord;
use crate::encryption::EXTENSION;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{EncryptionDetail, FilesDetail, MANIFEST, Manifest, Object};
use crate::repository::{Damage, PublishedBackup, Repository, hash_blob};
use crate::setting::Setting;
use crate::size::count;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Something of a backup that a restore could not bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The component, where the loss concerns one that would be restored.
    pub component: Option<String>,
    /// The damaged file of the backup.
    pub object: String,
    /// What is wrong with it.
    pub fault: String,
    /// Of a file tree that comes back without them, the lost files: the first thousand. None
    /// where the component does not come back at all.
    pub files: Option<Vec<String>>,
    /// How many files those are in all.
    pub file_count: u64,
}

impl Lost {
    /// A component that does not come back, or an object that belongs to none.
    pub(super) fn whole(component: Option<&str>, damage: &Damage) -> Self {
        Self {
            component: component.map(str::to_owned),
            object: damage.object.clone(),
            fault: damage.fault.clone(),
            files: None,
            file_count: 0,
        }
    }

    fn files(component: &str, damage: &Damage, lost: LostFiles) -> Self {
        Self {
            files: Some(lost.paths),
            file_count: lost.count,
            ..Self::whole(Some(component), damage)
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.component.as_deref().unwrap_or(&self.object);
        let why = format!("{} {}", self.object, self.fault);
        let Some(files) = &self.files else {
            return match self.component {
                Some(_) => write!(f, "{name}: does not come back: {why}"),
                None => write!(f, "{name}: {}", self.fault),
            };
        };
        write!(f, "{name}: comes back without {}: {why}", count(self.file_count, "file", "files"))?;
        for path in files {
            write!(f, "\n    lost {path}")?;
        }
        match self.file_count.saturating_sub(files.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\n    and {more} more"),
        }
    }
}

/// How a tree comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All of it, from archives that are whole.
    Whole,
    /// What can be read.
    Salvaged,
}

/// A backup that may be damaged, described as well as it can be, and what is damaged of it.
pub(super) fn open(
    setting: &Setting,
    record: &BackupRecord,
) -> Result<(PublishedBackup, Vec<Damage>)> {
    let repository = open_repository(setting)?;
    let opened = repository.backup(&record.name);
    let trouble = match &opened {
        Ok(backup) => {
            let damages = backup.check_sizes()?;
            damages.into_iter().find(|damage| damage.object == MANIFEST)
        }
        Err(e) => Some(Damage::new(MANIFEST, &e.to_string())),
    };
    match (opened, trouble) {
        (Ok(backup), None) => Ok((backup, Vec::new())),
        (opened, trouble) => {
            let manifest = opened.ok().map(|backup| backup.manifest().clone());
            let backup = reconstruct(setting, &repository, record, manifest)?;
            setting.progress.warn(
                Code::BackupDamaged,
                format!("{} is described as the catalog knows it", record.name),
            );
            Ok((backup, trouble.into_iter().collect()))
        }
    }
}

/// The backup as the catalog, `SHA256SUMS` and what is left of the manifest describe it. A
/// stored file counts as whole where either of these has its hash.
fn reconstruct(
    setting: &Setting,
    repository: &Repository,
    record: &BackupRecord,
    manifest: Option<Manifest>,
) -> Result<PublishedBackup> {
    let found = repository.described(record.to_manifest(repository.id(), Vec::new()))?;
    let sums = found.checksums()?;
    let mut hashes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let listed = manifest.into_iter().flat_map(|manifest| manifest.objects);
    let listed = listed.map(|object| (object.path, object.sha256));
    for (path, hash) in listed.chain(sums.0) {
        if path != MANIFEST {
            hashes.entry(path).or_default().push(hash);
        }
    }
    if hashes.is_empty() {
        return Err(Error::new(Code::BackupDamaged, "salvage", &record.name)
            .cause("neither manifest.json nor SHA256SUMS says what its files should hold"));
    }
    let mut objects = Vec::new();
    for (path, known) in hashes {
        let (size, sha256) =
            match found.stored(&path).and_then(|blob| hash_blob(&setting.cancel, &blob)) {
                Ok((size, hash)) if known.contains(&hash) => (size, hash),
                Err(e) if e.code() == Code::Interrupted => return Err(e),
                Ok((size, _)) => (size, known[0].clone()),
                Err(_) => (0, known[0].clone()),
            };
        objects.push(Object { path, size, sha256 });
    }
    let is_encrypted = objects.iter().all(|object| object.path.ends_with(EXTENSION));
    let mut manifest = record.to_manifest(repository.id(), objects);
    // Whom it is encrypted for stands in each object as well.
    manifest.encryption =
        is_encrypted.then(|| EncryptionDetail { format: "age".into(), recipients: Vec::new() });
    repository.described(manifest)
}

/// The damages that a component with `object`, a file or a directory, suffers from.
pub(super) fn of<'a>(damages: &'a [Damage], object: &str) -> Option<&'a Damage> {
    damages.iter().find(|damage| damage.concerns(object))
}

/// How a tree can come back, and what is lost of it; nothing where it cannot.
pub(super) async fn tree(
    setting: &Setting,
    backup: &PublishedBackup,
    damages: &[Damage],
    (name, detail): (&str, &FilesDetail),
) -> Result<(Option<Reading>, Option<Lost>)> {
    if let Some(damage) = of(damages, INDEX) {
        return Ok((None, Some(Lost::whole(Some(name), damage))));
    }
    let shown = detail.elsewhere.iter().map(|earlier| earlier.shown());
    let archives: Vec<String> = shown.collect();
    let damage = damages
        .iter()
        .find(|damage| damage.concerns(&detail.object) || archives.contains(&damage.object));
    let Some(damage) = damage else { return Ok((Some(Reading::Whole), None)) };
    let (lost, restored) = survey(setting, backup, name, detail).await?;
    Ok(match (lost.count, restored) {
        (0, _) => (Some(Reading::Salvaged), None),
        // A tree of empty directories is no restored tree.
        (_, 0) => (None, Some(Lost::whole(Some(name), damage))),
        _ => (Some(Reading::Salvaged), Some(Lost::files(name, damage, lost))),
    })
}
