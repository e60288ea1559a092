//! A place for files that live as long as the work that needs them.

use super::LocalStorage;
use crate::error::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SCRATCH: &str = "scratch";
/// In each place: locked while its owner lives.
const OWNER: &str = "owner";

/// A directory of mode 0700 that is removed on drop, or by the next one to be made where its
/// owner was killed.
#[derive(Debug)]
pub struct Scratch {
    content: PathBuf,
    storage: LocalStorage,
    // The lock is released after the directory is gone.
    _place: TempDir,
    _owner: File,
}

impl Scratch {
    /// A new one, below `DIR/scratch`.
    pub fn below(dir: &Path) -> Result<Self> {
        let all = dir.join(SCRATCH);
        let failed = |e| Error::io("create a scratch directory in", &all, e);
        DirBuilder::new().recursive(true).mode(0o700).create(&all).map_err(failed)?;
        let _turn = take_turn(&all).map_err(failed)?;
        clear(&all);
        let place = tempfile::Builder::new().prefix("").tempdir_in(&all).map_err(failed)?;
        let owner = File::create(place.path().join(OWNER)).map_err(failed)?;
        flock(&owner, FlockOperation::NonBlockingLockExclusive).map_err(|e| failed(e.into()))?;
        let content = place.path().join("content");
        DirBuilder::new().mode(0o700).create(&content).map_err(failed)?;
        let storage = LocalStorage::new(&content);
        Ok(Self { content, storage, _place: place, _owner: owner })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.content
    }

    /// The same as a storage.
    pub fn storage(&self) -> &LocalStorage {
        &self.storage
    }
}

/// Removes what killed owners left below `DIR/scratch`.
pub fn clear_scratch(dir: &Path) {
    let all = dir.join(SCRATCH);
    if let (true, Ok(_turn)) = (all.exists(), take_turn(&all)) {
        clear(&all);
    }
}

/// One at a time, so that nobody takes one that is not yet locked for a dead one's.
fn take_turn(all: &Path) -> std::io::Result<File> {
    let turn = File::create(all.join(OWNER))?;
    flock(&turn, FlockOperation::LockExclusive)?;
    Ok(turn)
}

fn clear(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let owner = File::open(entry.path().join(OWNER));
        let is_dead = |owner: &File| flock(owner, FlockOperation::NonBlockingLockExclusive).is_ok();
        if owner.as_ref().is_ok_and(is_dead) {
            // What cannot be removed now is tried again by the next.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Storage;

    #[test]
    fn the_living_are_left_alone_and_the_dead_are_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let alive = Scratch::below(dir.path()).unwrap();
        alive.storage().write("a", b"x").unwrap();
        let dead = dir.path().join("scratch/dead");
        fs::create_dir_all(dead.join("content")).unwrap();
        fs::write(dead.join(OWNER), "").unwrap();
        let other = Scratch::below(dir.path()).unwrap();
        assert!(!dead.exists());
        assert_eq!(fs::read(alive.path().join("a")).unwrap(), b"x");
        drop((alive, other));
        let left = fs::read_dir(dir.path().join("scratch")).unwrap();
        assert_eq!(left.filter(|e| e.as_ref().unwrap().path().is_dir()).count(), 0);
    }
}
