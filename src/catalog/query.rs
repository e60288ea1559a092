//! Questions in SQL to the catalog and to the indexes of all backups, with no way to change
//! anything.
//!
//! The catalog's small tables are copied into a DuckDB in memory, so nobody waits for a
//! question; the indexes stay in the repository and are read where the question needs them.

mod lists;
mod question;

pub use lists::{may_be_unreadable, unreadable};
pub use question::Question;

use super::backups::failed;
use super::{Session, open};
use crate::error::{Code, Error, Result};
use crate::repository::BackupId;
use duckdb::types::{ToSqlOutput, Value as SqlValue};
use duckdb::{Config, Connection, ToSql, params_from_iter};
use lists::Lists;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const VIEWS: &str = include_str!("query/views.sql");
const FILES: &str = include_str!("query/files.sql");
const ENTRIES: &str = include_str!("query/entries.sql");
const TABLES: &str = include_str!("query/tables.sql");
/// What stands in for indexes or changes where there are none.
const NO_INDEX: &str = "(SELECT NULL::VARCHAR AS filename, NULL::VARCHAR AS component, \
    NULL::VARCHAR AS path, NULL::BLOB AS path_raw, NULL::VARCHAR AS type, NULL::UBIGINT AS size, NULL::UBIGINT AS mode, \
    NULL::UBIGINT AS uid, NULL::UBIGINT AS gid, NULL::VARCHAR AS \"user\", \
    NULL::VARCHAR AS \"group\", NULL::BIGINT AS mtime_ns, NULL::BLOB AS link_target, \
    NULL::VARCHAR AS sha256, NULL::BOOLEAN AS changed, NULL::VARCHAR AS stored_in, \
    NULL::VARCHAR AS archive, NULL::UBIGINT AS \"offset\", NULL::BOOLEAN AS gone WHERE false)";

/// A DuckDB with the views `backups`, `components`, `files`, `events` and `runs`.
pub struct Query {
    connection: Connection,
}

/// A value in the place of a `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A whole number that is not negative.
    Unsigned(u64),
}

impl ToSql for Value {
    fn to_sql(&self) -> duckdb::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self {
            Self::Text(text) => SqlValue::Text(text.clone()),
            Self::Integer(number) => SqlValue::BigInt(*number),
            Self::Unsigned(number) => SqlValue::UBigInt(*number),
        }))
    }
}

/// An answer: the names of its columns, and its rows as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The columns.
    pub columns: Vec<String>,
    /// The values; none for NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// The catalog of a repository, and the indexes of its backups that a question may need.
pub struct Source {
    /// The catalog.
    pub session: Session,
    /// The id of the repository, where there is one.
    pub repository: Option<String>,
    /// Indexes as files of this host, with the backups they are of.
    pub indexes: Vec<(BackupId, PathBuf)>,
    /// Changes of other backups, each after those of the backups since which they are told.
    pub changes: Vec<Changes>,
}

/// What differs in the file trees of one backup from those of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The backup.
    pub backup: BackupId,
    /// The changes as a file of this host.
    pub file: PathBuf,
    /// By file tree the backup since which its changes are told. Other trees are told whole.
    pub since: BTreeMap<String, BackupId>,
}

impl Query {
    /// Opens catalogs for questions; what each holds appears in the same views.
    ///
    /// # Errors
    /// `catalog_failed`; where one of the lists is at fault, [`may_be_unreadable`] says so.
    pub fn over(sources: Vec<Source>) -> Result<Self> {
        let ask = |e| failed("open for questions the", e);
        let query = Self { connection: in_memory().map_err(ask)? };
        // Every index is looked into first, and read afterwards.
        query.connection.execute_batch("SET parquet_metadata_cache = true").map_err(ask)?;
        query.connection.execute_batch(TABLES).map_err(ask)?;
        let mut lists = Lists::default();
        for (number, mut source) in sources.into_iter().enumerate() {
            let indexes = std::mem::take(&mut source.indexes);
            let changes = std::mem::take(&mut source.changes);
            query.take_in(source, number == 0).map_err(ask)?;
            lists.add(&query.connection, &indexes, &changes)?;
        }
        query.close(&lists)?;
        Ok(query)
    }

    /// Copies a catalog's tables, and closes it.
    fn take_in(&self, source: Source, is_first: bool) -> duckdb::Result<()> {
        let Source { session, repository, .. } = source;
        let file = session.dir.join(open::FILE);
        let Session { connection, _lock, .. } = session;
        // A file that is open twice in one process loses DuckDB's own lock.
        drop(connection);
        let repository = repository.map_or("NULL".into(), |id| format!("'{id}'"));
        let mut views = VIEWS.replace("{repository}", &repository);
        if !is_first {
            for table in super::TABLES {
                let (create, insert) =
                    (format!("CREATE TABLE {table} AS"), format!("INSERT INTO {table}"));
                views = views.replace(&create, &insert);
            }
        }
        let attach = format!("ATTACH {} AS catalog (READ_ONLY)", literal(&file));
        self.connection.execute_batch(&attach)?;
        self.connection.execute_batch(&views)?;
        self.connection.execute_batch("DETACH catalog")?;
        Ok(())
    }

    /// Makes the views of files, and lets nothing else be read from then on.
    fn close(&self, lists: &Lists) -> Result<()> {
        let ask = |e| failed("read the indexes that are listed in the", e);
        let source = |files: &[String]| match files {
            [] => NO_INDEX.to_owned(),
            files => format!("read_parquet([{}], filename = true)", files.join(", ")),
        };
        let (indexes, changes) = (source(&lists.indexes), source(&lists.changes));
        let views = FILES.replace("{source}", &indexes)
            + &ENTRIES.replace("{indexes}", &indexes).replace("{changes}", &changes);
        self.connection.execute_batch(&views).map_err(ask)?;
        let files = [lists.indexes.as_slice(), &lists.changes].concat();
        let closed = match files.as_slice() {
            [] => "SET enable_external_access = false;".to_owned(),
            files => format!(
                "SET allowed_paths = [{}]; SET enable_external_access = false;",
                files.join(", ")
            ),
        };
        self.connection.execute_batch(&(closed + "SET lock_configuration = true")).map_err(ask)
    }

    /// Binds a question, so that what is wrong with its names is told of the text as it stands.
    ///
    /// # Errors
    /// `usage`, with DuckDB's own message.
    fn bind(&self, question: &Question) -> Result<()> {
        self.connection.prepare(&question.sql).map(drop).map_err(refused)
    }

    /// The rows of a SELECT as objects.
    ///
    /// # Errors
    /// `usage` where DuckDB refuses it.
    pub fn objects<T: DeserializeOwned>(&self, sql: &str, values: &[Value]) -> Result<Vec<T>> {
        let mut objects = Vec::new();
        self.each(sql, values, |object| {
            objects.push(object);
            Ok(true)
        })?;
        Ok(objects)
    }

    /// The same one by one, until `take` returns false.
    ///
    /// # Errors
    /// `usage` where DuckDB refuses it, and what `take` returns.
    pub fn each<T: DeserializeOwned>(
        &self,
        sql: &str,
        values: &[Value],
        mut take: impl FnMut(T) -> Result<bool>,
    ) -> Result<()> {
        let sql = format!("SELECT to_json(q)::VARCHAR FROM ({}\n) q", bare(sql));
        let mut statement = self.connection.prepare(&sql).map_err(refused)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(refused)?;
        while let Some(row) = rows.next().map_err(refused)? {
            let text: String = row.get(0).map_err(refused)?;
            let object = serde_json::from_str(&text).map_err(|e| {
                Error::new(Code::CatalogFailed, "read an answer of", "the catalog").source(e)
            })?;
            if !take(object)? {
                break;
            }
        }
        Ok(())
    }

    /// The rows that a question asks for, as objects.
    ///
    /// # Errors
    /// `usage` where DuckDB refuses it.
    pub fn rows(&self, question: &Question) -> Result<Vec<serde_json::Value>> {
        self.bind(question)?;
        self.objects(&question.sql, &[])
    }

    /// The same as text.
    ///
    /// # Errors
    /// `usage` where DuckDB refuses it.
    pub fn table(&self, question: &Question) -> Result<Answer> {
        self.bind(question)?;
        let sql = &question.sql;
        let described = format!("SELECT column_name FROM (DESCRIBE ({sql}\n))");
        let columns = self.text_rows(&described)?;
        let columns: Vec<String> = columns.into_iter().flatten().flatten().collect();
        let rows = self.text_rows(&format!("SELECT COLUMNS(*)::VARCHAR FROM ({sql}\n) q"))?;
        Ok(Answer { columns, rows })
    }

    fn text_rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let mut statement = self.connection.prepare(sql).map_err(refused)?;
        let mut rows = statement.query([]).map_err(refused)?;
        let mut texts = Vec::new();
        while let Some(row) = rows.next().map_err(refused)? {
            let count = row.as_ref().column_count();
            let cells = (0..count).map(|place| row.get(place));
            texts.push(cells.collect::<duckdb::Result<_>>().map_err(refused)?);
        }
        Ok(texts)
    }
}

/// A DuckDB that writes to no disk.
fn in_memory() -> duckdb::Result<Connection> {
    let config = Config::default()
        .with("memory_limit", "192MB")?
        .with("threads", "2")?
        .with("autoinstall_known_extensions", "false")?
        .with("autoload_known_extensions", "false")?
        // A question that does not fit into memory fails.
        .with("temp_directory", "")?;
    Connection::open_in_memory_with_flags(config)
}

fn refused(error: duckdb::Error) -> Error {
    // DuckDB's message says it all; its source is a number.
    Error::new(Code::Usage, "ask", "the catalog").cause(error.to_string()).source(error)
}

/// The statement without what may stand at its end.
fn bare(sql: &str) -> &str {
    sql.trim_end().trim_end_matches(';').trim_end()
}

/// A path as SQL text.
fn literal(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "''"))
}

#[cfg(test)]
mod tests;
