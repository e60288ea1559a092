//! A repository moves to another place.
//!
//! From one directory to another, on the same file system or not, here; [`far`] does the same
//! where one of the two is a store.
//!
//! 1. Every backup is copied, verified, synced and named in the new place, one after the
//!    other. The old place counts, and the new one says that it is not ready.
//! 2. One small file in the old place says where the repository is: from then on the new
//!    place counts.
//! 3. What is left in the old place is removed.
//!
//! Cut off at any point, the same command goes on where it was.

mod far;

use super::copy::Copying;
use crate::backup::{lock, remember_repository, require_space};
use crate::config::{Copy, Place, real_path};
use crate::error::{Code, Error, Result};
use crate::repository::{
    Lock, LockMode, MovedTo, MovingFrom, Repository, create_dir, is_relocation_file, sync_dir,
    write_replacing,
};
use crate::setting::Setting;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HEADER: &str = "backstop-repository.json";
const BACKUPS: &str = "backups";
const INCOMING: &str = "incoming";
const PINS: &str = "pins";

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Where the repository was, a directory or a url. What is left there says where it is now.
    pub from: PathBuf,
    /// Where it is now: what `repository.path` or `repository.url` must say from now on.
    pub to: PathBuf,
    /// How many backups lie there.
    pub backups: usize,
    /// Bytes that had to be copied by this run; none on the same file system.
    pub copied_bytes: u64,
    /// Whether it lies on a store now.
    #[serde(skip)]
    pub on_store: bool,
}

/// Moves the repository to `to`, a new or empty directory or prefix of a store, or one to which
/// it is being moved.
///
/// # Errors
/// `usage` where it cannot go there, `disk_full`, `interrupted`, what a store answers; the
/// repository is whole in one of the two places then, and the command can be run again.
pub async fn relocate(setting: &Setting, to: &Path) -> Result<Moved> {
    let to = match to.to_str().filter(|text| text.contains("://")) {
        Some(url) => setting.config.place(url)?,
        None => Place::Directory(std::path::absolute(to).map_err(|e| Error::io("look at", to, e))?),
    };
    refuse_copies(setting, &to)?;
    if let Place::Directory(path) = &to {
        refuse_inside_of_trees(setting, path)?;
    }
    match (setting.config.repository.place(), to) {
        (Place::Directory(from), Place::Directory(to)) => between(setting, from, to).await,
        (from, to) => {
            let part = setting.clone();
            setting.blocking(move || far::relocate(&part, &from, &to)).await
        }
    }
}

/// From one directory to another.
async fn between(setting: &Setting, from: PathBuf, to: PathBuf) -> Result<Moved> {
    if let Some(moved) = MovedTo::read(&from)? {
        if moved.to != to {
            return Err(refused(&to, &format!("it was moved to {}", moved.to.display()))
                .hint("to move it on, set repository.path to where it is now first"));
        }
        let part = setting.clone();
        let work = move || {
            // What an earlier attempt compared may have been damaged since.
            Copying::new(&part, &from.join(BACKUPS), &to.join(BACKUPS)).refuse_unlike()?;
            clear(&part, from, to, moved.id, 0)
        };
        return setting.blocking(work).await;
    }
    let repository = crate::backup::open_repository(setting)?;
    let lock = lock(setting, &repository, LockMode::Exclusive).await?;
    let part = setting.clone();
    setting.blocking(move || relocate_locked(&part, &repository, &lock, to)).await
}

/// Refuses a place where a copy is, or in one: no command would accept the config then.
fn refuse_copies(setting: &Setting, to: &Place) -> Result<()> {
    let copies = &setting.config.repository.copies;
    match copies.iter().find(|copy: &&Copy| copy.place().overlaps(to)) {
        None => Ok(()),
        Some(copy) => {
            let cause = format!("it and the copy {} at {} overlap", copy.name, copy.place());
            Err(refused(&to.key(), &cause).hint(
                "choose another place; a copy becomes the repository without a move: run \
                 `backstop sync`, then let [repository] name it and remove it from \
                 [[repository.copies]]",
            ))
        }
    }
}

/// Refuses a place in a tree that is backed up: no command would accept the config then.
fn refuse_inside_of_trees(setting: &Setting, to: &Path) -> Result<()> {
    let real = real_path(to);
    let trees = setting.config.files.iter().filter_map(|tree| tree.path.as_deref());
    match trees.map(real_path).find(|tree| real.starts_with(tree)) {
        None => Ok(()),
        Some(tree) => {
            let cause = format!("it lies inside of {}, which is backed up", tree.display());
            Err(refused(to, &cause))
        }
    }
}

fn relocate_locked(
    setting: &Setting,
    repository: &Repository,
    lock: &Lock,
    to: PathBuf,
) -> Result<Moved> {
    let from = setting.config.repository.path.clone();
    repository.clear_leftovers(lock)?;
    claim(repository, &from, &to)?;
    // Whoever comes too early to the new place finds it locked, and not ready.
    let _theirs = Lock::take(&to.join("lock"), LockMode::Exclusive, Duration::ZERO)?;
    for dir in [BACKUPS, INCOMING, "trash"] {
        create_dir(&to.join(dir))?;
    }

    setting.progress.step("copy");
    let names: BTreeSet<String> = repository.names()?.into_iter().collect();
    forget_deleted(&to, &names)?;
    let mut copying = Copying::new(setting, &from.join(BACKUPS), &to.join(BACKUPS));
    let missing = copying.missing(&names)?;
    if !copying.can_link(&to) {
        require_space(&to, missing, "move repository to")?;
    }
    for name in &names {
        copying.backup(name, &to.join(INCOMING).join("moving"))?;
    }
    copy_pins(&from.join(PINS), &to.join(PINS))?;
    let header = from.join(HEADER);
    let text = std::fs::read(&header).map_err(|e| Error::io("read", &header, e))?;
    write_replacing(&to.join(HEADER), &text)?;
    for dir in [&to.join(BACKUPS), &to] {
        sync_dir(dir)?;
    }
    setting.check_interrupted("move repository of")?;

    setting.progress.step("switch");
    let id = repository.id().to_owned();
    MovedTo { id: id.clone(), to: to.clone() }.write(&from)?;
    clear(setting, from, to, id, copying.copied_bytes())
}

/// Makes the new place this move's, or finds that it is.
fn claim(repository: &Repository, from: &Path, to: &Path) -> Result<()> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let existing = to.ancestors().find(|above| above.exists()).unwrap_or(to);
    let rest = to.strip_prefix(existing).unwrap_or(Path::new(""));
    let target = real(existing).join(rest);
    if target.starts_with(real(from)) || real(from).starts_with(&target) {
        return Err(refused(to, "one of the two directories lies in the other"));
    }
    if let Some(moving) = MovingFrom::read(to)? {
        let is_ours = moving.id == repository.id() && moving.from == from;
        return if is_ours {
            MovedTo::remove(to)
        } else {
            Err(refused(to, "another repository is being moved there"))
        };
    }
    match std::fs::read_dir(to) {
        Ok(entries) => {
            // Where it was before it may come back to.
            let was_there = MovedTo::read(to)?.is_some_and(|moved| moved.id == repository.id());
            let mut names = entries.flatten().map(|entry| entry.file_name());
            let remains = |name: &OsString| {
                // What an atomic write of a run that was cut off left behind.
                name.as_encoded_bytes().starts_with(b".backstop-new-")
                    || (was_there
                        && (name == "lock" || name.to_str().is_some_and(is_relocation_file)))
            };
            if names.any(|name| !remains(&name)) {
                return Err(refused(to, "the directory is not empty"));
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => create_dir(to)?,
        Err(e) => return Err(Error::io("look at", to, e)),
    }
    MovingFrom { id: repository.id().to_owned(), from: from.to_path_buf() }.write(to)?;
    MovedTo::remove(to)
}

/// Copies what says which backups are kept by hand, as it is now.
fn copy_pins(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        remove(to)?;
    }
    let entries = match std::fs::read_dir(from) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("list", from, e)),
    };
    create_dir(to)?;
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list", from, e))?;
        let path = entry.path();
        let text = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        write_replacing(&to.join(entry.file_name()), &text)?;
    }
    Ok(())
}

/// Removes copies of backups that were deleted since an earlier run was cut off.
fn forget_deleted(to: &Path, names: &BTreeSet<String>) -> Result<()> {
    let backups = to.join(BACKUPS);
    for entry in std::fs::read_dir(&backups).map_err(|e| Error::io("list", &backups, e))? {
        let entry = entry.map_err(|e| Error::io("list", &backups, e))?;
        if !entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// What follows when the new place counts: the old one is cleared but for the file that says
/// so, and the state directory remembers the new one.
fn clear(setting: &Setting, from: PathBuf, to: PathBuf, id: String, copied: u64) -> Result<Moved> {
    MovingFrom::remove(&to)?;
    let repository = Repository::open(&to)?;
    if repository.id() != id {
        return Err(refused(&to, "another repository lies there now"));
    }
    remember_repository(setting, &repository)?;
    for entry in std::fs::read_dir(&to).map_err(|e| Error::io("list", &to, e))?.flatten() {
        // What an atomic write of a run that was cut off left behind.
        if entry.file_name().to_string_lossy().starts_with(".backstop-new-") {
            remove(&entry.path())?;
        }
    }
    setting.progress.step("clear");
    for entry in std::fs::read_dir(&from).map_err(|e| Error::io("list", &from, e))? {
        let path = entry.map_err(|e| Error::io("list", &from, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = [HEADER, BACKUPS, INCOMING, PINS, "trash"].contains(&name.as_str());
        if ours {
            remove(&path)?;
        }
    }
    sync_dir(&from)?;
    let backups = repository.names()?.len();
    Ok(Moved { from, to, backups, copied_bytes: copied, on_store: false })
}

fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() && !path.is_symlink() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    removed.map_err(|e| Error::io("remove", path, e))
}

fn refused(to: &Path, cause: &str) -> Error {
    Error::new(Code::Usage, "move repository to", to.display())
        .cause(cause)
        .hint("name a new or empty directory outside of the repository")
}
