//! Sending again what of a backup is not what it should be.
//!
//! Published files are not modified, but one that is damaged is no longer what was published.
//! Another whole file takes its place at once, by a rename or by the store itself.

use super::checksums::CHECKSUMS;
use super::lease::{Needs, Writer};
use super::manifest::{MANIFEST, Object};
use super::proof::is_as_written;
use super::{
    BACKUPS, Damage, Home, INCOMING, Lock, PublishedBackup, Repository, create_dir, sync_dir,
};
use crate::error::{Code, Error, Result};
use crate::storage::{Blob, Hashing, LocalStorage, Storage};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// What became of objects that were to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// Those of these names were sent; all others are what they should be.
    Sent(Vec<String>),
    /// This one is damaged where it was to be taken from. What was sent before it stays.
    Damaged(Damage),
}

impl Repository {
    /// Looks at the `suspected` objects of a backup that lies here, and sends those again that
    /// are not what they should be. `from` is the same backup elsewhere; nothing that is damaged
    /// there is sent. Needs the lock.
    ///
    /// # Errors
    /// `locked` where another host is deleting the backup here, `interrupted` when `cancel` is set.
    pub fn mend(
        &self,
        from: &PublishedBackup,
        suspected: &BTreeSet<String>,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
        _lock: &Lock,
    ) -> Result<Mended> {
        let manifest = from.manifest();
        let dir = format!("{BACKUPS}/{}", manifest.name);
        let lease = match &self.home {
            Home::Directory(_) => None,
            // Nobody may delete it meanwhile: what is sent would be left behind.
            Home::Store(_) => {
                let needs = Needs::from([(manifest.id.clone(), manifest.name.clone())]);
                Some(Writer::take(&self.storage, self.pace, &manifest.id, needs)?)
            }
        };
        let way = match &self.home {
            Home::Directory(repository) => {
                let staged = repository.join(INCOMING).join(manifest.id.as_str());
                create_dir(&staged)?;
                Way::Renamed { staged, dir: repository.join(&dir) }
            }
            Home::Store(_) => Way::Replaced { storage: self.storage.as_ref(), dir: dir.clone() },
        };
        let mut mending = Mending { from, way, cancel, sent };
        let is_whole = |object: &Object| {
            let name = format!("{dir}/{}", object.path);
            is_as_written(self.storage.as_ref(), &name, object, cancel)
        };
        let mended = mending.all(suspected, &is_whole);
        mending.way.end();
        if let Some(lease) = lease {
            // One that cannot be given back becomes stale by itself.
            let _ = lease.give_back();
        }
        mended
    }
}

/// How an object takes the place of a damaged one.
enum Way<'a> {
    /// Written beside, where it is cleared away if nobody names it.
    Renamed { staged: PathBuf, dir: PathBuf },
    /// The store shows the old one or the new.
    Replaced { storage: &'a dyn Storage, dir: String },
}

struct Mending<'a> {
    from: &'a PublishedBackup,
    way: Way<'a>,
    cancel: &'a CancellationToken,
    sent: &'a mut dyn FnMut(u64),
}

impl Mending<'_> {
    /// Sends those again that are suspected and of which `is_whole` says that they are not.
    fn all(
        &mut self,
        suspected: &BTreeSet<String>,
        is_whole: &dyn Fn(&Object) -> Result<bool>,
    ) -> Result<Mended> {
        let mut sent = Vec::new();
        if let Some(damage) = self.texts(suspected, &mut sent)? {
            return Ok(Mended::Damaged(damage));
        }
        for object in self.from.manifest().objects.iter().filter(|it| suspected.contains(&it.path))
        {
            if is_whole(object)? {
                continue;
            }
            if let Some(damage) = self.object(object)? {
                return Ok(Mended::Damaged(damage));
            }
            sent.push(object.path.clone());
        }
        Ok(Mended::Sent(sent))
    }

    /// Manifest and checksums, where one of the two is suspected: each only means something
    /// beside the other.
    fn texts(
        &mut self,
        suspected: &BTreeSet<String>,
        sent: &mut Vec<String>,
    ) -> Result<Option<Damage>> {
        let texts = [CHECKSUMS, MANIFEST];
        if !texts.iter().any(|text| suspected.contains(*text)) {
            return Ok(None);
        }
        let mut damages = self.from.check_sizes()?.into_iter();
        if let Some(damage) = damages.find(|it| texts.contains(&it.object.as_str())) {
            return Ok(Some(damage));
        }
        for text in texts {
            self.put(text, &self.from.stored(text)?, &|| true)?;
            sent.push(text.to_owned());
        }
        Ok(None)
    }

    fn object(&mut self, object: &Object) -> Result<Option<Damage>> {
        // It is read first: what is left of the damaged one may be all that there is.
        if !self.from.is_as_written(object, self.cancel)? {
            let is_missing = matches!(
                self.from.stored(&object.path),
                Err(e) if e.code() == Code::BackupDamaged
            );
            let fault = if is_missing { "is missing" } else { "has other bytes than were written" };
            return Ok(Some(Damage::new(&object.path, fault)));
        }
        let (hashing, content) = Hashing::of(&self.from.stored(&object.path)?);
        let is_sound = || hashing.sha256().as_ref() == Some(&object.sha256);
        let is_put = self.put(&object.path, &content, &is_sound)?;
        let fault = "was read twice, with other bytes each time";
        Ok((!is_put).then(|| Damage::new(&object.path, fault)))
    }

    /// `is_sound` tells of what was read to be sent whether it may take its place; false where it
    /// may not.
    fn put(&mut self, name: &str, content: &Blob, is_sound: &dyn Fn() -> bool) -> Result<bool> {
        match &self.way {
            Way::Replaced { storage, dir } => {
                storage.upload(&format!("{dir}/{name}"), content, self.cancel, self.sent)?;
                Ok(is_sound())
            }
            Way::Renamed { staged, dir } => {
                LocalStorage::new(staged).upload(name, content, self.cancel, self.sent)?;
                if !is_sound() {
                    return Ok(false);
                }
                let to = dir.join(name);
                let parent = to.parent().unwrap_or(dir);
                create_dir(parent)?;
                std::fs::rename(staged.join(name), &to)
                    .map_err(|e| Error::io("replace", &to, e))?;
                sync_dir(parent).map(|()| true)
            }
        }
    }
}

impl Way<'_> {
    /// Removes what is left beside.
    fn end(&self) {
        if let Self::Renamed { staged, .. } = self {
            // What cannot be removed now is cleared by the next command that takes the lock.
            let _ = std::fs::remove_dir_all(staged);
        }
    }
}
