//! Leases: how several hosts share a repository on an object store, where nobody can lock.
//!
//! In a directory `flock(2)` does this. A store has nothing alike that can be relied upon: some
//! accept conditional writes and ignore them. So nothing here asks a store to decide between
//! two writers. All that is asked is that what was written is read and listed from then on,
//! which `repo init` probes.
//!
//! # Who may harm whom
//!
//! Two writers cannot: each writes below a name of its own, made of random bits. What can go
//! wrong is that a *deleter* removes a backup that a *writer* is building upon. Then the new
//! backup would be published with contents that are gone.
//!
//! # Why it does not happen
//!
//! As in Dekker's algorithm, each says what it is about to do *before* it looks at the other:
//!
//! | writer | deleter |
//! | --- | --- |
//! | 1. writes `leases/write-ID.json`, naming its own backup and every one it may build upon | 1. writes `leases/delete-ID.json`, naming every backup it is about to delete |
//! | 2. reads the header and the deleters' leases; backs off where one names what it needs | 2. reads the writers' leases, *then* the manifests of backups it does not know; spares what any of them needs |
//! | 3. looks whether what it needs is still there | 3. waits ([`Pace::age`]), and does 2 again |
//! | 4. writes its objects | 4. deletes: the manifest first, then the rest |
//! | 5. does 2 and 3 again, writes the manifest, and does 2 and 3 once more | 5. removes its lease |
//! | 6. removes its lease | |
//!
//! If the writer's step 1 comes before the deleter's step 2, the deleter sees the lease, and
//! spares the backup; or, where the lease is gone again already, the manifest, which was there
//! before the lease went, and which it reads after the leases. Otherwise the deleter's step 1
//! came before its step 2, hence before the writer's step 1 and its step 2, so the writer sees
//! the deleter's lease and backs off; or, where that lease is gone again already, it finds in
//! step 3 that what it needs is gone. One of the two always sees the other. Both may, and then
//! both back off, which costs a backup that has to be begun anew, and harms nobody. Two
//! deleters have nothing to fear from each other: removing twice is no error.
//!
//! Waiting in step 3 is for stores whose listings lag a little; it is not needed elsewhere.
//!
//! # A repository that leaves
//!
//! `repo move` says in the header where the repository has gone, and *then* looks at the
//! writers' leases; if there is one, it takes that back. A writer looks at the header whenever
//! it looks at the deleters' leases, so after it has written its own. So here as well one of the
//! two always sees the other: nothing is published in a place that was left.
//!
//! # The dead and the sleeping
//!
//! A lease is renewed while its holder lives. One that was not renewed for [`Pace::stale`], by
//! the store's clock alone, belongs to nobody: deleters do not heed it, and the next writer
//! clears it away, together with what its holder left. It marks the lease as abandoned first,
//! waits, and makes sure that it still is. A writer whose failed upload is to be gone on with
//! abandons its lease itself: nobody heeds it then, and it is cleared away once it is stale.
//!
//! A holder that was asleep for so long may wake up. It does nothing more once it could not
//! renew for [`Pace::alone`], which is much less, by a clock that goes on while the machine
//! sleeps; and it reads its own lease, which must be its own, before and after it writes the
//! manifest, and before each deletion. Asleep exactly between looking and writing, a writer
//! finds out after writing, and takes its manifest back. Only when it then dies before it can
//! do so, a backup may stay that needs one that is gone; `verify` names it.

mod clear;
mod deleter;
mod present;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod turns;
mod writer;

pub(super) use clear::clear;
pub(super) use deleter::{Deleter, remove};
pub(super) use present::who_writes;
pub(super) use writer::{Needs, Writer};

use super::BackupId;
use crate::clock::{self, Moment};
use crate::error::{Code, Error, Result};
use crate::host;
use crate::storage::Storage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where leases lie.
pub(super) const LEASES: &str = "leases";

const WRITE: &str = "write-";
const DELETE: &str = "delete-";

/// How leases are kept.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How often a holder renews its lease.
    pub renew: Duration,
    /// After how long without renewing it gives up.
    pub alone: Duration,
    /// After how long without being renewed a lease belongs to nobody.
    pub stale: Duration,
    /// How long a deleter waits before it looks a second time.
    pub age: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            renew: Duration::from_secs(60),
            alone: Duration::from_secs(6 * 60),
            stale: Duration::from_secs(15 * 60),
            age: Duration::from_secs(20),
        }
    }
}

/// What a lease says. Fields that are not known are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Tells this holder from every other.
    pub(super) token: BackupId,
    /// Where the holder runs; for people.
    pub(super) host: String,
    /// By the holder's clock; for people.
    pub(super) renewed_at: Timestamp,
    /// What a writer may build upon, and what it writes itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) needs: Vec<BackupId>,
    /// The name of the backup that a writer writes, from before its first object on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) writes: Option<String>,
    /// What a deleter deletes, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) deletes: BTreeMap<BackupId, String>,
    /// Nobody heeds it any more: its holder gave up, or somebody found it stale and clears it
    /// away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) abandoned: bool,
}

impl Lease {
    fn new() -> Result<Self> {
        Ok(Self {
            token: BackupId::random()?,
            host: host::name(),
            renewed_at: clock::now(),
            needs: Vec::new(),
            writes: None,
            deletes: BTreeMap::new(),
            abandoned: false,
        })
    }

    fn write(&self, storage: &dyn Storage, object: &str) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| {
            Error::new(Code::RepositoryFormat, "write", storage.shown(object)).source(e)
        })?;
        text.push(b'\n');
        storage.write(object, &text)
    }
}

/// A lease that lies in the storage; none where its text cannot be read.
struct Found {
    object: String,
    lease: Option<Lease>,
}

impl Found {
    fn holder(&self) -> String {
        self.lease.as_ref().map_or_else(|| self.object.clone(), |lease| lease.host.clone())
    }
}

/// All leases whose names begin with `kind`.
fn all(storage: &dyn Storage, kind: &str) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in storage.names(LEASES)?.into_iter().filter(|name| name.starts_with(kind)) {
        let object = format!("{LEASES}/{name}");
        // One that is gone meanwhile was given back.
        if let Some(text) = storage.read(&object)? {
            found.push(Found { object, lease: serde_json::from_slice(&text).ok() });
        }
    }
    Ok(found)
}

/// Who is deleting a backup, by host.
pub(super) fn who_deletes(storage: &dyn Storage, id: &BackupId) -> Result<Option<String>> {
    let names =
        |found: &Found| found.lease.as_ref().is_none_or(|lease| lease.deletes.contains_key(id));
    Ok(all(storage, DELETE)?.iter().find(|found| names(found)).map(Found::holder))
}

/// A lease of ours, renewed by a thread until this is dropped. It stays in the storage unless it
/// is given back.
#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
    /// Dropped to end the thread.
    stop: Option<mpsc::Sender<()>>,
    renewer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    object: String,
    pace: Pace,
    lease: Mutex<Lease>,
    renewed: Mutex<Moment>,
    lost: AtomicBool,
}

impl Held {
    fn take(storage: &Arc<dyn Storage>, object: String, lease: Lease, pace: Pace) -> Result<Self> {
        let begun = Moment::now();
        lease.write(storage.as_ref(), &object)?;
        let shared = Arc::new(Shared {
            storage: storage.clone(),
            object,
            pace,
            lease: Mutex::new(lease),
            renewed: Mutex::new(begun),
            lost: AtomicBool::new(false),
        });
        let (stop, stopped) = mpsc::channel::<()>();
        let renewing = shared.clone();
        let renewer = std::thread::spawn(move || {
            while stopped.recv_timeout(pace.renew) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Whether it still holds is asked before anything that rests on it.
                let _ = renewing.renew(&mut |_| {});
            }
        });
        Ok(Self { shared, stop: Some(stop), renewer: Some(renewer) })
    }

    /// Fails once the lease is not certainly ours any more.
    fn confirm(&self) -> Result<()> {
        self.shared.confirm()
    }

    /// Writes the lease anew with a change.
    fn change(&self, change: &mut dyn FnMut(&mut Lease)) -> Result<()> {
        self.shared.renew(change)
    }

    /// How old another object is, by the storage's clock.
    fn age_of(&self, object: &str) -> Result<Option<Duration>> {
        age(self.shared.storage.as_ref(), object, &self.shared.object)
    }

    fn end_renewing(&mut self) {
        self.stop = None;
        if let Some(renewer) = self.renewer.take() {
            let _ = renewer.join();
        }
    }

    /// Leaves the lease as one that nobody heeds, if it is ours.
    fn abandon(mut self) -> Result<()> {
        self.end_renewing();
        match self.shared.is_ours()? {
            true => self.shared.renew(&mut |lease| lease.abandoned = true),
            false => Ok(()),
        }
    }

    /// Removes the lease, if it is ours.
    fn give_back(mut self) -> Result<()> {
        self.end_renewing();
        match self.shared.is_ours() {
            Ok(true) => self.shared.storage.remove(&self.shared.object),
            Ok(false) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end_renewing();
    }
}

impl Shared {
    fn lost(&self) -> Error {
        Error::new(Code::Locked, "keep", self.storage.shown(&self.object))
            .cause("it could not be renewed for too long, and another host may have taken it over")
            .hint("check the connection to the store, and run the command again")
    }

    fn is_ours(&self) -> Result<bool> {
        let token = self.lease().token.clone();
        let lying = self.storage.read(&self.object)?;
        let lying = lying.and_then(|text| serde_json::from_slice::<Lease>(&text).ok());
        Ok(lying.is_some_and(|lease| lease.token == token && !lease.abandoned))
    }

    fn lease(&self) -> std::sync::MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn confirm(&self) -> Result<()> {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let too_long = renewed.elapsed() > self.pace.alone;
        if too_long || self.lost.load(Ordering::SeqCst) || !self.is_ours()? {
            self.lost.store(true, Ordering::SeqCst);
            return Err(self.lost());
        }
        Ok(())
    }

    fn renew(&self, change: &mut dyn FnMut(&mut Lease)) -> Result<()> {
        self.confirm()?;
        let begun = Moment::now();
        let mut lease = self.lease();
        let mut next = lease.clone();
        next.renewed_at = clock::now();
        change(&mut next);
        next.write(self.storage.as_ref(), &self.object)?;
        *lease = next;
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = begun;
        Ok(())
    }
}

/// How much older `object` is than `now`, an object that was written just now.
pub(super) fn age(storage: &dyn Storage, object: &str, now: &str) -> Result<Option<Duration>> {
    let (Some(at), Some(now)) = (storage.modified(object)?, storage.modified(now)?) else {
        return Ok(None);
    };
    Ok(Some(now.duration_since(at).try_into().unwrap_or_default()))
}
