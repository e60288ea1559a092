//! The way of a new backup to a store.

use crate::error::{Code, Error, Result};
use crate::repository::checksums::CHECKSUMS;
use crate::repository::lease::{self, Needs, Pace, Writer};
use crate::repository::manifest::{Component, MANIFEST, Manifest, Object};
use crate::repository::{BACKUPS, BackupId, PublishedBackup};
use crate::storage::{Blob, Storage};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A place on a store that is announced by a lease. On drop, what was sent is removed unless
/// it was published, or is for the next attempt to go on with.
#[derive(Debug)]
pub(in crate::repository) struct Transfer {
    storage: Arc<dyn Storage>,
    /// None once it was given back.
    lease: Option<Writer>,
    /// Where the objects go, once they are on their way.
    dir: Option<String>,
    /// What was sent stays, for the next attempt to go on with.
    continues: bool,
    /// The manifest may be there.
    published: bool,
}

impl Transfer {
    pub(super) fn begin(
        storage: &Arc<dyn Storage>,
        id: &BackupId,
        parent: Option<&PublishedBackup>,
        pace: Pace,
    ) -> Result<Self> {
        let needs = parent.map_or_else(|| Ok(Needs::new()), needs_of)?;
        let lease = Some(Writer::take(storage, pace, id, needs)?);
        let storage = storage.clone();
        Ok(Self { storage, lease, dir: None, continues: false, published: false })
    }

    /// One that goes on where an earlier one of the same backup was cut off.
    pub(in crate::repository) fn continuing(
        storage: &Arc<dyn Storage>,
        id: &BackupId,
        needs: Needs,
        pace: Pace,
    ) -> Result<Self> {
        let lease = Some(Writer::take(storage, pace, id, needs)?);
        let storage = storage.clone();
        Ok(Self { storage, lease, dir: None, continues: true, published: false })
    }

    /// Names the backup to others, and returns where its objects go.
    pub(in crate::repository) fn announce(&mut self, name: &str) -> Result<String> {
        let dir = format!("{BACKUPS}/{name}");
        if let Some(lease) = &self.lease {
            lease.announce(name)?;
        }
        self.dir = Some(dir.clone());
        Ok(dir)
    }

    /// Ends it, and leaves nothing: there is nothing to go on with. Where another host took the
    /// same backup over, what lies there is its own.
    pub(in crate::repository) fn discard(mut self) {
        self.continues = self.confirm().is_err();
    }

    /// Ends it because of a failure. A store that does not answer is not asked any more: its
    /// lease becomes stale by itself.
    pub(in crate::repository) fn give_up(mut self, because: &Error) {
        if because.code() == Code::StorageUnreachable {
            self.lease = None;
        }
    }

    /// Where it goes.
    pub(super) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Sends every object. What the store holds of the same content already is not copied there:
    /// whether it still is that content would have to be read first, and to read it costs as much
    /// as to send ours, which was read back a moment ago.
    pub(super) fn send(
        &mut self,
        from: &Path,
        manifest: &Manifest,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let dir = self.announce(&manifest.name)?;
        for object in &manifest.objects {
            if cancel.is_cancelled() {
                return Err(Error::new(Code::Interrupted, "send", self.storage.shown(&dir)));
            }
            let content = Blob::file(&from.join(&object.path))?;
            self.storage.upload(&format!("{dir}/{}", object.path), &content, cancel, sent)?;
        }
        Ok(())
    }

    /// Makes the objects a backup: its manifest is written last.
    pub(in crate::repository) fn publish(
        mut self,
        manifest: &Manifest,
        checksums: &[u8],
        text: &[u8],
    ) -> Result<()> {
        let dir = format!("{BACKUPS}/{}", manifest.name);
        self.storage.write(&format!("{dir}/{CHECKSUMS}"), checksums)?;
        self.refuse_incomplete(&dir, &manifest.objects)?;
        self.confirm()?;
        // From here on it is a backup.
        self.published = true;
        self.storage.write(&format!("{dir}/{MANIFEST}"), text)?;
        self.confirm()?;
        self.dir = None;
        if let Some(lease) = self.lease.take() {
            // One that cannot be given back becomes stale; whoever clears it finds the backup.
            let _ = lease.give_back();
        }
        Ok(())
    }

    fn confirm(&self) -> Result<()> {
        self.lease.as_ref().map_or(Ok(()), Writer::confirm)
    }

    /// Compares what lies in the store with what was sent.
    fn refuse_incomplete(&self, dir: &str, objects: &[Object]) -> Result<()> {
        let listed = self.storage.list(dir)?;
        let sizes: HashMap<&str, u64> =
            listed.iter().map(|found| (found.name.as_str(), found.size)).collect();
        match objects.iter().find(|it| sizes.get(it.path.as_str()) != Some(&it.size)) {
            None => Ok(()),
            Some(lacking) => {
                let shown = self.storage.shown(&format!("{dir}/{}", lacking.path));
                Err(Error::new(Code::StorageFailed, "publish", shown)
                    .cause("the store does not list it as it was sent"))
            }
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // What cannot be removed now is removed by whoever finds the lease stale.
        let removed = match &self.dir {
            None => true,
            // The rest is for the next attempt to go on with. The lease stays with it, so that
            // somebody clears both away if nobody does; until then nobody heeds it.
            Some(dir) if self.continues => {
                if self.published {
                    let _ = self.storage.remove(&format!("{dir}/{MANIFEST}"));
                }
                if let Some(lease) = self.lease.take() {
                    let _ = lease.abandon();
                }
                false
            }
            Some(dir) => lease::remove(self.storage.as_ref(), dir).is_ok(),
        };
        if let Some(lease) = self.lease.take().filter(|_| removed) {
            let _ = lease.give_back();
        }
    }
}

/// The parent and all that it has contents in.
fn needs_of(parent: &PublishedBackup) -> Result<Needs> {
    let manifest = parent.manifest();
    let mut needs = Needs::from([(manifest.id.clone(), manifest.name.clone())]);
    for elsewhere in manifest.components.iter().flat_map(Component::elsewhere) {
        if !needs.contains_key(&elsewhere.backup) {
            let name = parent.sibling(&elsewhere.backup)?.manifest().name.clone();
            needs.insert(elsewhere.backup.clone(), name);
        }
    }
    Ok(needs)
}
