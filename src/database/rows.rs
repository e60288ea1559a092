//! How many rows each table had at the fence, counted inside its snapshot.

use super::connection::Connection;
use super::pattern::not_excluded;
use super::quote::quote_literal;
use super::snapshot::HeldSnapshot;
use crate::error::Result;
use crate::repository::manifest::TableRows;

/// Tables up to this size are counted; of larger ones the planner's estimate is recorded,
/// since counting them would cost as much as dumping them.
const COUNT_LIMIT_BYTES: i64 = 1 << 30;

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

/// Counts the rows of every ordinary table, partitions included, on a connection of its own.
///
/// Left out: system and temporary tables, those of extensions, those that `exclude` leaves
/// out of the dump, unlogged ones on a standby, and those whose rows this user may not read
/// or sees only in part (row security).
pub(super) async fn count(held: &HeldSnapshot, exclude: &[String]) -> Result<Counted> {
    let connection = Connection::open(held.target()).await?;
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        quote_literal(held.id())
    );
    connection.run(ATTEMPTED, &begin).await?;
    let mut counted = Vec::new();
    for row in connection.rows(ATTEMPTED, &tables(exclude), &[]).await? {
        let (oid, file, table): (u32, u32, String) = (row.get(0), row.get(1), row.get(2));
        let (size, estimate): (Option<i64>, f32) = (row.get(3), row.get(4));
        let exact = match size {
            Some(size) if size <= COUNT_LIMIT_BYTES => one(&connection, &table).await?,
            _ => None,
        };
        let rows = TableRows {
            table,
            rows: exact.unwrap_or(estimate.max(0.0) as u64),
            exact: exact.is_some(),
        };
        counted.push(CountedTable { oid, file, rows });
    }
    Ok(Counted(counted))
}

/// The rows of one table; `None` where it was dropped or locked away since the fence.
async fn one(connection: &Connection, table: &str) -> Result<Option<u64>> {
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
    format!("{sql}{} ORDER BY 3", not_excluded(exclude))
}
