//! A restored file tree and the live one change places by rename.
//!
//! The new tree is built beside the live one, so both lie in one file system. Where the
//! live directory is itself a mount point it cannot be renamed; then the new tree is built
//! inside it, and its entries change places one by one. After a crash the inode number that
//! was recorded beforehand tells which directory is live, and for a mount point the name of
//! the one that keeps the replaced entries.

mod entries;
#[cfg(test)]
mod tests;

use super::volume::{self, VolumePlace};
use crate::archive::scan::Own;
use crate::error::{Code, Error, Result};
pub(super) use entries::is_own;
use entries::{ChangeTime, Entries};
use rustix::fs::{AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags, renameat_with, statx};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One file tree that changes places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeSwap {
    /// The component's name.
    pub component: String,
    /// Where the application expects the tree.
    pub live: PathBuf,
    /// Where the restored tree is built.
    pub new: PathBuf,
    /// Where the replaced tree is kept.
    pub kept: PathBuf,
    /// How they change places.
    pub method: Method,
    /// Whether there was a live tree when the restore began.
    pub live_existed: bool,
    /// The patterns of files that the backup does not hold: if there are such, what is kept
    /// has the only copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The Docker volume in which all of this lies, as a helper container sees it; none for
    /// a directory of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumePlace>,
}

/// How two trees change places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The directory itself is renamed.
    Directory {
        /// The inode of the new tree's top directory, known once it is built.
        new_inode: u64,
    },
    /// The entries of a mount point are renamed one by one.
    Entries {
        /// When the mount point was changed last before the restore.
        #[serde(default)]
        live_changed: Option<ChangeTime>,
        /// When the top directory of the restored tree was changed last.
        #[serde(default)]
        new_changed: Option<ChangeTime>,
    },
}

impl Method {
    const ENTRIES: Self = Self::Entries { live_changed: None, new_changed: None };
}

impl TreeSwap {
    /// Plans the swap of `live`, with names that carry the restore's `key`.
    pub(super) fn plan(component: &str, live: &Path, key: &str) -> Result<Self> {
        // A symbolic link stays; what it points to changes places.
        let (live, live_existed) = match live.canonicalize() {
            Ok(real) => (real, true),
            Err(e) if e.kind() == ErrorKind::NotFound => (live.to_path_buf(), false),
            Err(e) => return Err(Error::io("look at", live, e)),
        };
        let live = live.as_path();
        let parent = live.parent().unwrap_or(Path::new("/"));
        let (base, method) = if live_existed && is_mount_point(live, parent)? {
            (live, Method::ENTRIES)
        } else {
            (parent, Method::Directory { new_inode: 0 })
        };
        let [new, kept] = names(component, key).map(|name| base.join(name));
        let (component, live) = (component.into(), live.into());
        let left_out = Vec::new();
        Ok(Self { component, live, new, kept, method, live_existed, left_out, volume: None })
    }

    /// Plans a tree that goes to `target`, where nothing is.
    pub(super) fn beside(component: &str, target: &Path, key: &str) -> Self {
        let [new, kept] = names(component, key).map(|name| target.with_file_name(name));
        Self {
            component: component.into(),
            live: target.into(),
            new,
            kept,
            method: Method::Directory { new_inode: 0 },
            live_existed: false,
            left_out: Vec::new(),
            volume: None,
        }
    }

    /// Plans the swap of what a volume holds, which only a helper container can reach.
    pub(super) fn in_volume(component: &str, place: VolumePlace, key: &str) -> Self {
        let live = PathBuf::from(volume::MOUNT);
        let [new, kept] = names(component, key).map(|name| live.join(name));
        Self {
            component: component.into(),
            live,
            new,
            kept,
            method: Method::ENTRIES,
            live_existed: true,
            left_out: Vec::new(),
            volume: Some(place),
        }
    }

    /// A path of this swap, as people find it.
    pub fn shown(&self, path: &Path) -> String {
        match &self.volume {
            None => path.display().to_string(),
            Some(place) => {
                let inside = path.strip_prefix(&self.live).unwrap_or(path);
                format!("volume {}:/{}", place.volume, inside.display())
            }
        }
    }

    /// Looks again whether there is a live tree: while the new one was built, Docker or the
    /// application may have made one. Must be recorded durably before [`Self::swap`].
    pub(super) fn look_again(&mut self) -> Result<()> {
        self.live_existed = inode(&self.live)?.is_some();
        Ok(())
    }

    /// Notes what building the new tree inside of the live one changes.
    pub(super) fn note_live(&mut self) -> Result<()> {
        if let Method::Entries { live_changed, .. } = &mut self.method {
            *live_changed = Some(ChangeTime::of(&self.live)?);
        }
        Ok(())
    }

    /// Notes by what the built tree is recognised, and what the swap changes of it. Must be
    /// recorded durably before [`Self::swap`].
    pub(super) fn note_built(&mut self) -> Result<()> {
        match &mut self.method {
            Method::Directory { new_inode } => {
                let found = std::fs::metadata(&self.new);
                *new_inode = found.map_err(|e| Error::io("look at", &self.new, e))?.ino();
            }
            Method::Entries { new_changed, .. } => *new_changed = Some(ChangeTime::of(&self.new)?),
        }
        Ok(())
    }

    /// Makes the new tree live and keeps the old one aside. Goes on where it was cut short.
    pub(super) fn swap(&self) -> Result<()> {
        match &self.method {
            Method::Directory { new_inode } => {
                if inode(&self.live)? != Some(*new_inode) {
                    self.bring_live()?;
                }
                if self.live_existed && exists(&self.new)? {
                    rename(&self.new, &self.kept)?;
                }
            }
            Method::Entries { new_changed, .. } => self.entries().swap(*new_changed)?,
        }
        self.sync()
    }

    /// Makes the old tree live again; the restored one lies where it was built. Does
    /// nothing where nothing was swapped, and goes on where it was cut short.
    pub(super) fn swap_back(&self) -> Result<()> {
        match &self.method {
            Method::Directory { new_inode } => {
                let is_kept = exists(&self.kept)?;
                match inode(&self.live)? {
                    Some(live) if live == *new_inode => self.bring_back(is_kept)?,
                    None if is_kept => rename(&self.kept, &self.live)?,
                    Some(_) if is_kept => return Err(self.foreign()),
                    _ => {}
                }
            }
            Method::Entries { live_changed, .. } => self.entries().swap_back(*live_changed)?,
        }
        self.sync()
    }

    /// Removes the built tree, which is not live.
    pub(super) fn remove_new(&self) -> Result<()> {
        remove(&self.new)
    }

    /// Removes what is not live: the built tree and the kept one.
    pub(super) fn purge(&self) -> Result<()> {
        remove(&self.new)?;
        self.entries().asides().iter().try_for_each(|aside| remove(aside))
    }

    fn entries(&self) -> Entries<'_> {
        Entries { live: &self.live, new: &self.new, kept: &self.kept }
    }

    fn bring_live(&self) -> Result<()> {
        if self.live_existed && exists(&self.live)? {
            if exchange(&self.live, &self.new)? {
                return Ok(());
            }
            rename(&self.live, &self.kept)?;
        }
        rename(&self.new, &self.live)
    }

    /// The way back from a live tree that is the restored one.
    fn bring_back(&self, is_kept: bool) -> Result<()> {
        if !is_kept && !self.live_existed {
            return rename(&self.live, &self.new);
        }
        if is_kept {
            rename(&self.kept, &self.new)?;
        }
        if exchange(&self.live, &self.new)? {
            return Ok(());
        }
        rename(&self.new, &self.kept)?;
        rename(&self.live, &self.new)?;
        rename(&self.kept, &self.live)
    }

    fn foreign(&self) -> Error {
        Error::new(Code::RestoreFailed, "swap back", self.live.display())
            .cause("it is not the tree that was restored: somebody replaced it since")
            .hint(format!("what the restore replaced lies in {}", self.kept.display()))
    }

    fn sync(&self) -> Result<()> {
        for path in [self.live.parent(), Some(self.live.as_path())].into_iter().flatten() {
            if path.is_dir() {
                crate::repository::sync_dir(path)?;
            }
        }
        Ok(())
    }
}

/// What the new and the kept tree are called.
fn names(component: &str, key: &str) -> [String; 2] {
    [Own::Restored.name(key, component), Own::Kept.name(key, component)]
}

/// Swaps two directories in one step, so that there is a live tree at every moment. Says
/// whether the file system can do that (`RENAME_EXCHANGE`, rename(2)); NFS cannot.
fn exchange(live: &Path, new: &Path) -> Result<bool> {
    match renameat_with(CWD, live, CWD, new, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS) => Ok(false),
        Err(e) => Err(Error::io("swap", live, e.into())),
    }
}

/// Renames to a name that is not taken.
fn rename(from: &Path, to: &Path) -> Result<()> {
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
        .or_else(|e| match e {
            // A file system that cannot promise it; nobody else is at work here.
            Errno::INVAL | Errno::NOSYS if to.symlink_metadata().is_ok() => Err(Errno::EXIST),
            Errno::INVAL | Errno::NOSYS => rustix::fs::rename(from, to),
            e => Err(e),
        })
        .map_err(|e| Error::io("rename", from, e.into()))
}

/// Renames to the first of `name.~1~`, `name.~2~` … in `dir` that is not taken.
fn rename_to_free(from: &Path, dir: &Path, name: &OsStr) -> Result<()> {
    const LONGEST_NAME: usize = 255;
    for number in 1_u64.. {
        let ending = format!(".~{number}~");
        let room = LONGEST_NAME - ending.len();
        let mut free = name.as_bytes()[..name.len().min(room)].to_vec();
        free.extend_from_slice(ending.as_bytes());
        let to = dir.join(OsString::from_vec(free));
        if !exists(&to)? {
            return rename(from, &to);
        }
    }
    Ok(())
}

fn exists(path: &Path) -> Result<bool> {
    Ok(inode(path)?.is_some())
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

fn make_dir(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            Err(Error::io("create directory", path, e))
        }
        _ => Ok(()),
    }
}

fn inode(path: &Path) -> Result<Option<u64>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("look at", path, e)),
    }
}

/// Whether `live` cannot be renamed within `parent`: another file system begins there, or
/// the same one is mounted there once more (statx(2), `STATX_ATTR_MOUNT_ROOT`).
pub(super) fn is_mount_point(live: &Path, parent: &Path) -> Result<bool> {
    let device = |path: &Path| {
        std::fs::metadata(path).map(|found| found.dev()).map_err(|e| Error::io("look at", path, e))
    };
    let stat = statx(CWD, live, AtFlags::empty(), StatxFlags::empty())
        .map_err(|e| Error::io("look at", live, e.into()))?;
    let is_root = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    Ok(is_root || device(live)? != device(parent)?)
}
