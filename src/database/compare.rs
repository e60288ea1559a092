//! A restored database against what was recorded at the fence: the rows of its tables.

use super::connection::Connection;
use super::queue::{self, Queue};
use super::target::Target;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::TableRows;
use crate::size;
use futures_util::future::try_join_all;
use serde::Serialize;
use std::num::NonZeroU16;

const ATTEMPTED: &str = "verify the restored database";

/// How many wrong tables an error names.
const NAMED: usize = 5;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// How many tables were counted again: those whose recorded number is exact.
    pub tables: u64,
    /// The rows that these should have.
    pub rows: u64,
    /// How many tables were not compared, since an estimate is all that is recorded.
    pub estimated: u64,
    /// Those that are not as recorded.
    pub different: Vec<Different>,
}

/// A table that is not as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Different {
    /// `schema.table`, quoted where SQL needs it.
    pub table: String,
    /// The rows it should have.
    pub recorded: u64,
    /// The rows it has; none where there is no such table.
    pub found: Option<u64>,
}

/// Counts the rows of every table whose recorded number is exact, up to `jobs` tables at once.
pub async fn compare_rows(
    target: &Target,
    recorded: &[TableRows],
    jobs: NonZeroU16,
) -> Result<Compared> {
    let exact: Vec<&TableRows> = recorded.iter().filter(|table| table.exact).collect();
    let first = Connection::open(target).await?;
    let connections =
        queue::connections(first, jobs, exact.len(), || Connection::open(target)).await;
    let queue = Queue::of(&exact);
    let shares = connections.iter().map(|connection| share(connection, &queue));
    let mut different: Vec<Different> = try_join_all(shares).await?.into_iter().flatten().collect();
    different.sort_by(|one, other| one.table.cmp(&other.table));
    Ok(Compared {
        tables: exact.len() as u64,
        rows: exact.iter().map(|table| table.rows).sum(),
        estimated: (recorded.len() - exact.len()) as u64,
        different,
    })
}

/// What one connection finds.
async fn share(connection: &Connection, queue: &Queue<'_, &TableRows>) -> Result<Vec<Different>> {
    let mut different = Vec::new();
    while let Some(recorded) = queue.take() {
        let found = count(connection, &recorded.table).await?;
        if found != Some(recorded.rows) {
            let (table, recorded) = (recorded.table.clone(), recorded.rows);
            different.push(Different { table, recorded, found });
        }
    }
    Ok(different)
}

/// The rows of a table; none where there is no such table.
async fn count(connection: &Connection, table: &str) -> Result<Option<u64>> {
    // The name comes from a file. Resolving it first makes sure that it is a name.
    let sql = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.oid = to_regclass($1)";
    let found = connection.rows(ATTEMPTED, sql, &[&table]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let sql = format!("SELECT count(*) FROM ONLY {}", row.get::<_, &str>(0));
    let rows: i64 = connection.row(ATTEMPTED, &sql, &[]).await?.get(0);
    Ok(Some(rows.unsigned_abs()))
}

impl Compared {
    /// Fails with [`Code::BackupDamaged`] where a table is missing or has another number of
    /// rows, and names the first of them.
    pub fn require_equal(&self, component: &str) -> Result<()> {
        if self.different.is_empty() {
            return Ok(());
        }
        let named: Vec<String> =
            self.different.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match self.different.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Err(Error::new(Code::BackupDamaged, ATTEMPTED, component).cause(named.join("; ") + &more))
    }
}

impl std::fmt::Display for Different {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.found {
            None => write!(f, "{} is missing", self.table),
            Some(rows) => {
                let rows = size::count(rows, "row", "rows");
                write!(f, "{} has {rows} instead of {}", self.table, self.recorded)
            }
        }
    }
}
