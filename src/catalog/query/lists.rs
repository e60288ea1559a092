//! The lists of files that a question may read: indexes, and changes.

use super::{Changes, literal};
use crate::catalog::backups::failed;
use crate::error::{Code, Result};
use crate::progress::Progress;
use crate::repository::BackupId;
use duckdb::Connection;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Those that are read, as SQL texts.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) indexes: Vec<String>,
    pub(super) changes: Vec<String>,
}

impl Lists {
    /// Adds those that can be read to the tables of `connection`. One that cannot is left out
    /// with a warning, and with it what is told since its backup.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        indexes: &[(BackupId, PathBuf)],
        changes: &[Changes],
        progress: &Arc<dyn Progress>,
    ) -> Result<()> {
        let files = indexes.iter().map(|(_, file)| file.as_path());
        let files = files.chain(changes.iter().map(|changes| changes.file.as_path()));
        let unreadable = unreadable(connection, &files.collect::<Vec<_>>(), progress);
        let mut read = BTreeSet::new();
        let (mut whole, mut told, mut since) = (Vec::new(), Vec::new(), Vec::new());
        let mut number = self.indexes.len() + self.changes.len();
        let mut row = |backup: &BackupId, file: &String| {
            number += 1;
            format!("({number}, {file}, '{backup}')")
        };
        for (backup, file) in indexes.iter().filter(|(_, file)| !unreadable.contains(file)) {
            let file = literal(file);
            whole.push(row(backup, &file));
            self.indexes.push(file);
            read.insert(backup);
        }
        for Changes { backup, file, since: parents } in changes {
            if unreadable.contains(file) {
                continue;
            }
            if !parents.values().all(|parent| read.contains(parent)) {
                let message = format!("{} is left out with what it rests on", file.display());
                progress.warn(Code::BackupDamaged, message);
                continue;
            }
            let file = literal(file);
            told.push(row(backup, &file));
            self.changes.push(file);
            read.insert(backup);
            since.extend(parents.iter().map(|(component, parent)| {
                let component = component.replace('\'', "''");
                format!("('{backup}', '{component}', '{parent}')")
            }));
        }
        for (table, rows) in [("indexes", whole), ("changes", told), ("lineage", since)] {
            if !rows.is_empty() {
                let sql = format!("INSERT INTO {table} VALUES {}", rows.join(", "));
                let ask = |e| failed("list the indexes in the", e);
                connection.execute_batch(&sql).map_err(ask)?;
            }
        }
        Ok(())
    }
}

/// Those of the files that cannot be read, each with a warning.
fn unreadable(
    connection: &Connection,
    files: &[&Path],
    progress: &Arc<dyn Progress>,
) -> BTreeSet<PathBuf> {
    // All at once, and one by one only where that fails.
    if open(connection, files).is_ok() {
        return BTreeSet::new();
    }
    let mut unreadable = BTreeSet::new();
    for file in files {
        if let Err(e) = open(connection, &[file]) {
            let message = format!("{} cannot be read and is left out: {e}", file.display());
            progress.warn(Code::BackupDamaged, message);
            unreadable.insert(file.to_path_buf());
        }
    }
    unreadable
}

/// Reads the ends of lists, which say what lies in them.
fn open(connection: &Connection, files: &[&Path]) -> duckdb::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let files: Vec<String> = files.iter().map(|file| literal(file)).collect();
    let sql = format!("SELECT count(*) FROM parquet_file_metadata([{}])", files.join(", "));
    connection.query_row(&sql, [], |_| Ok(()))
}
