//! Compares an archive with its rows of the index, member by member.

use super::entry::{Entry, Kind, shown};
use super::index::{IndexReader, Row, Rows};
use crate::error::{Code, Error, Result};
use std::path::{Component, Path};

/// The rows of one component. Archive and index have the same order, so that one row at a
/// time is enough.
pub(super) struct Check<'a> {
    archive: &'a str,
    rows: Option<Rows>,
    stored_in: Option<String>,
}

impl<'a> Check<'a> {
    /// Checks `archive` against a component's rows, or only its paths without an index.
    pub(super) fn new(archive: &'a str, index: Option<(&IndexReader, &str)>) -> Self {
        let rows = index.map(|(index, component)| index.rows(Some(component)));
        Self { archive, rows, stored_in: None }
    }

    /// Checks `archive` against those rows of a component whose bytes lie in the backup
    /// `stored_in`: an incremental backup's index lists the others too.
    pub(super) fn of_backup(
        archive: &'a str,
        index: &IndexReader,
        component: &str,
        stored_in: &str,
    ) -> Self {
        let rows = Some(index.rows(Some(component)));
        Self { archive, rows, stored_in: Some(stored_in.to_owned()) }
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        loop {
            let row = rows.next().transpose()?;
            let is_elsewhere = |row: &Row| {
                self.stored_in.as_ref().is_some_and(|stored_in| *stored_in != row.stored_in)
            };
            if !row.as_ref().is_some_and(is_elsewhere) {
                return Ok(row);
            }
        }
    }

    /// The row of the next member.
    pub(super) fn member(&mut self, entry: &Entry) -> Result<Option<Row>> {
        is_safe(self.archive, entry)?;
        if self.rows.is_none() {
            return Ok(None);
        }
        let Some(row) = self.next_row()? else {
            return Err(self.damaged(&entry.path, "is not in the index"));
        };
        let listed = &row.entry;
        if listed.path != entry.path {
            let cause = format!("stands where the index has {}", listed.shown());
            return Err(self.damaged(&entry.path, &cause));
        }
        if (listed.kind, listed.size) != (entry.kind, entry.size) {
            return Err(self.damaged(&entry.path, "has another type or size than in the index"));
        }
        Ok(Some(row))
    }

    /// Compares the hash of a content with the one in its row.
    pub(super) fn content(&self, row: &Row, sha256: [u8; 32]) -> Result<()> {
        if row.sha256 == Some(sha256) {
            return Ok(());
        }
        Err(self.damaged(&row.entry.path, "has another content than the index says"))
    }

    /// Says that the archive has ended.
    pub(super) fn end(mut self) -> Result<()> {
        match self.next_row()? {
            Some(row) => Err(self.damaged(&row.entry.path, "is missing from the archive")),
            None => Ok(()),
        }
    }

    fn damaged(&self, path: &Path, cause: &str) -> Error {
        Error::new(Code::BackupDamaged, "verify archive", self.archive)
            .cause(format!("{} {cause}", shown(path)))
    }
}

/// Refuses a path, or a hard link to a path, that leads outside the tree.
pub(super) fn is_safe(archive: &str, entry: &Entry) -> Result<()> {
    let link = match (entry.kind, &entry.link_target) {
        (Kind::Hardlink, target) => Some(target.as_deref().unwrap_or_default()),
        _ => None,
    };
    let inside = |path: &Path, may_be_top: bool| {
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let bytes = path.as_os_str().as_encoded_bytes();
        plain && !bytes.contains(&0) && (may_be_top || !bytes.is_empty())
    };
    let is_safe = inside(&entry.path, entry.kind == Kind::Directory)
        && link.is_none_or(|target| inside(Path::new(target), false));
    if is_safe {
        return Ok(());
    }
    let leads = link.map(|target| format!(" -> {}", Path::new(target).display()));
    Err(Error::new(Code::UnsafePath, "restore from archive", archive).cause(format!(
        "{:?}{} leads outside",
        entry.path,
        leads.unwrap_or_default()
    )))
}
