//! How many rows each table of a live database has, to be compared with a backup.

use super::connection::Connection;
use super::pattern::not_excluded;
use super::rows::count_table;
use crate::error::Result;
use crate::repository::manifest::TableRows;
use std::collections::BTreeMap;

const ATTEMPTED: &str = "count the rows of live database";

/// A table of a live database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveTable {
    /// `schema.table`, quoted where SQL needs it.
    pub table: String,
    /// Its rows; none where this user may not read it or sees only a part of them, or where
    /// somebody has locked it.
    pub rows: Option<u64>,
    /// Whether they were counted; else they are the planner's estimate.
    pub exact: bool,
    /// Whether a backup would leave it out.
    pub excluded: bool,
}

/// What there is to count.
struct Listed {
    table: String,
    countable: bool,
    excluded: bool,
    /// The planner's estimate; negative where there is none.
    estimate: f32,
    /// Its size as of the last vacuum, 0 before it.
    bytes: i64,
}

/// Counts the rows of every ordinary table, partitions included, as of one instant, and ends the
/// session. Neither system and temporary tables are counted nor those of extensions.
///
/// A table is counted unless an estimate is what was `recorded` of it, or unless it is a new one
/// of more than `count_up_to` bytes. `exclude` are the patterns of the tables that a backup leaves
/// out. It waits for no lock of others.
///
/// # Errors
/// `database_failed`.
pub async fn live_rows(
    connection: Connection,
    recorded: &[TableRows],
    exclude: &[String],
    count_up_to: u64,
) -> Result<Vec<LiveTable>> {
    let recorded: BTreeMap<&str, bool> =
        recorded.iter().map(|rows| (rows.table.as_str(), rows.exact)).collect();
    // Counting may take long: who gives up leaves nothing behind that goes on with it.
    connection.end_with_its_client().await?;
    connection.run(ATTEMPTED, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut live = Vec::new();
    for Listed { table, countable, excluded, estimate, bytes } in list(&connection, exclude).await?
    {
        let is_large = match recorded.get(table.as_str()) {
            Some(exact) => !exact,
            None => u64::try_from(bytes).is_ok_and(|bytes| bytes > count_up_to),
        };
        let (rows, exact) = match countable {
            false => (None, false),
            true if is_large && estimate >= 0.0 => (Some(estimate as u64), false),
            true => (count_table(&connection, &table).await?, true),
        };
        live.push(LiveTable { table, rows, exact, excluded });
    }
    Ok(live)
}

/// Lists the tables, those that cannot be counted too, so that nobody takes them for gone.
async fn list(connection: &Connection, exclude: &[String]) -> Result<Vec<Listed>> {
    // The size on disk would be exact, but asking for it waits for whoever has locked the table.
    let sql = format!(
        "SELECT format('%I.%I', n.nspname, c.relname), \
                (c.relpersistence = 'p' OR NOT pg_is_in_recovery()) \
                  AND has_schema_privilege(n.oid, 'USAGE') \
                  AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid), \
                NOT (true{}), \
                c.reltuples, \
                c.relpages::int8 * current_setting('block_size')::int8 \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND c.relpersistence <> 't' \
           AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
                           AND d.objid = c.oid AND d.deptype = 'e') \
         ORDER BY 1",
        not_excluded(exclude)
    );
    let rows = connection.rows(ATTEMPTED, &sql, &[]).await?;
    let listed = rows.iter().map(|row| Listed {
        table: row.get(0),
        countable: row.get(1),
        excluded: row.get(2),
        estimate: row.get(3),
        bytes: row.get(4),
    });
    Ok(listed.collect())
}
