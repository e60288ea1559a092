//! Taking over backups of another copy of the repository, byte for byte.

use super::checksums::CHECKSUMS;
use super::incoming::{self, Transfer};
use super::manifest::{MANIFEST, Object};
use super::proof::is_as_written;
use super::{Damage, Home, INCOMING, Lock, PublishedBackup, Repository, create_dir, hash_file};
use crate::error::{Code, Error, Result};
use crate::storage::{Hashing, LocalStorage, Storage};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The files of dumps in directory format, which backups have in common, lie in directories
/// below this one.
const DATABASES: &str = "databases/";

/// What became of a backup that was to be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It lies here now.
    Whole,
    /// It does not, and nothing of it: damage is not passed on. This is what was met first.
    Damaged(Damage),
}

impl Repository {
    /// Takes over a backup: every object as it is stored there, the manifest last. `alike` is a
    /// backup that lies here already and may have files of dumps in common with it; in a directory
    /// those become links. What an earlier attempt brought is read, and not brought again where it
    /// is what it should be. `sent` is told of bytes that were sent. Needs the lock.
    ///
    /// # Errors
    /// `interrupted` when `cancel` is set, and what reading and writing meet. What was brought
    /// until then stays for the next attempt.
    pub fn receive(
        &self,
        from: &PublishedBackup,
        alike: Option<&PublishedBackup>,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
        _lock: &Lock,
    ) -> Result<Received> {
        let name = &from.manifest().name;
        match &self.home {
            Home::Directory(path) => {
                let staged = path.join(INCOMING).join(from.manifest().id.as_str());
                create_dir(&staged)?;
                let storage = LocalStorage::new(&staged);
                let linked = alike.and_then(PublishedBackup::directory);
                let link = |theirs: &str, object: &Object| {
                    linked.as_ref().is_some_and(|dir| link(&dir.join(theirs), &staged, object))
                };
                if let Some(damage) = bring(from, alike, &storage, "", &link, cancel, sent)? {
                    fs::remove_dir_all(&staged).map_err(|e| Error::io("remove", &staged, e))?;
                    return Ok(Received::Damaged(damage));
                }
                for object in [CHECKSUMS, MANIFEST] {
                    bring_whole(from, object, &storage, object)?;
                }
                incoming::remove_strangers(&staged, from.manifest())?;
                incoming::settle(&staged, from.manifest())?;
                incoming::rename_into(path, &staged, name)?;
            }
            Home::Store(_) => {
                let id = &from.manifest().id;
                let mut transfer =
                    Transfer::continuing(&self.storage, id, self.needs_of(from)?, self.pace)?;
                let dir = transfer.announce(name)?;
                let storage = self.storage.as_ref();
                // To know that an object of the store is what it should be costs as much as to
                // send it.
                let share = |_: &str, _: &Object| false;
                let prefix = format!("{dir}/");
                match bring(from, None, storage, &prefix, &share, cancel, sent) {
                    Ok(None) => {}
                    Ok(Some(damage)) => {
                        transfer.discard();
                        return Ok(Received::Damaged(damage));
                    }
                    Err(e) => {
                        transfer.give_up(&e);
                        return Err(e);
                    }
                }
                let read = |object: &str| read_whole(from, object);
                transfer.publish(from.manifest(), &read(CHECKSUMS)?, &read(MANIFEST)?)?;
            }
        }
        self.backup(name).map(|_| Received::Whole)
    }

    /// The ids and names here of what a backup from elsewhere has contents in.
    fn needs_of(&self, from: &PublishedBackup) -> Result<super::lease::Needs> {
        let mut needs = super::lease::Needs::new();
        let components = &from.manifest().components;
        for elsewhere in components.iter().flat_map(|component| component.elsewhere()) {
            let held = from.sibling(&elsewhere.backup)?.manifest().name.clone();
            needs.insert(elsewhere.backup.clone(), held);
        }
        Ok(needs)
    }
}

/// Brings the objects that are missing in `to`, below `prefix`, or are not what they should be:
/// what lies there comes from an attempt that may have ended before it compared what it sent. Ends
/// where one is not what the manifest says, and returns what is wrong with that. `share` makes an
/// object of one that lies there already, of another name.
fn bring(
    from: &PublishedBackup,
    alike: Option<&PublishedBackup>,
    to: &dyn Storage,
    prefix: &str,
    share: &dyn Fn(&str, &Object) -> bool,
    cancel: &CancellationToken,
    sent: &mut dyn FnMut(u64),
) -> Result<Option<Damage>> {
    let held = alike.map(in_dumps).unwrap_or_default();
    let listed = to.list(prefix.trim_end_matches('/'))?;
    let there: HashMap<&str, u64> =
        listed.iter().map(|found| (found.name.as_str(), found.size)).collect();
    for object in &from.manifest().objects {
        if cancel.is_cancelled() {
            return Err(Error::new(Code::Interrupted, "send", from.shown()));
        }
        let name = format!("{prefix}{}", object.path);
        let is_there = there.get(object.path.as_str()) == Some(&object.size)
            && is_as_written(to, &name, object, cancel)?;
        let theirs = held.get(&(object.size, object.sha256.as_str()));
        let is_of_dump = is_of_directory(&object.path);
        let shared = || theirs.is_some_and(|theirs| is_of_dump && share(theirs, object));
        if is_there || shared() {
            continue;
        }
        let stored = match from.stored(&object.path) {
            Err(e) if e.code() == Code::BackupDamaged => {
                return Ok(Some(Damage::new(&object.path, "is missing")));
            }
            opened => opened?,
        };
        let (hashing, content) = Hashing::of(&stored);
        to.upload(&name, &content, cancel, sent)?;
        if hashing.sha256().as_ref() != Some(&object.sha256) {
            // Where the store forbids that, the next attempt finds what it is.
            let _ = to.remove(&name);
            return Ok(Some(Damage::new(&object.path, "has other bytes than were written")));
        }
    }
    Ok(None)
}

fn in_dumps(backup: &PublishedBackup) -> HashMap<(u64, &str), &str> {
    let objects = backup.manifest().objects.iter().filter(|it| is_of_directory(&it.path));
    objects.map(|it| ((it.size, it.sha256.as_str()), it.path.as_str())).collect()
}

fn is_of_directory(object: &str) -> bool {
    object.strip_prefix(DATABASES).is_some_and(|rest| rest.contains('/'))
}

/// Whether a file became another name of one that has the right bytes.
fn link(theirs: &Path, staged: &Path, object: &Object) -> bool {
    let ours: PathBuf = staged.join(&object.path);
    let parent = ours.parent().unwrap_or(staged);
    let expected = Ok((object.size, object.sha256.clone()));
    create_dir(parent).is_ok()
        && hash_file(&CancellationToken::new(), theirs).map_err(|_| ()) == expected
        && fs::hard_link(theirs, &ours).is_ok()
}

fn read_whole(from: &PublishedBackup, object: &str) -> Result<Vec<u8>> {
    let content = from.stored(object)?;
    content.read_all().map_err(|e| Error::io("read", Path::new(content.name()), e))
}

fn bring_whole(from: &PublishedBackup, object: &str, to: &dyn Storage, name: &str) -> Result<()> {
    to.write(name, &read_whole(from, object)?)
}
