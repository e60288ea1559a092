//! Rows that one database has and another one lacks, brought there: what is in the live table
//! stays as it is, whatever its age.
//!
//! Rows are told apart by a key that is unique in the live table. First the live keys go to the
//! other database, so that only the rows that are missing come back.

use super::connection::Connection;
use super::quote::{quote_identifier, quote_literal};
use crate::error::{Code, Error, Result};
use serde::Serialize;
use std::fs::File;
use std::path::Path;

const ATTEMPTED: &str = "bring rows back into database";

/// How many of the missing rows are shown.
const SHOWN: usize = 20;

/// What is looked for in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `table` or `schema.table`.
    pub table: String,
    /// Which rows, as a condition of SQL; without it all.
    pub condition: Option<String>,
    /// The columns that tell rows apart; without any, those of the primary key.
    pub key: Vec<String>,
}

/// The missing rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// `schema.table`.
    pub table: String,
    /// How many.
    pub rows: u64,
    /// The first twenty, as JSON.
    pub shown: Vec<String>,
}

/// The rows of one table that came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BroughtBack {
    /// `schema.table`.
    pub table: String,
    /// How many.
    pub rows: u64,
}

/// A table that both databases have.
struct Common {
    table: String,
    columns: Vec<String>,
    key: Vec<String>,
}

/// Counts the rows that `from` has and `live` lacks, and shows some. Changes nothing.
pub async fn find_missing(
    from: &Connection,
    live: &Connection,
    wanted: &Wanted,
) -> Result<Missing> {
    from.run(ATTEMPTED, "BEGIN").await?;
    let common = Common::of(from, live, wanted).await?;
    common.send_keys(from, live).await?;
    let missing = common.missing(wanted);
    let count = format!("SELECT count(*) FROM {missing}");
    let rows: i64 = from.row(ATTEMPTED, &count, &[]).await?.get(0);
    let order = names(&common.key);
    let sql = format!("SELECT to_json(r)::text FROM {missing} ORDER BY {order} LIMIT {SHOWN}");
    let shown = from.rows(ATTEMPTED, &sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    from.run(ATTEMPTED, "ROLLBACK").await?;
    Ok(Missing { table: common.table, rows: rows.unsigned_abs(), shown })
}

/// Inserts the rows that `from` has and `live` lacks, inside the transaction that is open on
/// `live`. What was inserted is written to `record`, in PostgreSQL's `COPY` text format: the
/// table, and the row as JSON.
///
/// # Errors
/// `database_failed`, also where another unique index or a foreign key stands against a row.
pub async fn bring_back(
    from: &Connection,
    live: &Connection,
    wanted: &Wanted,
    (record, path): (&mut File, &Path),
) -> Result<BroughtBack> {
    from.run(ATTEMPTED, "BEGIN").await?;
    let common = Common::of(from, live, wanted).await?;
    common.send_keys(from, live).await?;
    let (columns, key, table) = (names(&common.columns), names(&common.key), &common.table);
    let begin = format!(
        "DROP TABLE IF EXISTS pg_temp.backstop_rows, pg_temp.backstop_record; \
         CREATE TEMP TABLE backstop_rows ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA; \
         CREATE TEMP TABLE backstop_record (at text, was jsonb) ON COMMIT DROP; \
         SET CONSTRAINTS ALL DEFERRED"
    );
    live.run(ATTEMPTED, &begin).await?;
    let out = format!("COPY (SELECT {columns} FROM {}) TO STDOUT", common.missing(wanted));
    from.copy_to(ATTEMPTED, &out, live, "COPY pg_temp.backstop_rows FROM STDIN").await?;
    from.run(ATTEMPTED, "ROLLBACK").await?;
    let insert = format!(
        "WITH inserted AS ( \
           INSERT INTO {table} AS r ({columns}) OVERRIDING SYSTEM VALUE \
           SELECT {columns} FROM pg_temp.backstop_rows ON CONFLICT ({key}) DO NOTHING \
           RETURNING to_jsonb(r) AS was) \
         INSERT INTO pg_temp.backstop_record SELECT {}, was FROM inserted",
        quote_literal(table)
    );
    live.run(ATTEMPTED, &insert).await?;
    let count = "SELECT count(*) FROM pg_temp.backstop_record";
    let rows: i64 = live.row(ATTEMPTED, count, &[]).await?.get(0);
    let out = "COPY pg_temp.backstop_record TO STDOUT";
    live.copy_to_file(ATTEMPTED, out, record, path).await?;
    Ok(BroughtBack { table: common.table, rows: rows.unsigned_abs() })
}

/// Removes the rows of a record that are still as they came back; those that were changed
/// since stay. Returns how many were removed and how many stay. Does nothing the second time.
pub async fn take_away(live: &Connection, record: &Path) -> Result<(u64, u64)> {
    const UNDO: &str = "take rows away from database";
    let begin = "BEGIN; SET CONSTRAINTS ALL DEFERRED; \
                 CREATE TEMP TABLE backstop_record (at text, was jsonb, number serial) \
                 ON COMMIT DROP";
    live.run(UNDO, begin).await?;
    let into = "COPY pg_temp.backstop_record (at, was) FROM STDIN";
    live.copy_from_file(UNDO, into, record).await?;
    // The tables that refer to others came last.
    let tables = "SELECT at, count(*) FROM pg_temp.backstop_record \
                  GROUP BY at ORDER BY min(number) DESC";
    let (mut removed, mut recorded) = (0, 0);
    for row in live.rows(UNDO, tables, &[]).await? {
        let (table, rows): (String, i64) = (row.get(0), row.get(1));
        let name = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c \
                    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)";
        let found = live.rows(UNDO, name, &[&table]).await?;
        let Some(found) = found.first() else { continue };
        let sql = format!(
            "WITH gone AS (DELETE FROM {} AS r USING pg_temp.backstop_record AS record \
               WHERE record.at = {} AND to_jsonb(r) = record.was RETURNING 1) \
             SELECT count(*) FROM gone",
            found.get::<_, &str>(0),
            quote_literal(&table)
        );
        removed += live.row(UNDO, &sql, &[]).await?.get::<_, i64>(0);
        recorded += rows;
    }
    live.run(UNDO, "COMMIT").await?;
    Ok((removed.unsigned_abs(), (recorded - removed).unsigned_abs()))
}

impl Common {
    async fn of(from: &Connection, live: &Connection, wanted: &Wanted) -> Result<Self> {
        let failed = |cause: String| {
            Error::new(Code::DatabaseFailed, ATTEMPTED, live.subject()).cause(cause)
        };
        let missing = |place: &str| failed(format!("there is no table {} {place}", wanted.table));
        let table = resolve(live, &wanted.table).await?.ok_or_else(|| missing("in it"))?;
        if resolve(from, &table).await?.is_none() {
            return Err(missing("in the restored database"));
        }
        let (ours, theirs) = (columns(live, &table).await?, columns(from, &table).await?);
        let columns: Vec<String> =
            ours.into_iter().filter(|column| theirs.contains(column)).collect();
        let key = match wanted.key.as_slice() {
            [] => primary_key(live, &table).await?,
            key => key.to_vec(),
        };
        if key.is_empty() {
            return Err(failed(format!("{table} has no primary key"))
                .hint("name columns in `key` that are unique together"));
        }
        match key.iter().find(|column| !columns.contains(column)) {
            None => Ok(Self { table, columns, key }),
            Some(column) => Err(failed(format!("both must have the column {column} in {table}"))),
        }
    }

    /// Tells the other database which rows are there.
    async fn send_keys(&self, from: &Connection, live: &Connection) -> Result<()> {
        let (key, table) = (names(&self.key), &self.table);
        let begin = format!(
            "CREATE TEMP TABLE backstop_keys ON COMMIT DROP AS \
             SELECT {key} FROM {table} WITH NO DATA"
        );
        from.run(ATTEMPTED, &begin).await?;
        let out = format!("COPY (SELECT {key} FROM {table}) TO STDOUT");
        live.copy_to(ATTEMPTED, &out, from, "COPY pg_temp.backstop_keys FROM STDIN").await?;
        from.run(ATTEMPTED, "ANALYZE pg_temp.backstop_keys").await
    }

    /// What follows `FROM` for the rows that are missing.
    fn missing(&self, wanted: &Wanted) -> String {
        let equal = |column: &String| {
            let column = quote_identifier(column);
            format!("k.{column} = r.{column}")
        };
        let equal: Vec<String> = self.key.iter().map(equal).collect();
        let condition = wanted.condition.as_deref().unwrap_or("true");
        format!(
            "(SELECT * FROM {} WHERE {condition}) AS r \
             WHERE NOT EXISTS (SELECT FROM pg_temp.backstop_keys AS k WHERE {})",
            self.table,
            equal.join(" AND ")
        )
    }
}

fn names(columns: &[String]) -> String {
    columns.iter().map(|column| quote_identifier(column)).collect::<Vec<_>>().join(", ")
}

async fn resolve(connection: &Connection, table: &str) -> Result<Option<String>> {
    let sql = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p')";
    let rows = connection.rows(ATTEMPTED, sql, &[&table]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// The columns that can be written.
async fn columns(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let sql = "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) \
               AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum";
    let rows = connection.rows(ATTEMPTED, sql, &[&table]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn primary_key(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let sql = "SELECT a.attname::text FROM pg_index i \
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) \
               WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY a.attnum";
    let rows = connection.rows(ATTEMPTED, sql, &[&table]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
