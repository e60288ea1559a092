//! A host that shares a store with others.

use super::super::{LEASES, Pace};
use crate::error::Result;
use crate::repository::manifest::Manifest;
use crate::repository::{
    BackupId, Considered, IncomingBackup, LockMode, PublishedBackup, Repository, hash_file,
};
use crate::storage::memory::MemoryStorage;
use crate::storage::{Patience, Retrying, Storage};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Nothing waits, and nothing is renewed by itself.
pub(super) const AT_ONCE: Pace = Pace {
    renew: Duration::from_secs(3600),
    alone: Duration::from_secs(3600),
    stale: Duration::from_secs(900),
    age: Duration::ZERO,
};

/// A host with a state directory of its own.
pub(super) struct Host {
    pub(super) _state: TempDir,
    pub(super) repository: Repository,
}

impl Host {
    pub(super) fn on(storage: Arc<dyn Storage>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let repository = Repository::open_or_create_on(storage, state.path(), AT_ONCE).unwrap();
        Self { _state: state, repository }
    }

    /// One whose requests are repeated where they fail.
    pub(super) fn patient(storage: MemoryStorage) -> Self {
        let patience = Patience {
            attempts: 50,
            first_pause: Duration::ZERO,
            longest_pause: Duration::ZERO,
            total: Duration::from_secs(60),
        };
        Self::on(Arc::new(Retrying::new(storage, patience)))
    }

    /// Puts a backup together that has contents in `parent`, and sends it.
    pub(super) fn sent(
        &self,
        parent: Option<&PublishedBackup>,
        digit: char,
    ) -> Result<(IncomingBackup, Manifest)> {
        let lock = self.repository.lock(LockMode::Exclusive, Duration::ZERO)?;
        let id = BackupId::try_from(digit.to_string().repeat(32)).unwrap();
        let mut incoming = self.repository.incoming(&id, parent, &lock)?;
        write(incoming.path(), "files/uploads.tar.zst", &format!("archive {digit}"));
        write(incoming.path(), "databases/shop/1.dat", "the same in all");
        let manifest = manifest(&id, &incoming, parent, self.repository.id());
        incoming.send(&manifest, &CancellationToken::new(), &mut |_| {})?;
        Ok((incoming, manifest))
    }

    pub(super) fn writes(
        &self,
        parent: Option<&PublishedBackup>,
        digit: char,
    ) -> Result<PublishedBackup> {
        let (incoming, manifest) = self.sent(parent, digit)?;
        incoming.publish(&manifest)
    }

    /// Deletes those of `targets` that nobody needs.
    pub(super) fn deletes(&self, targets: &[&PublishedBackup]) -> Result<()> {
        let lock = self.repository.lock(LockMode::Exclusive, Duration::ZERO)?;
        let named = targets.iter().map(|target| target.manifest());
        let named = named.map(|manifest| (manifest.id.clone(), manifest.name.clone()));
        let cancel = CancellationToken::new();
        let pins = self.repository.pins()?;
        let considered = Considered { needs: &|_| false, pin: &|id| pins.contains_key(id) };
        let mut deletion = self.repository.deletion(named.collect(), considered, &cancel, &lock)?;
        for target in targets {
            if deletion.spares(&target.manifest().id).is_none() {
                deletion.delete(&target.manifest().id)?;
            }
        }
        deletion.finish()
    }

    /// Deletes one that nobody kept when it was chosen; false where it is spared.
    pub(super) fn deletes_unpinned(&self, target: &PublishedBackup) -> Result<bool> {
        let lock = self.repository.lock(LockMode::Exclusive, Duration::ZERO)?;
        let manifest = target.manifest();
        let named = [(manifest.id.clone(), manifest.name.clone())].into();
        let considered = Considered { needs: &|_| true, pin: &|_| false };
        let cancel = CancellationToken::new();
        let mut deletion = self.repository.deletion(named, considered, &cancel, &lock)?;
        let goes = deletion.spares(&manifest.id).is_none();
        if goes {
            deletion.delete(&manifest.id)?;
        }
        deletion.finish().map(|()| goes)
    }

    pub(super) fn clears(&self) -> Result<Vec<String>> {
        let lock = self.repository.lock(LockMode::Exclusive, Duration::ZERO)?;
        self.repository.clear_leftovers(&lock)
    }
}

fn write(dir: &Path, object: &str, text: &str) {
    let path = dir.join(object);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn manifest(
    id: &BackupId,
    incoming: &IncomingBackup,
    parent: Option<&PublishedBackup>,
    repository: &str,
) -> Manifest {
    let objects: Vec<_> = ["databases/shop/1.dat", "files/uploads.tar.zst"]
        .into_iter()
        .map(|path| {
            let found = hash_file(&CancellationToken::new(), &incoming.path().join(path)).unwrap();
            json!({ "path": path, "size": found.0, "sha256": found.1 })
        })
        .collect();
    let elsewhere: Vec<_> = parent
        .map(|parent| json!({ "backup": parent.manifest().id, "object": "files/uploads.tar.zst" }))
        .into_iter()
        .collect();
    let parent = parent.map(|parent| parent.manifest().id.clone());
    let at = "2026-11-21T03:00:00Z";
    serde_json::from_value(json!({
        "format": 1, "id": id, "name": format!("backup_full_manual_2026-11-21_03-00-00_{}", id.suffix()),
        "sequence": 1, "repository_id": repository, "stack": "shop", "host": "test",
        "backstop_version": "0", "kind": "full", "reason": "manual", "labels": {},
        "version_label": null, "parent": parent, "started_at": at, "finished_at": at,
        "duration_seconds": 1.0,
        "consistency": {
            "level": "fenced", "because": "", "fenced_at": at, "databases": [],
            "transactions_during_capture": 0, "files_changed_during_capture": [],
        },
        "downtime": [],
        "components": [{
            "name": "uploads", "type": "files", "source_bytes": 1, "stored_bytes": 1,
            "file_count": 1, "path": "/srv", "volume": null, "object": "files/uploads.tar.zst",
            "elsewhere": elsewhere, "capture": "archive", "exclude": [], "unreadable": [],
        }],
        "source_bytes": 1, "stored_bytes": 1, "file_count": 1, "objects": objects, "warnings": [],
    }))
    .unwrap()
}

impl Host {
    /// Takes over a backup of another repository.
    pub(super) fn receives(&self, backup: &PublishedBackup) -> Result<PublishedBackup> {
        let lock = self.repository.lock(LockMode::Exclusive, Duration::ZERO)?;
        let alike = self.repository.names()?.first().map(|name| self.repository.backup(name));
        let alike = alike.and_then(Result::ok);
        let (cancel, sent) = (CancellationToken::new(), &mut |_| {});
        self.repository.receive(backup, alike.as_ref(), &cancel, sent, &lock)?;
        self.repository.backup(&backup.manifest().name)
    }
}

impl Host {
    /// As a sync does.
    pub(super) fn receives_unless_there(&self, backup: &PublishedBackup) -> PublishedBackup {
        let there = self.repository.backup(&backup.manifest().name);
        let received = there.unwrap_or_else(|_| self.receives(backup).unwrap());
        // What the one that was cut off could not give back.
        self.repository
            .storage
            .remove(&format!("{LEASES}/write-{}.json", backup.manifest().id))
            .unwrap();
        received
    }
}
