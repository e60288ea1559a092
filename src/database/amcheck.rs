//! Tables and indexes, looked through by the extension `amcheck`, where the server has it.
//!
//! Source: PostgreSQL manual, "amcheck". In a database without it, the extension is created in
//! a transaction that is rolled back: that needs a superuser and leaves nothing.

use super::connection::Connection;
use super::failure;
use super::target::Target;
use crate::error::Result;
use serde::Serialize;

const ATTEMPTED: &str = "check the indexes of database";

/// How many faults are named.
const NAMED: usize = 20;

/// What was looked through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Amchecked {
    /// B-tree indexes, each with every row of its table.
    pub indexes: u64,
    /// Tables, from PostgreSQL 14 on.
    pub tables: u64,
    /// What is wrong; the first twenty.
    pub faults: Vec<String>,
}

/// Looks through the database that `target` names; none where the extension is not to be had.
pub async fn amcheck(target: &Target) -> Result<Option<Amchecked>> {
    let connection = Connection::open(target).await?;
    connection.run(ATTEMPTED, "BEGIN; SAVEPOINT one").await?;
    match connection.attempt("CREATE EXTENSION IF NOT EXISTS amcheck").await {
        Ok(()) => {}
        Err(error) if error.code().is_some() => return Ok(None),
        Err(error) => return Err(connection.failed(ATTEMPTED, &error)),
    }
    connection.run(ATTEMPTED, "RELEASE SAVEPOINT one").await?;
    let sql = "SELECT quote_ident(n.nspname) FROM pg_extension e \
               JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
    let schema: String = connection.row(ATTEMPTED, sql, &[]).await?.get(0);
    let mut found = Amchecked::default();
    let sql = "SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_index i \
               JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND NOT c.relisshared \
                 AND i.indisready AND i.indisvalid ORDER BY 2";
    for row in connection.rows(ATTEMPTED, sql, &[]).await? {
        let (oid, name): (u32, String) = (row.get(0), row.get(1));
        let sql = format!("SELECT {schema}.bt_index_check({oid}::regclass, true)");
        found.indexes += 1;
        found.fault(&name, look(&connection, &sql).await?);
    }
    if connection.server().major < 14 {
        return Ok(Some(found));
    }
    let sql = "SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND NOT c.relisshared \
                 AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'heap') ORDER BY 2";
    for row in connection.rows(ATTEMPTED, sql, &[]).await? {
        let (oid, name): (u32, String) = (row.get(0), row.get(1));
        let sql = format!(
            "DO $$DECLARE fault text; BEGIN \
               SELECT format('block %s: %s', blkno, msg) INTO fault \
               FROM {schema}.verify_heapam({oid}::regclass) LIMIT 1; \
               IF FOUND THEN RAISE EXCEPTION '%', fault; END IF; END$$"
        );
        found.tables += 1;
        found.fault(&name, look(&connection, &sql).await?);
    }
    // The transaction ends with its connection.
    Ok(Some(found))
}

/// What a check says is wrong.
async fn look(connection: &Connection, sql: &str) -> Result<Option<String>> {
    connection.run(ATTEMPTED, "SAVEPOINT one").await?;
    match connection.attempt(sql).await {
        Ok(()) => {
            connection.run(ATTEMPTED, "RELEASE SAVEPOINT one").await?;
            Ok(None)
        }
        Err(error) if error.code().is_some() => {
            connection.run(ATTEMPTED, "ROLLBACK TO SAVEPOINT one").await?;
            Ok(Some(failure::text(&error)))
        }
        Err(error) => Err(connection.failed(ATTEMPTED, &error)),
    }
}

impl Amchecked {
    fn fault(&mut self, name: &str, said: Option<String>) {
        if let Some(said) = said
            && self.faults.len() < NAMED
        {
            self.faults.push(format!("{name}: {said}"));
        }
    }
}
