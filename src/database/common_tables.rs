//! The tables that two databases have in common, so that their rows can be compared.

use super::connection::Connection;
use super::missing::resolve;
use crate::error::Result;
use std::collections::{BTreeMap, BTreeSet};

const ATTEMPTED: &str = "list the tables of database";

/// The tables of two databases, as `schema.table`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommonTables {
    /// Those with a primary key, which others refer to first.
    pub keyed: Vec<String>,
    /// Those without: their rows cannot be told apart.
    pub unkeyed: Vec<String>,
    /// Those that only the restored database has.
    pub missing: Vec<String>,
}

impl CommonTables {
    /// The tables whose rows cannot come back, with the reason: those that are gone, and those
    /// without a primary key that do not have as many rows in both.
    ///
    /// # Errors
    /// `database_failed`.
    pub async fn unsaved(&self, from: &Connection, live: &Connection) -> Result<Vec<String>> {
        let mut unsaved: Vec<String> =
            self.missing.iter().map(|table| format!("{table} (dropped)")).collect();
        for table in &self.unkeyed {
            if count(from, table).await? != count(live, table).await? {
                unsaved.push(format!("{table} (no primary key)"));
            }
        }
        Ok(unsaved)
    }
}

/// How many rows a table has; none where it is gone.
async fn count(connection: &Connection, table: &str) -> Result<Option<i64>> {
    let Some((_, source)) = resolve(connection, ATTEMPTED, table).await? else {
        return Ok(None);
    };
    let sql = format!("SELECT count(*) FROM {source}");
    Ok(Some(connection.row(ATTEMPTED, &sql, &[]).await?.get(0)))
}

/// Finds them: neither system tables, nor those of an extension, nor partitions by themselves.
pub async fn common_tables(from: &Connection, live: &Connection) -> Result<CommonTables> {
    const TABLES: &str = "SELECT format('%I.%I', n.nspname, c.relname), \
           EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' \
           AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
             AND d.objid = c.oid AND d.deptype = 'e') \
         ORDER BY 1";
    let theirs = from.rows(ATTEMPTED, TABLES, &[]).await?;
    let theirs: Vec<String> = theirs.iter().map(|row| row.get(0)).collect();
    let mut found = CommonTables::default();
    let mut ours = BTreeSet::new();
    for row in live.rows(ATTEMPTED, TABLES, &[]).await? {
        let (table, keyed): (String, bool) = (row.get(0), row.get(1));
        ours.insert(table.clone());
        match (theirs.contains(&table), keyed) {
            (true, true) => found.keyed.push(table),
            (true, false) => found.unkeyed.push(table),
            (false, _) => {}
        }
    }
    found.missing = theirs.into_iter().filter(|table| !ours.contains(table)).collect();
    let needs = references(live).await?;
    found.keyed = referred_first(found.keyed, &needs);
    Ok(found)
}

/// To which other tables each table refers.
async fn references(live: &Connection) -> Result<BTreeMap<String, Vec<String>>> {
    const REFERENCES: &str = "SELECT format('%I.%I', n.nspname, c.relname), \
           format('%I.%I', m.nspname, f.relname) \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class f ON f.oid = k.confrelid \
         JOIN pg_namespace m ON m.oid = f.relnamespace \
         WHERE k.contype = 'f' AND k.conrelid <> k.confrelid ORDER BY 1, 2";
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in live.rows(ATTEMPTED, REFERENCES, &[]).await? {
        needs.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(needs)
}

/// The tables in an order in which each comes after those that it refers to; of a circle, which
/// only deferred constraints allow, one comes first.
fn referred_first(tables: Vec<String>, needs: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut left = tables;
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_free = |table: &String| {
            let needs = needs.get(table).into_iter().flatten();
            needs.filter(|need| *need != table).all(|need| !left.contains(need))
        };
        let next = left.iter().position(is_free).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_come_after_those_that_they_refer_to() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let needs = [
            ("a".to_owned(), names(&["b", "elsewhere"])),
            ("b".to_owned(), names(&["c"])),
            ("x".to_owned(), names(&["y"])),
            ("y".to_owned(), names(&["x"])),
        ]
        .into();
        assert_eq!(
            referred_first(names(&["a", "b", "c", "x", "y"]), &needs),
            names(&["c", "b", "a", "x", "y"])
        );
    }
}
