//! Which files are further names of one that came before.

use crate::archive::entry::{Entry, Kind};
use std::collections::HashMap;
use std::path::PathBuf;

/// The first names of files that have several. A record goes when the last name was seen.
#[derive(Default)]
pub(super) struct Links {
    first: HashMap<(u64, u64), (PathBuf, u64)>,
}

impl Links {
    /// Makes `entry` a hard link if an earlier entry is the same file.
    pub(super) fn resolve(&mut self, entry: &mut Entry) {
        if entry.nlink < 2 {
            return;
        }
        let key = (entry.device, entry.inode);
        let Some((path, left)) = self.first.get_mut(&key) else {
            self.first.insert(key, (entry.path.clone(), entry.nlink - 1));
            return;
        };
        entry.kind = Kind::Hardlink;
        entry.size = 0;
        entry.rdev = None;
        entry.xattrs = Vec::new();
        entry.link_target = Some(path.clone().into_os_string());
        *left -= 1;
        if *left == 0 {
            self.first.remove(&key);
        }
    }

    /// The next name of the same file becomes its first one.
    pub(super) fn forget(&mut self, entry: &Entry) {
        self.first.remove(&(entry.device, entry.inode));
    }
}
