//! The walk through a live tree beside what the backup has of it.

use super::FileLosses;
use super::change::Change;
use crate::archive::Base;
use crate::archive::entry::{Entry, Kind};
use crate::archive::fault::{Fault, Trouble};
use crate::archive::index::{Row, indexed_path};
use crate::archive::scan::{Excludes, Scanned};
use crate::archive::source::{Compared, LiveSource, Source};
use crate::config::FileTree;
use crate::deadline;
use crate::error::{Code, Error, Result};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// How many paths are given as examples.
const EXAMPLES: usize = 5;

/// Walks the tree at `root` beside what the backup has of it. Blocking.
pub(super) fn compare(
    root: &Path,
    tree: FileTree,
    mut base: Base,
    cancel: &CancellationToken,
) -> Result<FileLosses> {
    let excludes = Excludes::new(&tree.exclude)?;
    deadline::answers(root)?;
    let mut counting = Counting::new(tree.name, excludes.clone());
    if !root.try_exists().map_err(|e| Error::io("look at", root, e))? {
        while let Some(row) = base.rest()? {
            counting.gone(&row);
        }
        return Ok(counting.found);
    }
    let mut source = Compared::new(LiveSource::open(root, excludes)?, Some(base));
    while let Some(scanned) = source.next()? {
        if cancel.is_cancelled() {
            return Err(Error::new(Code::Interrupted, "compare files", root.display()));
        }
        counting.add(scanned);
    }
    Ok(counting.found)
}

/// The differences that were found so far.
struct Counting {
    found: FileLosses,
    excludes: Excludes,
    /// What the backup has of the file that comes next.
    known: Option<Box<Row>>,
    /// What could not be looked at last: what the backup has below it may be there.
    unreadable: Option<PathBuf>,
}

impl Counting {
    fn new(tree: String, excludes: Excludes) -> Self {
        let found = FileLosses { tree, ..FileLosses::default() };
        Self { found, excludes, known: None, unreadable: None }
    }

    fn add(&mut self, scanned: Scanned) {
        match scanned {
            Scanned::Held(_) => {}
            Scanned::Known(row) => self.known = Some(row),
            Scanned::Entry(entry) => match self.known.take() {
                None => self.newer(&entry),
                Some(row) => self.changed(&row.entry, &entry),
            },
            Scanned::Gone(row) => self.gone(&row),
            Scanned::Fault(fault) => self.fault(fault),
        }
    }

    fn newer(&mut self, entry: &Entry) {
        self.found.newer.add(entry);
        self.example(entry);
    }

    fn changed(&mut self, known: &Entry, entry: &Entry) {
        match Change::between(known, entry) {
            Change::Nothing => return,
            // After a restore these are all there are: examples of them would hide the others.
            Change::Time => self.found.touched += 1,
            Change::Something => self.example(entry),
        }
        self.found.changed.add(entry);
    }

    fn example(&mut self, entry: &Entry) {
        if self.found.examples.len() < EXAMPLES {
            self.found.examples.push(indexed_path(&entry.path));
        }
    }

    fn gone(&mut self, row: &Row) {
        let Entry { path, kind, .. } = &row.entry;
        let is_directory = *kind == Kind::Directory;
        let is_unseen = self.unreadable.as_ref().is_some_and(|above| path.starts_with(above));
        // Where patterns were added since, the walk passes by what the backup has.
        let is_root = path.as_os_str().is_empty();
        if is_unseen || (!is_root && self.excludes.covers_below(path, is_directory)) {
            return;
        }
        self.found.gone.add(&row.entry);
    }

    fn fault(&mut self, fault: Fault) {
        if fault.trouble == Trouble::Unreadable {
            self.found.unreadable += 1;
            self.unreadable = Some(fault.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn row(path: &str) -> Row {
        let entry = Entry {
            path: PathBuf::from(path),
            kind: Kind::File,
            size: 3,
            mode: 0o644,
            uid: 0,
            gid: 0,
            user: None,
            group: None,
            mtime_ns: 1,
            ctime_ns: 1,
            device: 1,
            inode: 1,
            nlink: 1,
            link_target: None,
            xattrs: Vec::new(),
            rdev: None,
        };
        Row {
            component: "uploads".into(),
            entry,
            sha256: None,
            changed: false,
            stored_in: String::new(),
            archive: String::new(),
            place: None,
        }
    }

    fn counted(scanned: Vec<Scanned>) -> FileLosses {
        let mut counting = Counting::new("uploads".into(), Excludes::none());
        scanned.into_iter().for_each(|scanned| counting.add(scanned));
        counting.found
    }

    #[test]
    fn what_lies_below_an_unreadable_directory_is_not_called_gone() {
        let gone = |path| Scanned::Gone(Box::new(row(path)));
        let fault = |path, trouble| Scanned::Fault(Fault::new(Path::new(path), trouble, "refused"));
        let found = counted(vec![
            fault("a", Trouble::Unreadable),
            gone("a/b"),
            gone("ab"),
            fault("socket", Trouble::Skipped),
            gone("socket"),
        ]);
        assert_eq!((found.unreadable, found.gone.files, found.gone.bytes), (1, 2, 6));
        assert!(!found.is_nothing());
    }

    #[test]
    fn a_row_is_compared_with_the_entry_that_follows_it_and_no_other() {
        let known = Scanned::Known(Box::new(row("a")));
        let found = counted(vec![
            known.clone(),
            Scanned::Entry(row("a").entry),
            Scanned::Entry(row("b").entry),
            known,
            Scanned::Entry(Entry { size: 4, ..row("a").entry }),
        ]);
        assert_eq!((found.newer.files, found.changed.files, found.changed.bytes), (1, 1, 4));
    }
}
