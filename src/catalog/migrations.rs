//! The schema, in numbered steps that are never edited once released.

use crate::clock;
use crate::error::{Code, Error, Result};
use duckdb::{Connection, params};
use std::path::Path;

/// `migrations/NNNN_name.sql`, in order.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "backups", include_str!("../../migrations/0001_backups.sql")),
    (2, "runs", include_str!("../../migrations/0002_runs.sql")),
];

/// Applies what the catalog does not have yet, each step in its own transaction.
///
/// # Errors
/// `catalog_format` where a later version of backstop has migrated it further.
pub(super) fn apply(connection: &Connection, file: &Path) -> Result<()> {
    let run = || -> duckdb::Result<i64> {
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                version BIGINT NOT NULL, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)",
        )?;
        let mut current: i64 = connection.query_row(
            "SELECT coalesce(max(version), 0) FROM schema_migrations",
            [],
            |row| row.get(0),
        )?;
        for (version, name, sql) in MIGRATIONS {
            if *version <= current {
                continue;
            }
            connection.execute_batch("BEGIN")?;
            connection.execute_batch(sql)?;
            connection.execute(
                "INSERT INTO schema_migrations VALUES (?, ?, ?::TIMESTAMP)",
                params![version, name, super::record::sql_time(clock::now())],
            )?;
            connection.execute_batch("COMMIT; CHECKPOINT")?;
            current = *version;
        }
        Ok(current)
    };
    let known = MIGRATIONS.len() as i64;
    match run() {
        Ok(version) if version > known => {
            Err(Error::new(Code::CatalogFormat, "open catalog", file.display())
                .cause(format!("it has schema {version}, this version knows {known}")))
        }
        Ok(_) => Ok(()),
        Err(e) => Err(Error::new(Code::CatalogFailed, "migrate catalog", file.display()).source(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps_and_apply_once() {
        for (place, (version, ..)) in MIGRATIONS.iter().enumerate() {
            assert_eq!(*version, place as i64 + 1);
        }
        let connection = Connection::open_in_memory().unwrap();
        apply(&connection, Path::new("memory")).unwrap();
        apply(&connection, Path::new("memory")).unwrap();
    }

    #[test]
    fn a_catalog_of_a_later_version_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        apply(&connection, Path::new("memory")).unwrap();
        connection
            .execute("INSERT INTO schema_migrations VALUES (999, 'later', now()::TIMESTAMP)", [])
            .unwrap();
        let error = apply(&connection, Path::new("memory")).unwrap_err();
        assert_eq!(error.code(), Code::CatalogFormat);
    }
}
