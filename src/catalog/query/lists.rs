//! The lists of files that a question reads: indexes, and changes.

use super::{Changes, Source, in_memory, literal};
use crate::catalog::backups::failed;
use crate::error::{Error, Result};
use crate::repository::BackupId;
use duckdb::Connection;
use std::path::{Path, PathBuf};

/// How DuckDB's messages begin that blame the question, or the memory that it needs, and not
/// what was read for it.
const OF_THE_QUESTION: [&str; 7] = [
    "Parser Error",
    "Syntax Error",
    "Binder Error",
    "Catalog Error",
    "Permission Error",
    "Not implemented Error",
    "Out of Memory Error",
];

/// Those that are read, as SQL texts.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) indexes: Vec<String>,
    pub(super) changes: Vec<String>,
}

impl Lists {
    /// Adds them to the tables of `connection`.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        indexes: &[(BackupId, PathBuf)],
        changes: &[Changes],
    ) -> Result<()> {
        let (mut whole, mut told, mut since) = (Vec::new(), Vec::new(), Vec::new());
        let mut number = self.indexes.len() + self.changes.len();
        let mut row = |backup: &BackupId, file: &String| {
            number += 1;
            format!("({number}, {file}, '{backup}')")
        };
        for (backup, file) in indexes {
            let file = literal(file);
            whole.push(row(backup, &file));
            self.indexes.push(file);
        }
        for Changes { backup, file, since: parents } in changes {
            let file = literal(file);
            told.push(row(backup, &file));
            self.changes.push(file);
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

impl Source {
    /// The lists of files that are read.
    pub fn lists(&self) -> impl Iterator<Item = &Path> {
        let indexes = self.indexes.iter().map(|(_, file)| file.as_path());
        indexes.chain(self.changes.iter().map(|changes| changes.file.as_path()))
    }
}

/// Whether a question may have failed because of what was read for it, and not because of what
/// was asked. DuckDB does not say which file it could not read.
pub fn may_be_unreadable(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<duckdb::Error>());
    source.is_some_and(|error| !is_of_the_question(error))
}

fn is_of_the_question(error: &duckdb::Error) -> bool {
    let message = error.to_string();
    OF_THE_QUESTION.iter().any(|kind| message.starts_with(kind))
}

/// Those of the lists that cannot be read, each with the reason: every value of each is read, by
/// itself.
///
/// # Errors
/// `catalog_failed` where DuckDB cannot be begun.
pub fn unreadable(lists: &[PathBuf]) -> Result<Vec<(PathBuf, String)>> {
    let mut unreadable = Vec::new();
    let mut usable: Option<Connection> = None;
    for list in lists {
        let connection = match usable.take() {
            Some(connection) => connection,
            None => in_memory().map_err(|e| failed("open for questions the", e))?,
        };
        let sql = format!("SELECT bit_xor(hash(f)) FROM read_parquet({}) f", literal(list));
        match connection.query_row(&sql, [], |_| Ok(())) {
            // Some failures leave nothing of a connection that could be used.
            Err(e) if !is_of_the_question(&e) => {
                let message = e.to_string();
                let first = message.lines().next().unwrap_or_default().to_owned();
                unreadable.push((list.clone(), first));
            }
            _ => usable = Some(connection),
        }
    }
    Ok(unreadable)
}
