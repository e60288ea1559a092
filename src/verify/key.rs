//! Whether the configured key reads the newest backup: tried, not concluded.

use crate::archive::frame::FrameReader;
use crate::archive::index::IndexReader;
use crate::backup::{INDEX, lock, open_repository};
use crate::catalog::Catalog;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::Detail;
use crate::repository::{BackupId, LockMode, PublishedBackup};
use crate::setting::Setting;
use crate::storage::Blob;
use jiff::Timestamp;
use serde::Serialize;
use std::path::Path;

/// What was read with the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyCheck {
    /// The newest backup.
    pub id: BackupId,
    /// Its name.
    pub name: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Whom it is encrypted for; none where it is not.
    pub recipients: Option<Vec<String>>,
    /// The public keys of the configured identity file.
    pub keys: Vec<String>,
    /// The objects that were decrypted, each in part.
    pub read: Vec<String>,
}

/// Opens every kind of object of the newest backup, and reads a part of each.
///
/// # Errors
/// `key_missing`; `key_wrong` where the key reads the backup not, or will not read the next
/// one; `backup_damaged`, `backup_not_found` where there is none yet.
pub async fn check_key(setting: &Setting) -> Result<KeyCheck> {
    let part = setting.clone();
    // Whoever has no key need not wait for a lock to hear it.
    let keys = setting.blocking(move || own_keys(&part)).await?;
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    let records = Catalog::of(&setting.config).session(&setting.progress)?.list()?;
    let stack = &setting.config.stack.name;
    let ours = records.iter().filter(|record| record.is_published() && record.stack == *stack);
    let record = ours.max_by_key(|record| record.sequence).ok_or_else(|| {
        Error::new(Code::BackupNotFound, "check the key with", "the newest backup")
            .cause("there is no backup yet")
            .hint("take one with `backstop backup`, and check again")
    })?;
    let backup = repository.backup(&record.name)?;
    let (part, opened) = (setting.clone(), backup.clone());
    let read = setting.blocking(move || read(&part, &opened)).await?;
    Ok(KeyCheck {
        id: record.id.clone(),
        name: record.name.clone(),
        taken_at: record.started_at,
        recipients: backup.manifest().encryption.clone().map(|detail| detail.recipients),
        keys,
        read,
    })
}

/// The public keys of the identity file, which have to be among the recipients.
fn own_keys(setting: &Setting) -> Result<Vec<String>> {
    let keys = setting.identities.recipients()?;
    let recipients = setting.recipients.names();
    if recipients.is_empty() || keys.iter().any(|key| recipients.contains(key)) {
        return Ok(keys);
    }
    Err(Error::new(Code::KeyWrong, "check", "the identity file")
        .cause(format!(
            "its public key {} is none of the recipients: what is encrypted from now on cannot \
             be read with it",
            keys.join(", ")
        ))
        .hint("add its public key to recipients in [encryption], or set the other identity_file"))
}

/// Reads the index, a frame of an archive, the first bytes of every other kind.
fn read(setting: &Setting, backup: &PublishedBackup) -> Result<Vec<String>> {
    let manifest = backup.manifest();
    let mut read = Vec::new();
    if !backup.is_encrypted() {
        return Ok(read);
    }
    // Where nothing else is, the config is.
    backup.check_key()?;
    let mut kinds: Vec<&str> = Vec::new();
    for component in &manifest.components {
        let kind = component.detail.type_name();
        if kinds.contains(&kind) {
            continue;
        }
        kinds.push(kind);
        match &component.detail {
            Detail::Files(files) => {
                let index = IndexReader::open(&backup.open(INDEX)?)?;
                index.rows(Some(&component.name)).next().transpose()?;
                read.push(manifest.stored_name(INDEX));
                let frames = FrameReader::open(&backup.open(&files.object)?)?;
                frames.check(0..frames.table().frames().len().min(1), &setting.cancel)?;
                read.push(manifest.stored_name(&files.object));
            }
            Detail::Database(database) => {
                let toc = format!("{}/toc.dat", database.object);
                let object = match manifest.stored_name(&toc) == toc {
                    true => database.object.clone(),
                    false => toc,
                };
                begin(&backup.open(&object)?)?;
                read.push(manifest.stored_name(&object));
            }
            Detail::Globals { object, .. } => {
                begin(&backup.open(object)?)?;
                read.push(manifest.stored_name(object));
            }
            Detail::Container(container) => {
                begin(&backup.open(&container.object)?)?;
                read.push(manifest.stored_name(&container.object));
            }
        }
    }
    Ok(read)
}

/// Reads the first bytes.
fn begin(blob: &Blob) -> Result<()> {
    let mut start = vec![0; blob.size().min(4096) as usize];
    blob.read_exact_at(&mut start, 0).map_err(|e| Error::io("read", Path::new(blob.name()), e))
}
