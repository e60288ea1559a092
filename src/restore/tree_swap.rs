//! A restored file tree and the live one change places by rename.
//!
//! The new tree is built beside the live one, so both lie in one file system. Where the
//! live directory is itself a mount point it cannot be renamed; then the new tree is built
//! inside it, and its entries change places one by one. Either way the inode numbers that
//! were recorded beforehand tell after a crash what has already moved.

use super::volume::{self, VolumePlace};
use crate::error::{Code, Error, Result};
use rustix::fs::{AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags, renameat_with, statx};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Names that begin so are backstop's own; scans and swaps leave them alone.
pub(crate) const OWN_PREFIX: &str = ".backstop-";

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
        /// Inode by name of the new tree's top entries, known once it is built. Names
        /// that are not UTF-8 are matched by their inode alone.
        new_inodes: BTreeMap<u64, String>,
    },
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
            (live, Method::Entries { new_inodes: BTreeMap::new() })
        } else {
            (parent, Method::Directory { new_inode: 0 })
        };
        let [new, kept] = names(component, key).map(|name| base.join(name));
        let (component, live) = (component.into(), live.into());
        Ok(Self { component, live, new, kept, method, live_existed, volume: None })
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
            method: Method::Entries { new_inodes: BTreeMap::new() },
            live_existed: true,
            volume: Some(place),
        }
    }

    /// A path of this swap, as people find it.
    pub(super) fn shown(&self, path: &Path) -> String {
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

    /// Notes the inodes of what was built. Must be recorded durably before [`Self::swap`].
    pub(super) fn note_built(&mut self) -> Result<()> {
        let failed = |e| Error::io("look at", &self.new, e);
        match &mut self.method {
            Method::Directory { new_inode } => {
                *new_inode = std::fs::metadata(&self.new).map_err(failed)?.ino();
            }
            Method::Entries { new_inodes } => {
                for entry in std::fs::read_dir(&self.new).map_err(failed)? {
                    let entry = entry.map_err(failed)?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    new_inodes.insert(entry.metadata().map_err(failed)?.ino(), name);
                }
            }
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
                if self.live_existed && inode(&self.new)?.is_some() {
                    rename(&self.new, &self.kept)?;
                }
            }
            Method::Entries { new_inodes } => {
                make_dir(&self.kept)?;
                move_entries(&self.live, &self.kept, |ino| !new_inodes.contains_key(&ino))?;
                move_entries(&self.new, &self.live, |_| true)?;
            }
        }
        self.sync()
    }

    /// Makes the old tree live again; the restored one lies where it was built. Does
    /// nothing where nothing was swapped, and goes on where it was cut short.
    pub(super) fn swap_back(&self) -> Result<()> {
        match &self.method {
            Method::Directory { new_inode } => {
                let is_kept = inode(&self.kept)?.is_some();
                match inode(&self.live)? {
                    Some(live) if live == *new_inode => self.bring_back(is_kept)?,
                    None if is_kept => rename(&self.kept, &self.live)?,
                    Some(_) if is_kept => return Err(self.foreign()),
                    _ => {}
                }
            }
            Method::Entries { new_inodes } => {
                make_dir(&self.new)?;
                move_entries(&self.live, &self.new, |ino| new_inodes.contains_key(&ino))?;
                if inode(&self.kept)?.is_some() {
                    move_entries(&self.kept, &self.live, |_| true)?;
                }
            }
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
        remove(&self.kept)
    }

    fn bring_live(&self) -> Result<()> {
        if self.live_existed && inode(&self.live)?.is_some() {
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
    [
        format!("{OWN_PREFIX}restore-{key}-{component}"),
        format!("{OWN_PREFIX}kept-{key}-{component}"),
    ]
}

/// Swaps two directories in one step, so that there is a live tree at every moment. Says
/// whether the file system can do that (`RENAME_EXCHANGE`, rename(2)); NFS cannot.
fn exchange(live: &Path, new: &Path) -> Result<bool> {
    match renameat_with(CWD, live, CWD, new, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => Ok(false),
        Err(e) => Err(Error::io("swap", live, e.into())),
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
        .or_else(|e| match e {
            rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS => rustix::fs::rename(from, to),
            e => Err(e),
        })
        .map_err(|e| Error::io("rename", from, e.into()))
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

/// Moves the entries of `from` whose inode is wanted into `to`; backstop's own stay.
fn move_entries(from: &Path, to: &Path, wanted: impl Fn(u64) -> bool) -> Result<()> {
    let failed = |e| Error::io("list", from, e);
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let own = entry.file_name().to_string_lossy().starts_with(OWN_PREFIX);
        if !own && wanted(entry.metadata().map_err(failed)?.ino()) {
            rename(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
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
fn is_mount_point(live: &Path, parent: &Path) -> Result<bool> {
    let device = |path: &Path| {
        std::fs::metadata(path).map(|found| found.dev()).map_err(|e| Error::io("look at", path, e))
    };
    let stat = statx(CWD, live, AtFlags::empty(), StatxFlags::empty())
        .map_err(|e| Error::io("look at", live, e.into()))?;
    let is_root = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    Ok(is_root || device(live)? != device(parent)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn content(dir: &Path) -> Option<String> {
        fs::read_to_string(dir.join("a")).ok()
    }

    fn built(live_existed: bool, method: Method) -> (tempfile::TempDir, TreeSwap) {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live");
        if live_existed {
            fs::create_dir(&live).unwrap();
            fs::write(live.join("a"), "old").unwrap();
        }
        let mut swap = TreeSwap::plan("uploads", &live, "k").unwrap();
        if let Method::Entries { .. } = method {
            swap.new = live.join(".backstop-restore-k-uploads");
            swap.kept = live.join(".backstop-kept-k-uploads");
        }
        swap.method = method;
        fs::create_dir(&swap.new).unwrap();
        fs::write(swap.new.join("a"), "new").unwrap();
        swap.note_built().unwrap();
        (dir, swap)
    }

    fn methods() -> [Method; 2] {
        [Method::Directory { new_inode: 0 }, Method::Entries { new_inodes: BTreeMap::new() }]
    }

    #[test]
    fn the_new_tree_becomes_live_and_the_old_comes_back() {
        for method in methods() {
            let (_dir, swap) = built(true, method);
            swap.swap().unwrap();
            swap.swap().unwrap();
            assert_eq!(content(&swap.live).as_deref(), Some("new"));
            assert_eq!(content(&swap.kept).as_deref(), Some("old"));
            swap.swap_back().unwrap();
            swap.swap_back().unwrap();
            assert_eq!(content(&swap.live).as_deref(), Some("old"));
            assert_eq!(content(&swap.new).as_deref(), Some("new"));
        }
    }

    #[test]
    fn a_swap_that_did_not_begin_is_undone_as_nothing() {
        for method in methods() {
            let (_dir, swap) = built(true, method);
            swap.swap_back().unwrap();
            assert_eq!(content(&swap.live).as_deref(), Some("old"));
            assert_eq!(content(&swap.new).as_deref(), Some("new"));
        }
    }

    #[test]
    fn a_swap_cut_short_after_the_exchange_is_undone_and_can_go_on() {
        let (_dir, swap) = built(true, Method::Directory { new_inode: 0 });
        exchange(&swap.live, &swap.new).unwrap();
        swap.swap_back().unwrap();
        assert_eq!(content(&swap.live).as_deref(), Some("old"));
        exchange(&swap.live, &swap.new).unwrap();
        swap.swap().unwrap();
        assert_eq!(content(&swap.live).as_deref(), Some("new"));
        assert_eq!(content(&swap.kept).as_deref(), Some("old"));
    }

    #[test]
    fn a_swap_of_entries_cut_short_is_undone() {
        let (_dir, swap) = built(true, Method::Entries { new_inodes: BTreeMap::new() });
        fs::create_dir(&swap.kept).unwrap();
        fs::rename(swap.live.join("a"), swap.kept.join("a")).unwrap();
        swap.swap_back().unwrap();
        assert_eq!(content(&swap.live).as_deref(), Some("old"));
    }

    #[test]
    fn a_destroyed_tree_is_put_in_place_and_taken_out_again() {
        let (_dir, swap) = built(false, Method::Directory { new_inode: 0 });
        swap.swap().unwrap();
        assert_eq!(content(&swap.live).as_deref(), Some("new"));
        swap.swap_back().unwrap();
        assert!(!swap.live.exists());
        assert_eq!(content(&swap.new).as_deref(), Some("new"));
    }
}
