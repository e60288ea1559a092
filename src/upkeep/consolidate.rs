//! A backup that needs earlier ones, put together into one that needs none.
//!
//! The new backup is of the same instant: it has the old one's times, fence, reason and place
//! in the history, an id of its own, and the label `consolidated-from`. Nothing is taken from
//! the stack, and the old one is left as it is.

use crate::archive::frame::Spliced;
use crate::archive::index::{IndexReader, IndexWriter};
use crate::archive::{self, Tree, splice_tree};
use crate::backup::{CHANGES, INDEX, lock, open_repository, require_space};
use crate::catalog::{BackupRecord, Catalog};
use crate::encryption::Recipients;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{Component, Detail, Kind, Manifest, Object};
use crate::repository::{
    BackupId, Checked, IncomingBackup, Lock, LockMode, PublishedBackup, Repository, backup_name,
    create_dir,
};
use crate::setting::Setting;
use crate::storage::{Blob, Scratch};
use serde::Serialize;
use std::collections::BTreeSet;

/// The label that names the backup of which another was put together.
const LABEL: &str = "consolidated-from";

/// What was put together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Consolidated {
    /// The new backup.
    pub backup: BackupRecord,
    /// The backup it was made of.
    pub from: BackupId,
    /// Bytes of its archives that are frames of the earlier archives, as they were.
    pub copied_bytes: u64,
    /// Bytes of its archives that had to be compressed again.
    pub compressed_bytes: u64,
}

/// Writes a full backup with everything that the backup of `record` holds, and publishes it.
/// What it is made of is verified first, what was made afterwards. One that was made before is
/// returned as it is.
///
/// # Errors
/// `usage` where the backup needs no other one, `backup_damaged` where what it needs is.
/// Nothing is left then. Cut off at any point it can be run again.
pub async fn consolidate(setting: &Setting, record: &BackupRecord) -> Result<Consolidated> {
    let repository = open_repository(setting)?;
    let lock = lock(setting, &repository, LockMode::Exclusive).await?;
    for left in repository.clear_leftovers(&lock)? {
        setting.progress.note(format!("cleared {}", left));
    }
    let old = repository.backup(&record.name)?;
    if old.manifest().parent.is_none() {
        return Err(Error::new(Code::Usage, "consolidate", &record.name)
            .cause("it needs no other backup already")
            .hint("`backstop list` shows the kind of each backup"));
    }
    let records = Catalog::of(&setting.config).session(&setting.progress)?.list()?;
    // Of the same instant too: everybody may give a backup any label.
    let is_made_of_it = |it: &BackupRecord| {
        it.is_published()
            && it.labels.get(LABEL).is_some_and(|of| of == record.id.as_str())
            && it.instant() == record.instant()
            && !it.is_damaged()
            && repository.backup(&it.name).is_ok_and(|made| has_all_bytes(&made))
    };
    if let Some(made) = records.into_iter().find(is_made_of_it) {
        setting.progress.note(format!("{} holds the same already", made.name));
        let from = record.id.clone();
        return Ok(Consolidated { backup: made, from, copied_bytes: 0, compressed_bytes: 0 });
    }
    let (part, inner) = (setting.clone(), repository.clone());
    let (backup, copied_bytes, compressed_bytes) =
        setting.blocking(move || write(&part, &inner, &lock, &old)).await?;
    let new = BackupRecord::published(&backup);
    let mut session = Catalog::of(&setting.config).session(&setting.progress)?;
    session.put(&new)?;
    Ok(Consolidated { backup: new, from: record.id.clone(), copied_bytes, compressed_bytes })
}

/// Whether every object is there, as large as it was written.
fn has_all_bytes(made: &PublishedBackup) -> bool {
    made.check_sizes().is_ok_and(|damages| damages.is_empty())
}

/// Whether one of two backups was put together of the other, so that both are of one instant.
pub(super) fn are_same_instant(one: &PublishedBackup, other: &PublishedBackup) -> bool {
    let origin = |backup: &PublishedBackup| {
        let manifest = backup.manifest();
        let id = manifest.labels.get(LABEL);
        id.cloned().unwrap_or_else(|| manifest.id.to_string())
    };
    origin(one) == origin(other)
}

fn write(
    setting: &Setting,
    repository: &Repository,
    lock: &Lock,
    old: &PublishedBackup,
) -> Result<(PublishedBackup, u64, u64)> {
    setting.progress.step("verify");
    refuse_damaged(setting, old)?;
    let sum: u64 = old.manifest().components.iter().map(|component| component.source_bytes).sum();
    // What the trees hold is the most that their archives can take.
    require_space(repository.workspace(), archives_bytes(old).min(sum), "consolidate in")?;

    setting.progress.step("build");
    let id = BackupId::random()?;
    let mut incoming = repository.incoming(&id, Some(old), lock)?;
    let (components, copied, compressed) = build(setting, old, &incoming, &id)?;

    setting.progress.step("publish");
    let manifest =
        manifest(old.manifest(), id, components, incoming.read_back(&[], &setting.cancel)?);
    incoming.send(&manifest, &setting.cancel, &mut |_| {})?;
    let backup = incoming.publish(&manifest)?;
    Ok((backup, copied, compressed))
}

/// Reads every byte of the backup and of what it needs.
fn refuse_damaged(setting: &Setting, old: &PublishedBackup) -> Result<()> {
    let mut damages = old.check_bytes(&|_| true, &setting.cancel, &mut |_| {})?;
    damages.extend(old.check_reference_bytes(&|_| true, &setting.cancel, &mut Checked::new())?);
    match damages.first() {
        None => Ok(()),
        Some(first) => Err(Error::new(Code::BackupDamaged, "consolidate", &old.manifest().name)
            .cause(format!("{first}"))),
    }
}

/// The bytes of all archives that the backup needs.
fn archives_bytes(old: &PublishedBackup) -> u64 {
    let mut counted = BTreeSet::new();
    let own = old.manifest().objects.iter().map(|object| object.size).sum::<u64>();
    let earlier = old.manifest().components.iter().flat_map(Component::elsewhere);
    let earlier = earlier.filter(|it| counted.insert(it.shown()));
    let earlier = earlier.filter_map(|it| old.locate(it.backup.as_str(), &it.object).ok());
    own + earlier.map(|blob| blob.size()).sum::<u64>()
}

/// Puts the archives together; all other files become hard links to the old backup's.
fn build(
    setting: &Setting,
    old: &PublishedBackup,
    incoming: &IncomingBackup,
    id: &BackupId,
) -> Result<(Vec<Component>, u64, u64)> {
    create_dir(&incoming.path().join("files"))?;
    let rows = IndexReader::open(&old.open(INDEX)?)?;
    let recipients = recipients(old)?;
    // The index is read again before it is encrypted.
    let scratch = match recipients.are_there() {
        true => Some(Scratch::below(&setting.config.state.dir)?),
        false => None,
    };
    let plain = match &scratch {
        Some(scratch) => scratch.path().join("index.parquet"),
        None => incoming.path().join(INDEX),
    };
    let mut index = IndexWriter::create(&plain)?;
    let mut components = old.manifest().components.clone();
    let (mut spliced_objects, mut copied, mut compressed) = (BTreeSet::new(), 0, 0);
    for component in &mut components {
        let Detail::Files(files) = &mut component.detail else { continue };
        let spliced = splice(
            setting,
            old,
            (&component.name, &files.object),
            &rows,
            (&mut index, incoming, id),
            &recipients,
        )?;
        (copied, compressed) = (copied + spliced.copied, compressed + spliced.compressed);
        component.stored_bytes = spliced.stored.size;
        files.elsewhere.clear();
        files.changes_since = None;
        spliced_objects.insert(files.object.clone());
    }
    index.finish()?;
    let index = IndexReader::open(&Blob::file(&plain)?)?;
    for component in &components {
        if let Detail::Files(files) = &component.detail {
            let names = (component.name.as_str(), id.as_str());
            let stored = incoming.path().join(recipients.stored_name(&files.object));
            let archive = match recipients.are_there() {
                true => setting.identities.open(Blob::file(&stored)?)?,
                false => Blob::file(&stored)?,
            };
            archive::verify(&archive, &index, names, &setting.progress, &setting.cancel)?;
        }
    }
    if scratch.is_some() {
        let sealed = incoming.path().join(recipients.stored_name(INDEX));
        recipients.seal_file(&plain, &sealed, &setting.cancel)?;
    }
    for object in &old.manifest().objects {
        let name = old.manifest().logical_name(&object.path);
        if ![INDEX, CHANGES].contains(&name) && !spliced_objects.contains(name) {
            copy(setting, old, &object.path, incoming)?;
        }
    }
    Ok((components, copied, compressed))
}

/// Whom the backup is encrypted for: what is put together of it stays readable for them.
fn recipients(old: &PublishedBackup) -> Result<Recipients> {
    let encryption = old.manifest().encryption.iter();
    Recipients::parse(encryption.flat_map(|detail| &detail.recipients).map(String::as_str))
}

fn splice(
    setting: &Setting,
    old: &PublishedBackup,
    (component, object): (&str, &str),
    rows: &IndexReader,
    (index, incoming, id): (&mut IndexWriter, &IncomingBackup, &BackupId),
    recipients: &Recipients,
) -> Result<Spliced> {
    let tree = Tree {
        component,
        archive: &incoming.path().join(recipients.stored_name(object)),
        object,
        recipients,
        stored_in: id.as_str(),
        level: setting.config.repository.compression_level,
        contents: None,
        total_bytes: None,
    };
    let locate = |stored_in: &str, archive: &str| old.locate(stored_in, archive);
    splice_tree(&tree, rows, &locate, index, &setting.cancel)
}

/// Published files never change, so two backups may have one in common.
fn copy(
    setting: &Setting,
    old: &PublishedBackup,
    object: &str,
    incoming: &IncomingBackup,
) -> Result<()> {
    let to = incoming.path().join(object);
    if let Some(parent) = to.parent() {
        create_dir(parent)?;
    }
    let linked = old.directory().map(|directory| std::fs::hard_link(directory.join(object), &to));
    match linked {
        Some(Ok(())) => Ok(()),
        _ => incoming.copy(&old.stored(object)?, object, &setting.cancel),
    }
}

fn manifest(
    old: &Manifest,
    id: BackupId,
    components: Vec<Component>,
    objects: Vec<Object>,
) -> Manifest {
    let mut labels = old.labels.clone();
    // Put together twice, it is still of the first one's instant.
    labels.entry(LABEL.into()).or_insert_with(|| old.id.to_string());
    let version = old.version_label.as_deref();
    Manifest {
        name: backup_name(Kind::Full, old.reason, version, old.started_at, &id),
        id,
        kind: Kind::Full,
        labels,
        parent: None,
        backstop_version: env!("CARGO_PKG_VERSION").into(),
        stored_bytes: components.iter().map(|component| component.stored_bytes).sum(),
        components,
        objects,
        ..old.clone()
    }
}
