//! A deleter's lease.

use super::{DELETE, Held, LEASES, Lease, Pace, WRITE, all};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{Component, MANIFEST, Manifest};
use crate::repository::{BACKUPS, BackupId, Considered, pin};
use crate::storage::Storage;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What says that backups are being deleted.
#[derive(Debug)]
pub(in crate::repository) struct Deleter {
    storage: Arc<dyn Storage>,
    /// None once it was given back.
    held: Option<Held>,
    pace: Pace,
    targets: BTreeMap<BackupId, String>,
    /// What somebody needs, and why it stays.
    spared: BTreeMap<BackupId, String>,
    /// A deletion was begun and did not end: whoever clears the lease away finishes it.
    unfinished: bool,
}

impl Deleter {
    /// Says what is about to be deleted, and finds out what of it others need, or have come to
    /// keep since it was chosen.
    ///
    /// # Errors
    /// `interrupted` when `cancel` is set while it waits.
    pub(in crate::repository) fn take(
        storage: &Arc<dyn Storage>,
        pace: Pace,
        targets: BTreeMap<BackupId, String>,
        considered: Considered<'_>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let mut lease = Lease::new()?;
        lease.deletes.clone_from(&targets);
        let object = format!("{LEASES}/{DELETE}{}.json", lease.token);
        let held = Held::take(storage, object, lease, pace)?;
        let (spared, unfinished) = (BTreeMap::new(), false);
        let mut deleter =
            Self { storage: storage.clone(), held: Some(held), pace, targets, spared, unfinished };
        let looked = deleter.look(considered.needs).and_then(|()| {
            if deleter.spared.len() == deleter.targets.len() {
                return Ok(());
            }
            deleter.wait(cancel)?;
            deleter.look(considered.needs)?;
            // Whoever keeps one from now on sees the lease.
            let now = pin::all_on(storage.as_ref())?;
            let new = now.keys().filter(|id| !(considered.pin)(id));
            deleter.spare(new, "somebody wants to keep it");
            deleter.spread()
        });
        looked.map(|()| deleter)
    }

    /// Why a backup stays although it was to be deleted.
    pub(in crate::repository) fn spares(&self, id: &BackupId) -> Option<&str> {
        self.spared.get(id).map(String::as_str)
    }

    /// Deletes one of the targets: what makes it a backup first.
    pub(in crate::repository) fn delete(&mut self, id: &BackupId) -> Result<()> {
        let Some(name) = self.targets.get(id) else { return Ok(()) };
        let dir = format!("{BACKUPS}/{name}");
        if let Some(because) = self.spared.get(id) {
            return Err(Error::new(Code::BackupNeeded, "delete backup", self.storage.shown(&dir))
                .cause(because)
                .hint("run it again when that has ended"));
        }
        if let Some(held) = &self.held {
            held.confirm()?;
        }
        self.unfinished = true;
        remove(self.storage.as_ref(), &dir)?;
        self.unfinished = false;
        Ok(())
    }

    /// Removes the lease, unless it says what has to be finished.
    pub(in crate::repository) fn give_back(mut self) -> Result<()> {
        self.release()
    }

    fn release(&mut self) -> Result<()> {
        match self.held.take() {
            Some(held) if !self.unfinished => held.give_back(),
            _ => Ok(()),
        }
    }

    fn wait(&self, cancel: &CancellationToken) -> Result<()> {
        const SLICE: Duration = Duration::from_millis(50);
        let until = Instant::now() + self.pace.age;
        loop {
            if cancel.is_cancelled() {
                return Err(Error::new(Code::Interrupted, "delete from", self.storage.shown("")));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(SLICE));
        }
    }

    /// First the leases, then the manifests: a writer writes its manifest before its lease goes.
    fn look(&mut self, knows: &dyn Fn(&str) -> bool) -> Result<()> {
        for other in all(self.storage.as_ref(), WRITE)? {
            // Its holder gave up, or finds out that it has lost it before anything is published.
            if other.lease.as_ref().is_some_and(|lease| lease.abandoned) {
                continue;
            }
            // One that is gone by now was given back; its manifest is looked for below.
            let age = match &self.held {
                Some(held) => held.age_of(&other.object)?,
                None => None,
            };
            if age.is_none_or(|age| age > self.pace.stale) {
                continue;
            }
            let because = format!("{} is writing a backup that builds upon it", other.holder());
            match &other.lease {
                Some(lease) => self.spare(lease.needs.iter(), &because),
                None => self.spare(self.targets.clone().keys(), &because),
            }
        }
        for name in self.storage.names(BACKUPS)? {
            // What goes along is in nobody's way.
            if !knows(&name) && !self.targets.values().any(|target| *target == name) {
                self.spare_needs_of(&name)?;
            }
        }
        self.spread()
    }

    /// What a spared backup needs is spared as well.
    fn spread(&mut self) -> Result<()> {
        loop {
            let before = self.spared.len();
            let spared: Vec<String> =
                self.spared.keys().filter_map(|id| self.targets.get(id).cloned()).collect();
            for name in spared {
                self.spare_needs_of(&name)?;
            }
            if self.spared.len() == before {
                return Ok(());
            }
        }
    }

    fn spare_needs_of(&mut self, name: &str) -> Result<()> {
        let text = self.storage.read(&format!("{BACKUPS}/{name}/{MANIFEST}"))?;
        // Without a manifest it is no backup; the needs of a damaged one cannot be known.
        let manifest = text.and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
        let components = manifest.map(|manifest| manifest.components).unwrap_or_default();
        let needed = components.iter().flat_map(Component::elsewhere);
        self.spare(needed.map(|elsewhere| &elsewhere.backup), &format!("{name} has files in it"));
        Ok(())
    }

    fn spare<'a>(&mut self, needed: impl Iterator<Item = &'a BackupId>, because: &str) {
        for id in needed {
            if self.targets.contains_key(id) && !self.spared.contains_key(id) {
                self.spared.insert(id.clone(), because.to_owned());
            }
        }
    }
}

impl Drop for Deleter {
    fn drop(&mut self) {
        // One that cannot be given back becomes stale by itself.
        let _ = self.release();
    }
}

/// Removes the objects of a backup: the manifest first, so that it is none from then on.
pub(in crate::repository) fn remove(storage: &dyn Storage, dir: &str) -> Result<()> {
    storage.remove(&format!("{dir}/{MANIFEST}"))?;
    for object in storage.list(dir)? {
        storage.remove(&format!("{dir}/{}", object.name))?;
    }
    Ok(())
}
