//! A writer's lease.

use super::{DELETE, Held, LEASES, Lease, Pace, WRITE, all};
use crate::error::{Code, Error, Result};
use crate::repository::header::Header;
use crate::repository::manifest::MANIFEST;
use crate::repository::relocation::refuse;
use crate::repository::{BACKUPS, BackupId};
use crate::storage::Storage;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a backup may build upon: ids with names.
pub(in crate::repository) type Needs = BTreeMap<BackupId, String>;

/// What says that a backup is being written, and upon what.
#[derive(Debug)]
pub(in crate::repository) struct Writer {
    storage: Arc<dyn Storage>,
    held: Held,
    /// What it writes itself.
    id: BackupId,
    needs: Needs,
}

impl Writer {
    /// Says so, and makes sure that what is needed stays.
    ///
    /// # Errors
    /// `locked` where somebody is deleting it.
    pub(in crate::repository) fn take(
        storage: &Arc<dyn Storage>,
        pace: Pace,
        id: &BackupId,
        needs: Needs,
    ) -> Result<Self> {
        let mut lease = Lease::new()?;
        // Its own id as well: a copy may be sent a backup that somebody is deleting there.
        lease.needs = needs.keys().chain([id]).cloned().collect();
        let held = Held::take(storage, format!("{LEASES}/{WRITE}{id}.json"), lease, pace)?;
        let writer = Self { storage: storage.clone(), held, id: id.clone(), needs };
        match writer.look() {
            Ok(()) => Ok(writer),
            Err(e) => {
                // Left behind, it would only be stale one day.
                let _ = writer.give_back();
                Err(e)
            }
        }
    }

    /// Names the backup, before the first of its objects is written.
    pub(in crate::repository) fn announce(&self, name: &str) -> Result<()> {
        self.held.change(&mut |lease| lease.writes = Some(name.to_owned()))
    }

    /// Fails where the lease is lost, something that is needed is gone or going, or the
    /// repository itself has gone.
    pub(in crate::repository) fn confirm(&self) -> Result<()> {
        self.held.confirm()?;
        self.look()
    }

    /// Says that nothing more is written, and leaves the lease with what was: whoever finds it
    /// stale clears both away.
    pub(in crate::repository) fn abandon(self) -> Result<()> {
        self.held.abandon()
    }

    pub(in crate::repository) fn give_back(self) -> Result<()> {
        self.held.give_back()
    }

    fn look(&self) -> Result<()> {
        let header = Header::look(self.storage.as_ref())?;
        refuse(&self.storage.shown(""), header.and_then(|header| header.gone()), None)?;
        // A stale one counts as well, until it is cleared away: its holder may have begun.
        for other in all(self.storage.as_ref(), DELETE)? {
            let own = other.lease.as_ref().and_then(|lease| lease.deletes.get(&self.id));
            if let Some(name) = own {
                return Err(self.doomed(name, &other.holder()));
            }
            let hit = match &other.lease {
                Some(lease) => self.needs.iter().find(|(id, _)| lease.deletes.contains_key(*id)),
                None => self.needs.first_key_value(),
            };
            if let Some((_, name)) = hit {
                return Err(self.going(name, format!("{} is deleting it", other.holder())));
            }
        }
        for name in self.needs.values() {
            if self.storage.size(&format!("{BACKUPS}/{name}/{MANIFEST}"))?.is_none() {
                return Err(self.going(name, "it was deleted meanwhile".into()));
            }
        }
        Ok(())
    }

    /// Whoever deletes it may remove what is sent until the lease is gone.
    fn doomed(&self, name: &str, holder: &str) -> Error {
        let shown = self.storage.shown(&format!("{BACKUPS}/{name}"));
        Error::new(Code::Locked, "send", shown)
            .cause(format!("{holder} is deleting it there, or died while it did"))
            .hint("run it again when that has ended; a lease of the dead lasts for 15 minutes")
    }

    fn going(&self, name: &str, cause: String) -> Error {
        let shown = self.storage.shown(&format!("{BACKUPS}/{name}"));
        Error::new(Code::Locked, "build upon", shown)
            .cause(cause)
            .hint("run it again: the next backup builds upon what is left, or stores everything")
    }
}
