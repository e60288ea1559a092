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
const UNDO: &str = "take rows away from database";

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
    /// What reads it alone in the live database, without the tables that inherit from it.
    ours: String,
    /// The same in the other database.
    theirs: String,
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
    let (columns, table) = (names(&common.columns), &common.table);
    let begin = format!(
        "DROP TABLE IF EXISTS pg_temp.backstop_rows, pg_temp.backstop_record; \
         CREATE TEMP TABLE backstop_rows ON COMMIT DROP AS \
         SELECT {columns} FROM {table} WITH NO DATA; \
         CREATE TEMP TABLE backstop_record (at text, was jsonb) ON COMMIT DROP; \
         SET CONSTRAINTS ALL DEFERRED"
    );
    live.run(ATTEMPTED, &begin).await?;
    let out = format!("COPY (SELECT {columns} FROM {}) TO STDOUT", common.missing(wanted));
    from.copy_to(ATTEMPTED, &out, live, "COPY pg_temp.backstop_rows FROM STDIN").await?;
    from.run(ATTEMPTED, "ROLLBACK").await?;
    let unless_there = common.unless_there(live).await?;
    let insert = format!(
        "WITH inserted AS ( \
           INSERT INTO {table} AS r ({columns}) OVERRIDING SYSTEM VALUE \
           SELECT {columns} FROM pg_temp.backstop_rows AS n {unless_there} \
           RETURNING to_jsonb(r) AS was) \
         INSERT INTO pg_temp.backstop_record SELECT {}, was FROM inserted",
        quote_literal(table)
    );
    live.run(ATTEMPTED, &insert).await?;
    let count = "SELECT count(*) FROM pg_temp.backstop_record";
    let rows: i64 = live.row(ATTEMPTED, count, &[]).await?.get(0);
    let out = "COPY pg_temp.backstop_record TO STDOUT";
    live.copy_to_file(ATTEMPTED, out, record, path).await?;
    if rows > 0 {
        raise_sequences(live, table).await?;
    }
    Ok(BroughtBack { table: common.table, rows: rows.unsigned_abs() })
}

/// Removes the rows of a record that are still as they came back. Those that were changed since
/// stay, and so do those that a row refers to which does not go as well: to delete them would
/// fail, or delete what the application added. Returns how many were removed and how many were
/// not. Does nothing the second time.
///
/// # Errors
/// `database_failed`.
pub async fn take_away(live: &Connection, record: &Path) -> Result<(u64, u64)> {
    let begin = "BEGIN; SET CONSTRAINTS ALL DEFERRED; \
                 CREATE TEMP TABLE backstop_record (at text, was jsonb, number serial) \
                 ON COMMIT DROP";
    live.run(UNDO, begin).await?;
    let into = "COPY pg_temp.backstop_record (at, was) FROM STDIN";
    live.copy_from_file(UNDO, into, record).await?;
    live.run(UNDO, "ANALYZE pg_temp.backstop_record").await?;
    let recorded = number(live, "SELECT count(*) FROM pg_temp.backstop_record").await?;
    // The tables that refer to others came last.
    let tables = "SELECT at FROM pg_temp.backstop_record GROUP BY at ORDER BY min(number) DESC";
    let mut found = Vec::new();
    for row in live.rows(UNDO, tables, &[]).await? {
        let name: String = row.get(0);
        if let Some((_, source)) = resolve(live, UNDO, &name).await? {
            found.push((name, source));
        }
    }
    // A new row that refers to a locked one waits, and fails once that is gone.
    for (name, source) in &found {
        let same = same(name);
        let lock = format!(
            "SELECT count(*) FROM (SELECT FROM {source} AS r \
               JOIN pg_temp.backstop_record AS record ON {same} FOR UPDATE OF r) AS locked"
        );
        number(live, &lock).await?;
        let changed = format!(
            "DELETE FROM pg_temp.backstop_record AS record WHERE record.at = {} \
             AND NOT EXISTS (SELECT FROM {source} AS r WHERE {same})",
            quote_literal(name)
        );
        live.run(UNDO, &changed).await?;
    }
    keep_needed(live, &found).await?;
    let mut removed = 0;
    for (name, source) in &found {
        let sql = format!(
            "WITH gone AS (DELETE FROM {source} AS r USING pg_temp.backstop_record AS record \
               WHERE {} RETURNING 1) SELECT count(*) FROM gone",
            same(name)
        );
        removed += number(live, &sql).await?;
    }
    live.run(UNDO, "COMMIT").await?;
    Ok((removed, recorded.saturating_sub(removed)))
}

/// Leaves out of the record what a row refers to that is not in it. Each row that is left out
/// may refer to others, so this goes on until none is.
async fn keep_needed(live: &Connection, tables: &[(String, String)]) -> Result<()> {
    // A foreign key of a partitioned table is there once more for each partition.
    const REFERENCES: &str = "SELECT \
           CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END \
             || format('%I.%I', n.nspname, c.relname), \
           format('%I.%I', tn.nspname, t.relname), \
           string_agg(format('f.%I = r.%I', own.attname, far.attname), ' AND ') \
         FROM pg_constraint k CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS p (own, far) \
         JOIN pg_attribute own ON own.attrelid = k.conrelid AND own.attnum = p.own \
         JOIN pg_attribute far ON far.attrelid = k.confrelid AND far.attnum = p.far \
         JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_class t ON t.oid = coalesce(pg_partition_root(k.conrelid), k.conrelid) \
         JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.confrelid = to_regclass($1) \
           OR k.confrelid IN (SELECT relid FROM pg_partition_tree(to_regclass($1)))) \
         GROUP BY k.oid, c.relkind, n.nspname, c.relname, tn.nspname, t.relname";
    let mut needed = Vec::new();
    for (name, source) in tables {
        for row in live.rows(UNDO, REFERENCES, &[name]).await? {
            let (from, table, equal): (String, String, String) =
                (row.get(0), row.get(1), row.get(2));
            needed.push(format!(
                "WITH kept AS (DELETE FROM pg_temp.backstop_record AS record \
                   USING {source} AS r WHERE {} AND EXISTS ( \
                     SELECT FROM {from} AS f WHERE {equal} AND NOT EXISTS ( \
                       SELECT FROM pg_temp.backstop_record AS other \
                       WHERE other.at = {} AND other.was = to_jsonb(f))) RETURNING 1) \
                 SELECT count(*) FROM kept",
                same(name),
                quote_literal(&table)
            ));
        }
    }
    loop {
        let mut kept = 0;
        for sql in &needed {
            kept += number(live, sql).await?;
        }
        if kept == 0 {
            return Ok(());
        }
    }
}

/// The condition that row `r` of a table is as the record has it.
fn same(table: &str) -> String {
    format!("record.at = {} AND to_jsonb(r) = record.was", quote_literal(table))
}

/// The count that a query of the undo returns.
async fn number(live: &Connection, sql: &str) -> Result<u64> {
    Ok(live.row(UNDO, sql, &[]).await?.get::<_, i64>(0).unsigned_abs())
}

/// Moves the sequences behind the columns of a table to where its rows are, so that the next
/// value is free; never back. Sequences do not take part in transactions: should this one be
/// rolled back, a gap stays.
async fn raise_sequences(live: &Connection, table: &str) -> Result<()> {
    // Those that belong to a column, as with `serial` and identity, and those of its default.
    const SEQUENCES: &str = "SELECT format('%I.%I', n.nspname, s.relname), a.attname::text, \
           q.seqincrement > 0 \
         FROM (SELECT d.objid AS sequence, d.refobjsubid::int AS number FROM pg_depend d \
               WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass \
                 AND d.refobjid = to_regclass($1) AND d.deptype IN ('a', 'i') \
               UNION SELECT d.refobjid, ad.adnum::int FROM pg_attrdef ad \
               JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = ad.oid \
               WHERE d.refclassid = 'pg_class'::regclass AND ad.adrelid = to_regclass($1)) AS o \
         JOIN pg_sequence q ON q.seqrelid = o.sequence JOIN pg_class s ON s.oid = o.sequence \
         JOIN pg_namespace n ON n.oid = s.relnamespace \
         JOIN pg_attribute a ON a.attrelid = to_regclass($1) AND a.attnum = o.number \
         WHERE a.atttypid::regtype::text IN ('smallint', 'integer', 'bigint', 'numeric')";
    for row in live.rows(ATTEMPTED, SEQUENCES, &[&table]).await? {
        let (sequence, column, up): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        let (last, beyond) = if up { ("max", ">") } else { ("min", "<") };
        let sql = format!(
            "SELECT setval(q.seqrelid::regclass, t.last::bigint) \
             FROM (SELECT trunc({last}({})::numeric) AS last FROM {table}) AS t, \
               {sequence} AS s, pg_sequence AS q \
             WHERE q.seqrelid = to_regclass({}) AND t.last BETWEEN q.seqmin AND q.seqmax \
               AND (t.last {beyond} s.last_value OR t.last = s.last_value AND NOT s.is_called)",
            quote_identifier(&column),
            quote_literal(&sequence)
        );
        live.run(ATTEMPTED, &sql).await?;
    }
    Ok(())
}

impl Common {
    async fn of(from: &Connection, live: &Connection, wanted: &Wanted) -> Result<Self> {
        let failed = |cause: String| {
            Error::new(Code::DatabaseFailed, ATTEMPTED, live.subject()).cause(cause)
        };
        let missing = |place: &str| failed(format!("there is no table {} {place}", wanted.table));
        let (table, ours) =
            resolve(live, ATTEMPTED, &wanted.table).await?.ok_or_else(|| missing("in it"))?;
        let (_, theirs) = resolve(from, ATTEMPTED, &table)
            .await?
            .ok_or_else(|| missing("in the restored database"))?;
        let restored = columns(from, &table).await?;
        let mut columns = columns(live, &table).await?;
        columns.retain(|column| restored.contains(column));
        let key = match wanted.key.as_slice() {
            [] => primary_key(live, &table).await?,
            key => key.to_vec(),
        };
        if key.is_empty() {
            return Err(failed(format!("{table} has no primary key"))
                .hint("name columns in `key` that are unique together"));
        }
        match key.iter().find(|column| !columns.contains(column)) {
            None => Ok(Self { table, ours, theirs, columns, key }),
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
        let out = format!("COPY (SELECT {key} FROM {}) TO STDOUT", self.ours);
        live.copy_to(ATTEMPTED, &out, from, "COPY pg_temp.backstop_keys FROM STDIN").await?;
        from.run(ATTEMPTED, "ANALYZE pg_temp.backstop_keys").await
    }

    /// What follows `FROM` for the rows that are missing.
    fn missing(&self, wanted: &Wanted) -> String {
        let condition = wanted.condition.as_deref().unwrap_or("true");
        format!(
            "(SELECT * FROM {} WHERE {condition}) AS r \
             WHERE NOT EXISTS (SELECT FROM pg_temp.backstop_keys AS k WHERE {})",
            self.theirs,
            self.equal("r")
        )
    }

    /// The condition that row `k` has the key of row `other`.
    fn equal(&self, other: &str) -> String {
        let equal = |column: &String| {
            let column = quote_identifier(column);
            format!("k.{column} = {other}.{column}")
        };
        self.key.iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }

    /// What ends the `SELECT` of the rows `n` to insert, so that those whose key is there since
    /// are left out.
    async fn unless_there(&self, live: &Connection) -> Result<String> {
        const DEFERRABLE: &str = "SELECT count(*) FROM pg_index i \
             WHERE i.indrelid = to_regclass($1) AND i.indisunique AND NOT i.indimmediate \
               AND (SELECT names @> $2::text[] AND names <@ $2::text[] \
                    FROM (SELECT array_agg(a.attname::text COLLATE \"C\") AS names \
                          FROM pg_attribute a WHERE a.attrelid = i.indrelid \
                            AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1])) AS n)";
        let row = live.row(ATTEMPTED, DEFERRABLE, &[&self.table, &self.key]).await?;
        // `ON CONFLICT` refuses a deferrable key. Without it, a writer that adds the same key at
        // the same time makes the whole transaction fail, rather than leave the row out.
        Ok(match row.get::<_, i64>(0) {
            0 => format!("ON CONFLICT ({}) DO NOTHING", names(&self.key)),
            _ => format!(
                "WHERE NOT EXISTS (SELECT FROM {} AS k WHERE {})",
                self.ours,
                self.equal("n")
            ),
        })
    }
}

fn names(columns: &[String]) -> String {
    columns.iter().map(|column| quote_identifier(column)).collect::<Vec<_>>().join(", ")
}

/// A table's name as `schema.table`, and what reads it alone: from an ordinary table also come
/// the rows of those that inherit from it, but a partitioned one has its rows in others.
pub(super) async fn resolve(
    connection: &Connection,
    attempted: &str,
    table: &str,
) -> Result<Option<(String, String)>> {
    let sql = "SELECT format('%I.%I', n.nspname, c.relname), c.relkind = 'r' FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p')";
    let rows = connection.rows(attempted, sql, &[&table]).await?;
    Ok(rows.first().map(|row| {
        let (name, ordinary): (String, bool) = (row.get(0), row.get(1));
        let source = if ordinary { format!("ONLY {name}") } else { name.clone() };
        (name, source)
    }))
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
               JOIN pg_attribute a ON a.attrelid = i.indrelid \
                    AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]) \
               WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY a.attnum";
    let rows = connection.rows(ATTEMPTED, sql, &[&table]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
