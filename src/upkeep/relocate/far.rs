//! A repository moves from or to a store.
//!
//! 1. Every backup is sent to the new place and read back there, in the order of the history.
//!    The old place counts, and the new one says that it is not ready.
//! 2. The old place says where the repository is. On a store, no other host may be writing a
//!    backup then; what others published since step 1 looked is sent as well.
//! 3. The new place says that it is ready.
//! 4. What was moved is deleted in the old place.
//!
//! Cut off at any point, the same command goes on where it was.

use super::{BACKUPS, INCOMING, Moved, claim, refused};
use crate::backup::{open_repository, remember_repository, require_space};
use crate::config::Place;
use crate::copies;
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::repository::{
    BackupId, Considered, Lock, LockMode, PublishedBackup, Repository, create_dir,
};
use crate::retention::announce_pause;
use crate::setting::Setting;
use crate::verify::KnownDamage;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// In the state directory: what is known of a move that is under way.
const MOVING: &str = "moving";

const ATTEMPTED: &str = "move repository of";

/// What is on its way.
struct Moving<'a> {
    setting: &'a Setting,
    source: Repository,
    target: Repository,
    known: KnownDamage,
    /// The backups that this process has read back in the new place. What an earlier attempt read
    /// may have been damaged since.
    verified: BTreeSet<String>,
    copied_bytes: u64,
}

/// Moves the repository at `from` to `to`, of which one at least is a store.
pub(super) fn relocate(setting: &Setting, from: &Place, to: &Place) -> Result<Moved> {
    let (from_key, to_key) = (from.key(), to.key());
    let gone = Repository::gone_from(from)?;
    let state = &setting.config.state.dir;
    let source = match &gone {
        Some(gone) if gone.to != to_key => {
            return Err(refused(&to_key, &format!("it was moved to {}", gone.to.display()))
                .hint("to move it on, let [repository] name the place where it is now first"));
        }
        Some(gone) => Repository::in_transit(from, state, &gone.id)?,
        None if from.overlaps(to) => {
            return Err(refused(&to_key, "one of the two lies in the other"));
        }
        None => open_repository(setting)?,
    };
    let lock = source.lock(LockMode::Exclusive, setting.lock_wait)?;
    // What is known of one place says nothing of another one.
    let notes = state.join(MOVING).join(&hex(&Sha256::digest(to_key.as_os_str().as_bytes()))[..16]);
    let target = Repository::in_transit(to, &notes, source.id())?;
    if gone.is_none() {
        source.clear_leftovers(&lock)?;
        match to {
            Place::Store(_) => target.claim_store(&from_key)?,
            Place::Directory(path) => {
                claim(&source, &from_key, path)?;
                [BACKUPS, INCOMING, "trash"]
                    .iter()
                    .try_for_each(|it| create_dir(&path.join(it)))?;
            }
        }
    }
    // Whoever comes too early to the new place finds it locked, and not ready.
    let theirs = target.lock(LockMode::Exclusive, Duration::ZERO)?;
    let known = KnownDamage::of(setting);
    let verified = BTreeSet::new();
    let mut moving = Moving { setting, source, target, known, verified, copied_bytes: 0 };
    if gone.is_none() {
        setting.progress.step("copy");
        moving.forget_deleted(&theirs)?;
        moving.copy(&theirs)?;
        setting.check_interrupted(ATTEMPTED)?;
        setting.progress.step("switch");
        moving.source.depart(&to_key)?;
    }
    if moving.target.is_coming()? {
        // In a directory nobody can have published anything since: its lock is held.
        if moving.source.directory().is_none() {
            moving.copy(&theirs)?;
        }
        moving.target.arrive()?;
    }
    // From here on things are deleted: what lies in the new place must be open to everybody.
    if Repository::open_at(to, &notes)?.id() != moving.target.id() {
        return Err(refused(&to_key, "another repository lies there now"));
    }
    remember_repository(setting, &moving.target)?;
    setting.progress.step("clear");
    moving.clear(&lock)?;
    let _ = std::fs::remove_dir_all(state.join(MOVING));
    Ok(moving.arrived(from_key, to_key))
}

impl Moving<'_> {
    /// Sends what is missing in the new place, and reads it back there.
    fn copy(&mut self, theirs: &Lock) -> Result<()> {
        let names = self.left()?;
        let (mut missing, mut damaged) = (Vec::new(), None);
        for name in &names {
            if self.verified.contains(name) && self.target.backup(name).is_ok() {
                continue;
            }
            match self.source.backup(name) {
                Ok(backup) => missing.push(backup),
                // No backup, or none yet.
                Err(e) if e.code() == Code::BackupNotFound => {}
                Err(e) if e.code() == Code::BackupDamaged => {
                    copies::unreadable(self.setting, &self.source, name, &e);
                    damaged = Some(e);
                }
                Err(e) => return Err(e),
            }
        }
        missing.sort_by_key(|backup| backup.manifest().sequence);
        self.require_space(&missing)?;
        for backup in &missing {
            self.setting.check_interrupted(ATTEMPTED)?;
            match self.bring(backup, theirs) {
                Ok(()) => drop(self.verified.insert(backup.manifest().name.clone())),
                Err(e) if e.code() == Code::BackupDamaged => {
                    self.setting.progress.warn(e.code(), e.to_string());
                    damaged = damaged.or(Some(e));
                }
                // Another host deleted it meanwhile.
                Err(_) if self.is_deleted(backup) => {}
                Err(e) => return Err(e),
            }
        }
        copies::move_pins(&self.source, &self.target, theirs)?;
        damaged.map_or(Ok(()), |e| {
            Err(e.hint(
                "the repository is still where it was, and all other backups are in the new \
                 place already: restore what you need of this one with --salvage, `backstop \
                 delete` it, and run the same command again",
            ))
        })
    }

    /// Brings one backup over, and proves that it is there as it was written.
    fn bring(&mut self, backup: &PublishedBackup, theirs: &Lock) -> Result<()> {
        let (name, shown) = (&backup.manifest().name, self.target.shown());
        match self.target.backup(name) {
            Ok(_) => {}
            Err(e) if e.code() == Code::BackupNotFound => {
                let (places, bytes) = ((&self.source, &self.target), &mut self.copied_bytes);
                copies::send(self.setting, places, (backup, &self.known), theirs, &shown, bytes)?;
            }
            Err(e) if e.code() == Code::BackupDamaged => {
                return self.discard(backup, theirs, &e.to_string());
            }
            Err(e) => return Err(e),
        }
        let there = self.target.backup(name)?;
        let damages = there.check_bytes(&|_| true, &self.setting.cancel, &mut |_| {})?;
        match damages.first() {
            None if there.manifest() == backup.manifest() => Ok(()),
            None => self.discard(backup, theirs, "it has another manifest"),
            Some(damage) => self.discard(backup, theirs, &damage.to_string()),
        }
    }

    /// Removes what did not arrive as it was sent.
    fn discard(&self, backup: &PublishedBackup, theirs: &Lock, cause: &str) -> Result<()> {
        let manifest = backup.manifest();
        self.delete(&self.target, theirs, [(manifest.id.clone(), manifest.name.clone())].into())?;
        let shown = format!("{}/{BACKUPS}/{}", self.target.shown(), manifest.name);
        Err(Error::new(Code::StorageFailed, "read back", shown)
            .cause(cause)
            .hint("the repository is still where it was; run it again to send this backup anew"))
    }

    /// Removes backups from the new place that were deleted since an earlier run was cut off.
    /// Only while the old place counts: later the new one may have backups of its own.
    fn forget_deleted(&self, theirs: &Lock) -> Result<()> {
        let (names, mut deleted) = (self.left()?, BTreeMap::new());
        for name in self.target.names()?.into_iter().filter(|name| !names.contains(name)) {
            match self.target.backup(&name) {
                Ok(backup) => drop(deleted.insert(backup.manifest().id.clone(), name)),
                Err(e) if e.code() == Code::BackupNotFound => {}
                Err(e) => return Err(e),
            }
        }
        self.delete(&self.target, theirs, deleted)
    }

    fn delete(
        &self,
        from: &Repository,
        lock: &Lock,
        targets: BTreeMap<BackupId, String>,
    ) -> Result<()> {
        if targets.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<String> = targets.values().cloned().collect();
        let pins = from.pins()?;
        let considered =
            Considered { needs: &|name| names.contains(name), pin: &|id| pins.contains_key(id) };
        let cancel = &self.setting.cancel;
        announce_pause(from, &self.setting.progress);
        let mut deletion = from.deletion(targets.clone(), considered, cancel, lock)?;
        for (id, name) in &targets {
            self.setting.check_interrupted(ATTEMPTED)?;
            match deletion.spares(id) {
                None => deletion.delete(id)?,
                Some(because) => {
                    let text = format!("{name} stays in {}: {because}", from.shown());
                    self.setting.progress.warn(Code::BackupNeeded, text);
                }
            }
        }
        deletion.finish()
    }

    /// Deletes what lies in the new place now, and nothing else.
    fn clear(&self, lock: &Lock) -> Result<()> {
        let mut moved = BTreeMap::new();
        for name in self.left()? {
            let Ok(there) = self.target.backup(&name) else { continue };
            if !self.verified.contains(&name) {
                let damages = there.check_bytes(&|_| true, &self.setting.cancel, &mut |_| {})?;
                if let Some(first) = damages.first() {
                    return Err(Error::new(Code::BackupDamaged, "read back", there.shown())
                        .cause(first)
                        .hint(
                            "the new place counts, and nothing was deleted in the old one: bring \
                             the sound file over from there, and run it again",
                        ));
                }
            }
            moved.insert(there.manifest().id.clone(), name);
        }
        self.delete(&self.source, lock, moved)?;
        self.source.clear_leftovers(lock)?;
        for id in self.source.pins()?.keys() {
            self.source.unpin(id, lock)?;
        }
        for left in self.source.abandon()? {
            let text = format!("{left} does not lie in the new place, and stays where it is");
            self.setting.progress.warn(Code::BackupNotFound, text);
        }
        Ok(())
    }

    /// What is left in the old place.
    fn left(&self) -> Result<BTreeSet<String>> {
        let is_cleared = self.source.directory().is_some_and(|dir| !dir.join(BACKUPS).exists());
        match is_cleared {
            true => Ok(BTreeSet::new()),
            false => Ok(self.source.names()?.into_iter().collect()),
        }
    }

    fn is_deleted(&self, backup: &PublishedBackup) -> bool {
        let found = self.source.backup(&backup.manifest().name);
        self.source.directory().is_none() && found.is_err_and(|e| e.code() == Code::BackupNotFound)
    }

    fn require_space(&self, missing: &[PublishedBackup]) -> Result<()> {
        let Some(directory) = self.target.directory() else { return Ok(()) };
        let is_missing = |backup: &&PublishedBackup| {
            !directory.join(BACKUPS).join(&backup.manifest().name).exists()
        };
        let objects = missing.iter().filter(is_missing).flat_map(|it| &it.manifest().objects);
        let bytes = objects.map(|object| object.size).sum();
        require_space(directory, bytes, "move repository to")
    }

    fn arrived(&self, from: PathBuf, to: PathBuf) -> Moved {
        let backups = self.target.names().map_or(0, |names| names.len());
        let (copied_bytes, on_store) = (self.copied_bytes, self.target.directory().is_none());
        Moved { from, to, backups, copied_bytes, on_store }
    }
}
