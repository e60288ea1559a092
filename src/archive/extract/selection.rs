//! Which files of a tree are restored, and what they need besides themselves.

use crate::archive::entry::{Entry, Kind};
use crate::archive::index::{IndexReader, Row};
use crate::error::Result;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

type Select<'a> = &'a dyn Fn(&Path) -> bool;

/// Files that are wanted, with the directories above them.
pub(super) struct Selection<'a> {
    select: Select<'a>,
    /// The directories above the current file that were not restored yet.
    above: Vec<Entry>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(select: Select<'a>) -> Self {
        Self { select, above: Vec::new() }
    }

    /// Nothing when `entry` is not wanted; else the directories that must precede it.
    pub(super) fn want(&mut self, entry: &Entry) -> Option<Vec<Entry>> {
        self.above.retain(|directory| entry.path.starts_with(&directory.path));
        if (self.select)(&entry.path) {
            return Some(std::mem::take(&mut self.above));
        }
        if entry.kind == Kind::Directory {
            self.above.push(entry.clone());
        }
        None
    }

    /// Whether the file that a hard link needs is wanted too.
    pub(super) fn has_link_target(&self, entry: &Entry) -> bool {
        entry.link_target.as_deref().is_some_and(|target| (self.select)(Path::new(target)))
    }
}

/// Files that are not wanted themselves, but whose content wanted hard links need.
pub(super) struct Borrowed(HashMap<PathBuf, Lender>);

enum Lender {
    Wanted,
    Content(Box<Row>),
    Restored(PathBuf),
}

impl Borrowed {
    /// Looks for them in the index.
    pub(super) fn find(index: &IndexReader, component: &str, select: Select<'_>) -> Result<Self> {
        let mut lenders = HashMap::new();
        for row in index.rows(Some(component)) {
            let entry = row?.entry;
            if let (Kind::Hardlink, Some(target)) = (entry.kind, entry.link_target) {
                let target = PathBuf::from(target);
                if select(&entry.path) && !select(&target) {
                    lenders.insert(target, Lender::Wanted);
                }
            }
        }
        if !lenders.is_empty() {
            for row in index.rows(Some(component)) {
                let row = row?;
                if let Some(lender) = lenders.get_mut(&row.entry.path) {
                    *lender = Lender::Content(Box::new(row));
                }
            }
        }
        Ok(Self(lenders))
    }

    /// Makes a hard link to a file that is not wanted the file itself, and further ones
    /// links to that one.
    pub(super) fn resolve(&mut self, row: &mut Row) {
        if row.entry.kind != Kind::Hardlink {
            return;
        }
        let Some(target) = row.entry.link_target.as_deref() else { return };
        let Some(lender) = self.0.get_mut(Path::new(target)) else { return };
        match lender {
            Lender::Wanted => {}
            Lender::Restored(path) => {
                row.entry.link_target = Some(path.clone().into_os_string());
            }
            Lender::Content(first) => {
                let path = std::mem::take(&mut row.entry.path);
                *row = (**first).clone();
                row.entry.path.clone_from(&path);
                *lender = Lender::Restored(path);
            }
        }
    }
}
