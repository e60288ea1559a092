//! Backups on their way to another directory: linked on the same file system, else copied and
//! read back. Files that several backups share stay shared.

use crate::error::{Code, Error, Result};
use crate::progress::Event;
use crate::repository::{create_dir, hash_file, sync_dir};
use crate::setting::Setting;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Backups in one directory and their copies in another.
pub(super) struct Copying<'a> {
    setting: &'a Setting,
    from: PathBuf,
    to: PathBuf,
    /// Where a file with several names lies in the new place, by its old device and inode.
    shared: HashMap<(u64, u64), PathBuf>,
    copied: u64,
}

const TASK: &str = "move backups";

impl<'a> Copying<'a> {
    pub(super) fn new(setting: &'a Setting, from: &Path, to: &Path) -> Self {
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        Self { setting, from, to, shared: HashMap::new(), copied: 0 }
    }

    /// Bytes that were copied so far.
    pub(super) fn copied_bytes(&self) -> u64 {
        self.copied
    }

    /// The bytes of all backups that are not there yet.
    pub(super) fn missing(&self, names: &BTreeSet<String>) -> Result<u64> {
        let (mut bytes, mut seen) = (0, HashSet::new());
        for name in names.iter().filter(|name| !self.to.join(name).exists()) {
            each_file(&self.from.join(name), &mut |_, found| {
                if seen.insert((found.dev(), found.ino())) {
                    bytes += found.len();
                }
                Ok(())
            })?;
        }
        Ok(bytes)
    }

    /// Whether links can be made instead of copies.
    pub(super) fn can_link(&self, to: &Path) -> bool {
        let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
        device(&self.from).is_some_and(|ours| device(to) == Some(ours))
    }

    /// Brings one backup over, built in `scratch`; one that is there is read, and left as it is
    /// where it holds all that is here.
    pub(super) fn backup(&mut self, name: &str, scratch: &Path) -> Result<()> {
        let (from, to) = (self.from.join(name), self.to.join(name));
        if let Ok(found) = fs::symlink_metadata(&to) {
            // An earlier attempt read it back, but that was then.
            if self.difference(&from, &to)?.is_none() {
                return self.remember(&from, &to);
            }
            let removed = match found.is_dir() {
                true => fs::remove_dir_all(&to),
                false => fs::remove_file(&to),
            };
            removed.map_err(|e| Error::io("remove", &to, e))?;
        }
        if scratch.exists() {
            fs::remove_dir_all(scratch).map_err(|e| Error::io("remove", scratch, e))?;
        }
        if !fs::symlink_metadata(&from).map_err(|e| Error::io("look at", &from, e))?.is_dir() {
            let parent = scratch.parent().unwrap_or(scratch);
            let file = parent.join("moving-file");
            let _ = fs::remove_file(&file);
            fs::copy(&from, &file).map_err(|e| Error::io("copy", &from, e))?;
            return fs::rename(&file, &to).map_err(|e| Error::io("rename", &file, e));
        }
        self.directory(&from, scratch)?;
        fs::rename(scratch, &to).map_err(|e| Error::io("rename", scratch, e))?;
        sync_dir(&self.to)?;
        self.remember(&from, &to)
    }

    fn directory(&mut self, from: &Path, to: &Path) -> Result<()> {
        create_dir(to)?;
        let failed = |e| Error::io("list", from, e);
        for entry in fs::read_dir(from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            let found = fs::symlink_metadata(&path).map_err(|e| Error::io("look at", &path, e))?;
            if found.is_dir() {
                self.directory(&path, &target)?;
            } else if found.is_file() {
                self.file(&path, &target, &found)?;
            } else {
                let link = fs::read_link(&path).map_err(|e| Error::io("read", &path, e))?;
                std::os::unix::fs::symlink(link, &target)
                    .map_err(|e| Error::io("copy", &path, e))?;
            }
        }
        sync_dir(to)
    }

    fn file(&mut self, from: &Path, to: &Path, found: &Metadata) -> Result<()> {
        self.setting.check_interrupted("move repository of")?;
        let known = self.shared.get(&(found.dev(), found.ino()));
        let linked = match known {
            Some(known) => fs::hard_link(known, to),
            None => fs::hard_link(from, to),
        };
        match linked {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::StorageFull => return Err(Error::io("link", to, e)),
            // Another file system, or one without links.
            Err(_) => {}
        }
        self.copy(from, to)?;
        self.copied += found.len();
        let bytes = found.len();
        self.setting.progress.report(Event::Advanced { task: TASK.into(), bytes });
        if found.nlink() > 1 {
            self.shared.insert((found.dev(), found.ino()), to.to_path_buf());
        }
        Ok(())
    }

    /// Copies a file, durably, and reads both back: a damaged backup is moved as it is, and
    /// none becomes damaged by it.
    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        fs::copy(from, to).map_err(|e| Error::io("copy", from, e))?;
        File::open(to).and_then(|file| file.sync_all()).map_err(|e| Error::io("sync", to, e))?;
        let cancel = &self.setting.cancel;
        if hash_file(cancel, from)? != hash_file(cancel, to)? {
            return Err(Error::new(Code::Io, "copy", from.display())
                .cause("the copy has other bytes")
                .hint("check both disks; the repository is still where it was"));
        }
        Ok(())
    }

    /// Makes sure that what is left in the old place lies in the new one, which counts by now: a
    /// backup may have been deleted there since, but what there is of one is the same.
    ///
    /// # Errors
    /// `backup_damaged` where it is not.
    pub(super) fn refuse_unlike(&self) -> Result<()> {
        let entries = match fs::read_dir(&self.from) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("list", &self.from, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("list", &self.from, e))?;
            let to = self.to.join(entry.file_name());
            if fs::symlink_metadata(&to).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
                continue;
            }
            if let Some(unlike) = self.difference(&entry.path(), &to)? {
                return Err(Error::new(
                    Code::BackupDamaged,
                    "delete what was moved from",
                    self.from.display(),
                )
                .cause(format!("{} is not what {} is", entry.path().display(), unlike.display()))
                .hint(
                    "`sha256sum -c SHA256SUMS` in the two directories of the backup tells \
                         which one is sound: put that one into the new place, and run it again",
                ));
            }
        }
        Ok(())
    }

    /// The first file below `to` that is not what lies below `from`: every byte of both is read, but
    /// for what is one file under two names. What `from` lacks is not asked for.
    fn difference(&self, from: &Path, to: &Path) -> Result<Option<PathBuf>> {
        self.setting.check_interrupted("move repository of")?;
        let ours = fs::symlink_metadata(from).map_err(|e| Error::io("look at", from, e))?;
        let Ok(theirs) = fs::symlink_metadata(to) else { return Ok(Some(to.to_path_buf())) };
        if ours.is_dir() && theirs.is_dir() {
            for entry in fs::read_dir(from).map_err(|e| Error::io("list", from, e))? {
                let entry = entry.map_err(|e| Error::io("list", from, e))?;
                let below = self.difference(&entry.path(), &to.join(entry.file_name()))?;
                if below.is_some() {
                    return Ok(below);
                }
            }
            return Ok(None);
        }
        let is_same = if (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()) {
            true
        } else if ours.is_file() && theirs.is_file() {
            ours.len() == theirs.len() && self.has_same_bytes(from, to)?
        } else {
            let target = |path: &Path| fs::read_link(path).ok();
            target(from).is_some() && target(from) == target(to)
        };
        Ok((!is_same).then(|| to.to_path_buf()))
    }

    /// What cannot be read in the new place is not the same.
    fn has_same_bytes(&self, from: &Path, to: &Path) -> Result<bool> {
        let cancel = &self.setting.cancel;
        let ours = hash_file(cancel, from)?;
        match hash_file(cancel, to) {
            Err(e) if e.code() == Code::Interrupted => Err(e),
            theirs => Ok(theirs.is_ok_and(|theirs| theirs == ours)),
        }
    }

    /// Notes where the files with several names of a backup are now.
    fn remember(&mut self, from: &Path, to: &Path) -> Result<()> {
        let shared = &mut self.shared;
        each_file(from, &mut |path, found| {
            if found.nlink() > 1
                && let Ok(relative) = path.strip_prefix(from)
            {
                shared.insert((found.dev(), found.ino()), to.join(relative));
            }
            Ok(())
        })
    }
}

fn each_file(path: &Path, visit: &mut dyn FnMut(&Path, &Metadata) -> Result<()>) -> Result<()> {
    let found = fs::symlink_metadata(path).map_err(|e| Error::io("look at", path, e))?;
    if !found.is_dir() {
        return visit(path, &found);
    }
    for entry in fs::read_dir(path).map_err(|e| Error::io("list", path, e))? {
        each_file(&entry.map_err(|e| Error::io("list", path, e))?.path(), visit)?;
    }
    Ok(())
}
