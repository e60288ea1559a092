//! What a backup builds upon: its kind, and the earlier backup whose bytes it need not store
//! again.

use super::CHANGES;
use super::plain::{Plain, Summary};
use crate::archive::index::IndexReader;
use crate::archive::{Base, Contents};
use crate::catalog::BackupRecord;
use crate::clock;
use crate::error::{Code, Result};
use crate::repository::manifest::{Component, Detail, Kind};
use crate::repository::{BackupId, PublishedBackup, Repository};
use crate::setting::Setting;
use crate::storage::Blob;
use jiff::Timestamp;
use std::sync::Arc;

/// The backup that another one builds upon.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    pub(super) backup: PublishedBackup,
    /// What is kept of it in the clear, where it is encrypted.
    pub(super) plain: Option<Arc<Summary>>,
}

/// Its file trees, opened to compare with.
#[derive(Clone)]
pub(super) struct ParentTrees {
    id: BackupId,
    index: IndexReader,
    started_at: Timestamp,
    components: Arc<Vec<String>>,
    contents: Arc<Contents>,
}

/// Decides the kind of the next backup, and what it builds upon.
///
/// Without a wish it is incremental while the newest full backup is younger than
/// `repository.full_every`. An incremental backup builds upon the newest backup, a
/// differential one upon the newest full one; among the candidates those that hold most of
/// the `wanted` components come first. One that is damaged is not built upon: then everything
/// is stored again.
pub(super) fn choose(
    setting: &Setting,
    asked: Option<Kind>,
    wanted: &[&str],
    repository: &Repository,
    records: &[BackupRecord],
) -> Result<(Kind, Option<Parent>)> {
    let stack = &setting.config.stack.name;
    let damaged: Vec<&BackupId> =
        records.iter().filter(|record| record.is_damaged()).map(|record| &record.id).collect();
    // What a verification found once is not built upon, nor what has contents in it.
    let is_sound = |record: &BackupRecord| {
        let mut elsewhere = record.components.iter().flat_map(Component::elsewhere);
        !damaged.contains(&&record.id) && !elsewhere.any(|one| damaged.contains(&&one.backup))
    };
    let ours = |record: &&BackupRecord| record.is_published() && record.stack == *stack;
    let sound = records.iter().filter(ours).filter(|record| is_sound(record));
    let covers = |record: &&BackupRecord| {
        let held = record.components.iter().filter(|held| wanted.contains(&held.name.as_str()));
        (held.count(), record.sequence)
    };
    let full = sound.clone().filter(|record| record.kind == Kind::Full).max_by_key(covers);
    let newest = sound.max_by_key(covers);
    let kind = match (asked, full) {
        (Some(Kind::Full), _) => Kind::Full,
        (_, None) => {
            if let Some(damaged) = records.iter().filter(ours).max_by_key(covers) {
                stores_again(setting, damaged, "as a verification found, or what it needs is");
            } else if asked.is_some() {
                setting.progress.note("there is no full backup to build upon: this one is full");
            }
            Kind::Full
        }
        (Some(kind), Some(_)) => kind,
        (None, Some(full)) => {
            let age = clock::now().duration_since(full.started_at).unsigned_abs();
            let is_due = age >= setting.config.repository.full_every.duration();
            if is_due { Kind::Full } else { Kind::Incremental }
        }
    };
    let record = match kind {
        Kind::Full => None,
        Kind::Incremental => newest,
        Kind::Differential => full,
    };
    let Some(record) = record else { return Ok((Kind::Full, None)) };
    let trouble = match repository.backup(&record.name) {
        Ok(backup) => {
            let mut damages = backup.check_sizes()?;
            damages.extend(backup.check_references(&|_| true)?);
            // Only questions read them, and can do without.
            damages.retain(|damage| !damage.concerns(CHANGES));
            match damages.first() {
                None => {
                    return Ok(match readable(setting, backup) {
                        Ok(parent) => (kind, Some(parent)),
                        Err(because) => {
                            setting.progress.note(format!("this backup is full: {because}"));
                            (Kind::Full, None)
                        }
                    });
                }
                Some(first) => format!("{} {}", first.object, first.fault),
            }
        }
        Err(error) => error.to_string(),
    };
    stores_again(setting, record, &trouble);
    Ok((Kind::Full, None))
}

/// The backup as a parent of one for the same recipients; else why it cannot be.
fn readable(setting: &Setting, backup: PublishedBackup) -> std::result::Result<Parent, String> {
    let name = &backup.manifest().name;
    let before = backup.manifest().encryption.as_ref().map(|detail| detail.recipients.clone());
    let now = setting.recipients.names();
    match (&before, setting.recipients.are_there()) {
        (None, false) => return Ok(Parent { backup, plain: None }),
        (None, true) => return Err(format!("{name} is not encrypted, and this one is")),
        (Some(_), false) => return Err(format!("{name} is encrypted, and this one is not")),
        (Some(before), true) if *before != now => {
            return Err(format!("{name} is encrypted for other recipients"));
        }
        _ => {}
    }
    let plain = Plain::of(setting, &backup.manifest().id);
    let summary = match plain.recall(setting) {
        Some(summary) => summary,
        None if !setting.identities.are_configured() => {
            return Err(format!(
                "what was kept of {name} in the clear is gone, and no key is configured"
            ));
        }
        None => plain
            .renew(setting, &backup)
            .map_err(|e| format!("{name} cannot be decrypted to build upon it: {e}"))?,
    };
    Ok(Parent { backup, plain: Some(Arc::new(summary)) })
}

/// Warns that `record` is not built upon.
fn stores_again(setting: &Setting, record: &BackupRecord, trouble: &str) {
    setting.progress.warn(
        Code::BackupDamaged,
        format!("{} is damaged, so this backup stores everything again: {trouble}", record.name),
    );
}

impl Parent {
    /// Reads what the parent's file trees hold; nothing where it has none, or where its index
    /// is not what was written. Blocking.
    pub(super) fn trees(&self, setting: &Setting) -> Result<Option<ParentTrees>> {
        const INDEX: &str = super::INDEX;
        let manifest = self.backup.manifest();
        let files = manifest.components.iter().filter(|c| matches!(c.detail, Detail::Files(_)));
        let components: Vec<String> = files.map(|component| component.name.clone()).collect();
        if components.is_empty() {
            return Ok(None);
        }
        let damages =
            self.backup.check_bytes(&|object| object == INDEX, &setting.cancel, &mut |_| {})?;
        if !damages.is_empty() {
            setting.progress.warn(
                Code::BackupDamaged,
                format!("the index of {} is damaged: all files are stored again", manifest.name),
            );
            return Ok(None);
        }
        let index = match &self.plain {
            Some(_) => Blob::file(&Plain::of(setting, &manifest.id).index())?,
            None => self.backup.open(INDEX)?,
        };
        let index = IndexReader::open(&index)?;
        let contents = Arc::new(Contents::read(&index)?);
        let components = Arc::new(components);
        let (id, started_at) = (manifest.id.clone(), manifest.started_at);
        Ok(Some(ParentTrees { id, index, started_at, components, contents }))
    }
}

impl ParentTrees {
    /// The backup they are of.
    pub(super) fn id(&self) -> &BackupId {
        &self.id
    }

    /// The tree of a component, to compare with; nothing where the parent does not have it.
    pub(super) fn base(&self, component: &str) -> Option<Base> {
        let has = self.components.iter().any(|name| name == component);
        has.then(|| Base::new(&self.index, component, self.started_at))
    }

    /// The contents of all its trees.
    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }
}
