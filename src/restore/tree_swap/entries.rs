//! The entries of a mount point change places one by one, its metadata with them.
//!
//! Whose the live entries are is told by the name of the directory that keeps the replaced
//! ones, whatever the entries themselves have become since: while it is called `kept` they
//! are the restored ones, else the replaced ones. It gets that name, and loses it, by one
//! rename, at a moment when nothing is live. So both ways can be cut short anywhere and taken
//! again in either direction:
//!
//! | there is | the replaced entries are | the restored ones |
//! | --- | --- | --- |
//! | neither | live | in `new` |
//! | `kept.filling` or `kept.draining` | there and live | in `new` |
//! | `kept` | in `kept` | in `new` and live |

use super::{exists, make_dir, rename, rename_to_free};
use crate::archive::scan::Own;
use crate::error::{Error, Result};
use crate::repository::sync_dir;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// When a directory was changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeTime {
    seconds: i64,
    nanoseconds: i64,
}

impl ChangeTime {
    /// That of the directory at `path`.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path).map_err(|e| Error::io("look at", path, e))?;
        Ok(Self { seconds: found.mtime(), nanoseconds: found.mtime_nsec() })
    }
}

/// The three directories of one swap.
pub(super) struct Entries<'a> {
    pub(super) live: &'a Path,
    pub(super) new: &'a Path,
    pub(super) kept: &'a Path,
}

impl Entries<'_> {
    /// Makes the restored entries live; `changed` is when their directory was changed last.
    pub(super) fn swap(&self, changed: Option<ChangeTime>) -> Result<()> {
        if !exists(self.kept)? {
            let draining = self.named("draining");
            let aside = if exists(&draining)? { draining } else { self.named("filling") };
            if aside == self.named("filling") {
                make_dir(&aside)?;
                // The live directory has its own metadata until the rename below.
                dress(self.live, &aside)?;
            }
            self.empty(&aside)?;
            self.pivot(&aside, self.kept)?;
        }
        self.fill(self.new, self.kept)?;
        dress(self.new, self.live)?;
        date(self.live, changed)
    }

    /// Makes the replaced entries live again; `changed` is when their directory was changed
    /// last before the restore.
    pub(super) fn swap_back(&self, changed: Option<ChangeTime>) -> Result<()> {
        let [filling, draining] = ["filling", "draining"].map(|name| self.named(name));
        if exists(self.kept)? {
            make_dir(self.new)?;
            self.empty(self.new)?;
            self.pivot(self.kept, &draining)?;
        }
        for aside in [&filling, &draining] {
            if exists(aside)? {
                self.fill(aside, self.new)?;
                if *aside == draining {
                    dress(aside, self.live)?;
                }
                std::fs::remove_dir(aside).map_err(|e| Error::io("remove", aside, e))?;
                date(self.live, changed)?;
            }
        }
        Ok(())
    }

    /// Every name under which replaced entries may lie.
    pub(super) fn asides(&self) -> [PathBuf; 3] {
        [self.kept.to_path_buf(), self.named("filling"), self.named("draining")]
    }

    fn named(&self, part: &str) -> PathBuf {
        let mut name = self.kept.as_os_str().to_owned();
        name.push(format!(".{part}"));
        name.into()
    }

    /// Renames durably: what happened before is on the disk before it, and it is before what
    /// happens next.
    fn pivot(&self, from: &Path, to: &Path) -> Result<()> {
        for dir in [from, self.new, self.live] {
            sync_dir(dir)?;
        }
        rename(from, to)?;
        sync_dir(self.live)
    }

    /// Moves every live entry into `aside`, until there is none. A name that is there already
    /// was made again meanwhile; both stay, the later one numbered.
    fn empty(&self, aside: &Path) -> Result<()> {
        self.each(self.live, |name| {
            let from = self.live.join(name);
            match rename(&from, &aside.join(name)) {
                Err(_) if exists(&aside.join(name))? => rename_to_free(&from, aside, name),
                moved => gone_is_fine(&from, moved),
            }
        })
    }

    /// Makes every entry of `from` live. What somebody made there meanwhile under the same name
    /// goes to `aside`.
    fn fill(&self, from: &Path, aside: &Path) -> Result<()> {
        self.each(from, |name| {
            let (source, to) = (from.join(name), self.live.join(name));
            match rename(&source, &to) {
                Err(_) if exists(&to)? => {
                    rename_to_free(&to, aside, name)?;
                    rename(&source, &to)
                }
                moved => gone_is_fine(&source, moved),
            }
        })
    }

    /// Does `work` for the entries of `dir`, but for backstop's own, until there are none.
    fn each(&self, dir: &Path, work: impl Fn(&OsString) -> Result<()>) -> Result<()> {
        let failed = |e| Error::io("list", dir, e);
        loop {
            let mut names = BTreeSet::new();
            for entry in std::fs::read_dir(dir).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                if !self.is_of_this_swap(&name) && !is_own(&entry) {
                    names.insert(name);
                }
            }
            if names.is_empty() {
                return Ok(());
            }
            names.iter().try_for_each(&work)?;
        }
    }

    fn is_of_this_swap(&self, name: &OsStr) -> bool {
        let is = |path: &Path| path.file_name() == Some(name);
        is(self.new) || self.asides().iter().any(|aside| is(aside))
    }
}

/// Whether the entry is a directory that backstop made for itself, perhaps for another restore.
/// A scan leaves out the same, so a restored tree has none.
pub(in crate::restore) fn is_own(entry: &std::fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir()) && Own::of(&entry.file_name()).is_some()
}

/// Somebody may have removed an entry between the list and the rename.
fn gone_is_fine(entry: &Path, moved: Result<()>) -> Result<()> {
    match moved {
        Err(e) if exists(entry)? => Err(e),
        _ => Ok(()),
    }
}

/// Gives `to` the owner, the attributes (ACLs among them) and the mode of `from`, as far as
/// this user and the file system can: a mount point may belong to somebody else.
fn dress(from: &Path, to: &Path) -> Result<()> {
    let look = |path: &Path| std::fs::metadata(path).map_err(|e| Error::io("look at", path, e));
    let (wanted, found) = (look(from)?, look(to)?);
    if (wanted.uid(), wanted.gid()) != (found.uid(), found.gid()) {
        let owned = chown(to, Some(wanted.uid()), Some(wanted.gid()));
        tolerate(to, "set the owner of", owned)?;
    }
    let attributes = |path: &Path| -> BTreeSet<OsString> {
        xattr::list(path).map(Iterator::collect).unwrap_or_default()
    };
    let named = attributes(from);
    for stale in attributes(to).difference(&named) {
        tolerate(to, "remove an attribute of", xattr::remove(to, stale))?;
    }
    for name in &named {
        if let Ok(Some(value)) = xattr::get(from, name) {
            tolerate(to, "set an attribute of", xattr::set(to, name, &value))?;
        }
    }
    let mode = std::fs::Permissions::from_mode(wanted.mode() & 0o7777);
    tolerate(to, "set the mode of", std::fs::set_permissions(to, mode))
}

fn date(dir: &Path, changed: Option<ChangeTime>) -> Result<()> {
    let Some(ChangeTime { seconds, nanoseconds }) = changed else { return Ok(()) };
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    };
    let dated = utimensat(CWD, dir, &times, AtFlags::empty()).map_err(Into::into);
    tolerate(dir, "set the time of", dated)
}

fn tolerate(path: &Path, attempted: &str, done: std::io::Result<()>) -> Result<()> {
    match done {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(e) if e.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => Ok(()),
        done => done.map_err(|e| Error::io(attempted, path, e)),
    }
}
