//! How many rows each table had at the fence, counted inside its snapshot.

use super::connection::Connection;
use super::dump::DumpRequest;
use super::pattern::not_excluded;
use super::queue::{self, Queue};
use super::quote::quote_literal;
use super::snapshot::HeldSnapshot;
use crate::error::Result;
use crate::repository::manifest::TableRows;
use futures_util::future::try_join_all;

const ATTEMPTED: &str = "count the rows of database";

/// The counted tables, not yet confirmed.
pub(super) struct Counted(Vec<CountedTable>);

struct CountedTable {
    oid: u32,
    /// The file of the table as the snapshot sees it. `TRUNCATE` and rewrites replace it,
    /// and to an older snapshot a truncated table looks empty.
    file: u32,
    rows: TableRows,
}

/// What is there to count.
struct Listed {
    oid: u32,
    file: u32,
    table: String,
    /// None where it was dropped meanwhile.
    size: Option<i64>,
    estimate: f32,
}

/// Counts the rows of every ordinary table, partitions included, on connections of its own:
/// the largest tables first, so that no connection is left alone with one in the end.
///
/// Left out: system and temporary tables, those of extensions, those that the dump leaves
/// out, unlogged ones on a standby, and those whose rows this user may not read or sees only
/// in part (row security).
pub(super) async fn count(held: &HeldSnapshot, request: &DumpRequest) -> Result<Counted> {
    let first = inside(held).await?;
    let listed = list(&first, &request.exclude_tables).await?;
    let connections = queue::connections(first, request.jobs, listed.len(), || inside(held)).await;
    let queue = Queue::of(&listed);
    let shares = connections.iter().map(|connection| {
        share(connection, &queue, i64::try_from(request.count_rows_up_to).unwrap_or(i64::MAX))
    });
    let mut counted: Vec<CountedTable> =
        try_join_all(shares).await?.into_iter().flatten().collect();
    counted.sort_by(|one, other| one.rows.table.cmp(&other.rows.table));
    Ok(Counted(counted))
}

/// A connection that sees what the snapshot holds.
async fn inside(held: &HeldSnapshot) -> Result<Connection> {
    let connection = Connection::open(held.target()).await?;
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        quote_literal(held.id())
    );
    connection.run(ATTEMPTED, &begin).await?;
    Ok(connection)
}

async fn list(connection: &Connection, exclude: &[String]) -> Result<Vec<Listed>> {
    let rows = connection.rows(ATTEMPTED, &tables(exclude), &[]).await?;
    let listed = rows.iter().map(|row| Listed {
        oid: row.get(0),
        file: row.get(1),
        table: row.get(2),
        size: row.get(3),
        estimate: row.get(4),
    });
    Ok(listed.collect())
}

/// What one connection counts.
async fn share(
    connection: &Connection,
    queue: &Queue<'_, Listed>,
    limit: i64,
) -> Result<Vec<CountedTable>> {
    let mut counted = Vec::new();
    while let Some(Listed { oid, file, table, size, estimate }) = queue.take() {
        let exact = match size {
            Some(size) if *size <= limit => count_table(connection, table).await?,
            _ => None,
        };
        let rows = TableRows {
            table: table.clone(),
            rows: exact.unwrap_or(estimate.max(0.0) as u64),
            exact: exact.is_some(),
        };
        counted.push(CountedTable { oid: *oid, file: *file, rows });
    }
    Ok(counted)
}

/// The rows of one table as the connection's open transaction sees them; `None` where it was
/// dropped or locked away since that began.
pub(super) async fn count_table(connection: &Connection, table: &str) -> Result<Option<u64>> {
    const BACK: &str = "ROLLBACK TO SAVEPOINT one; RELEASE SAVEPOINT one";
    connection.run(ATTEMPTED, "SAVEPOINT one").await?;
    match connection.attempt(&format!("LOCK TABLE ONLY {table} IN ACCESS SHARE MODE NOWAIT")).await
    {
        Ok(()) => {}
        Err(error) if error.code().is_some() => {
            connection.run(ATTEMPTED, BACK).await?;
            return Ok(None);
        }
        Err(error) => return Err(connection.failed(ATTEMPTED, &error)),
    }
    let sql = format!("SELECT count(*) FROM ONLY {table}");
    let rows: i64 = connection.row(ATTEMPTED, &sql, &[]).await?.get(0);
    // The lock goes with the savepoint, so that nobody waits for the other tables.
    connection.run(ATTEMPTED, BACK).await?;
    Ok(u64::try_from(rows).ok())
}

/// Takes back the exactness of every count whose table was truncated or rewritten since the
/// fence. To be called when the dump is done: a table that is whole then was whole for both.
pub(super) async fn confirm(connection: &Connection, counted: Counted) -> Result<Vec<TableRows>> {
    let oids: Vec<u32> = counted.0.iter().map(|table| table.oid).collect();
    let sql = "SELECT oid, pg_relation_filenode(oid) FROM unnest($1::oid[]) AS oid";
    let files: std::collections::HashMap<u32, Option<u32>> = connection
        .rows(ATTEMPTED, sql, &[&oids])
        .await?
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let confirmed = counted.0.into_iter().map(|mut table| {
        let whole = files.get(&table.oid) == Some(&Some(table.file));
        table.rows.exact &= whole;
        table.rows
    });
    Ok(confirmed.collect())
}

fn tables(exclude: &[String]) -> String {
    let sql = "\
        SELECT c.oid, c.relfilenode, format('%I.%I', n.nspname, c.relname), \
               pg_table_size(c.oid), c.reltuples \
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind = 'r' AND c.relpersistence <> 't' \
          AND (c.relpersistence = 'p' OR NOT pg_is_in_recovery()) \
          AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
          AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
          AND NOT row_security_active(c.oid) \
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
                          AND d.objid = c.oid AND d.deptype = 'e')";
    format!("{sql}{} ORDER BY 4 DESC NULLS LAST, 3", not_excluded(exclude))
}
