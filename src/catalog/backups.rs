//! The rows of backups.

use super::record::{BackupRecord, sql_time};
use super::{Event, EventName, Session};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::repository::BackupId;
use crate::repository::manifest::Reason;
use duckdb::{Connection, params};
use std::collections::BTreeSet;

impl Session {
    /// Inserts or replaces the row of one backup.
    pub fn put(&mut self, record: &BackupRecord) -> Result<()> {
        put(&self.connection, record)
    }

    /// Records that a backup failed, in the journal too.
    pub fn put_failed(&mut self, record: &BackupRecord) -> Result<()> {
        self.put(record)?;
        let detail =
            serde_json::to_value(record).map_err(|e| failed("record failed backup in", e))?;
        self.record_event(&Event::now(EventName::BackupFailed, Some(&record.id), detail))
    }

    /// All backups, newest first.
    pub fn list(&self) -> Result<Vec<BackupRecord>> {
        let read = || -> duckdb::Result<Vec<String>> {
            let mut statement = self.connection.prepare(
                // A failed backup carries the place it would have had, before the one that
                // then got it.
                // Of two that hold the same, the one that needs no other comes first.
                "SELECT record::VARCHAR FROM backups \
                 ORDER BY sequence DESC, started_at DESC, record->>'kind' = 'full' DESC",
            )?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        let mut listed: Vec<BackupRecord> = Vec::new();
        for text in read().map_err(|e| failed("read backups from", e))? {
            let record: BackupRecord =
                serde_json::from_str(&text).map_err(|e| failed("read backup from", e))?;
            // One in progress or failed has no place in the history, and comes after all that
            // have; its start time puts it among them.
            let older = |other: &BackupRecord| other.started_at <= record.started_at;
            let place = match record.sequence {
                0 => listed.iter().position(older).unwrap_or(listed.len()),
                _ => listed.len(),
            };
            listed.insert(place, record);
        }
        Ok(listed)
    }

    /// The one backup that `wanted` names: `latest`, a whole name, or a unique prefix of an id.
    ///
    /// The latest is the newest published one of the whole stack, or where there is none, the
    /// newest partial one. A safety backup is never it: it holds what a restore was meant to
    /// replace. Nor is another stack's, where it is known whose backups are asked for.
    ///
    /// # Errors
    /// `backup_not_found`; `backup_ambiguous`, also for the latest of nobody knows which stack.
    pub fn find(&self, wanted: &str) -> Result<BackupRecord> {
        let all = self.list()?;
        let is_ours =
            |record: &BackupRecord| self.stack.as_ref().is_none_or(|own| *own == record.stack);
        let fits = |record: &BackupRecord| match wanted {
            "latest" => record.is_published() && record.reason != Reason::Safety && is_ours(record),
            _ => record.name == wanted || record.id.as_str().starts_with(wanted),
        };
        let mut fitting: Vec<BackupRecord> =
            all.into_iter().filter(|_| !wanted.is_empty()).filter(fits).collect();
        if wanted == "latest" {
            refuse_several_stacks(&fitting)?;
            fitting.sort_by_key(|record| !record.omitted.is_empty());
        }
        let mut fitting = fitting.into_iter();
        let first = fitting.next().ok_or_else(|| {
            Error::new(Code::BackupNotFound, "find backup", wanted).cause(if wanted == "latest" {
                "there is no completed backup of this stack yet"
            } else {
                "no id begins so, and no name is so"
            })
        })?;
        match fitting.next() {
            Some(second) if wanted != "latest" => {
                Err(Error::new(Code::BackupAmbiguous, "find backup", wanted)
                    .cause(format!("both {} and {} begin so", first.id, second.id)))
            }
            _ => Ok(first),
        }
    }

    /// The place in the history that the next backup gets.
    pub fn next_sequence(&self) -> Result<u64> {
        self.connection
            .query_row(
                "SELECT coalesce(max(sequence), 0) + 1 FROM backups
                 WHERE status IN ('completed', 'verified')",
                [],
                |row| row.get::<_, i64>(0),
            )
            .map(|next| next.unsigned_abs())
            .map_err(|e| failed("read history from", e))
    }

    /// Takes the row of a deleted backup out.
    pub fn remove(&mut self, id: &BackupId) -> Result<()> {
        remove(&self.connection, id.as_str())
    }

    /// Whether a backup is being written, or was when its process died.
    pub fn has_unfinished(&self) -> Result<bool> {
        self.connection
            .query_row(
                "SELECT count(*) FROM backups WHERE status IN ('in_progress', 'pending')",
                [],
                |row| row.get::<_, i64>(0),
            )
            .map(|count| count > 0)
            .map_err(|e| failed("read backups from", e))
    }

    /// Marks what a dead process left in progress as failed. Needs the repository's lock,
    /// which proves that nobody is writing a backup.
    pub fn fail_interrupted(&mut self) -> Result<Vec<BackupId>> {
        let mut marked = Vec::new();
        for record in self.list()? {
            if record.is_unfinished() {
                let error = Error::new(Code::Interrupted, "finish backup", &record.name)
                    .cause("the process that wrote it ended");
                marked.push(record.id.clone());
                self.put_failed(&record.failed(&error, clock::now()))?;
            }
        }
        Ok(marked)
    }

    /// Writes the write-ahead log into the database file.
    pub fn checkpoint(&mut self) -> Result<()> {
        self.connection.execute_batch("CHECKPOINT").map_err(|e| failed("checkpoint", e))
    }
}

/// Refuses to say which is the latest of several stacks' backups.
fn refuse_several_stacks(records: &[BackupRecord]) -> Result<()> {
    let stacks: BTreeSet<&str> = records.iter().map(|record| record.stack.as_str()).collect();
    if stacks.len() < 2 {
        return Ok(());
    }
    let names: Vec<&str> = stacks.into_iter().collect();
    Err(Error::new(Code::BackupAmbiguous, "find backup", "latest")
        .cause(format!("the repository holds backups of {}", names.join(", ")))
        .hint("name one by its id; `backstop list --json` tells of which stack each is"))
}

pub(super) fn put(connection: &Connection, record: &BackupRecord) -> Result<()> {
    in_transaction(connection, || insert(connection, record))
}

/// Does all of it or nothing. Many rows at once cost a fraction of what they do one by one.
pub(super) fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let ask = |sql| connection.execute_batch(sql).map_err(|e| failed("write to", e));
    ask("BEGIN")?;
    let done = work().and_then(|result| ask("COMMIT").map(|()| result));
    if done.is_err() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    done
}

/// Inserts or replaces the rows of one backup. Needs a transaction.
pub(super) fn insert(connection: &Connection, record: &BackupRecord) -> Result<()> {
    let text = serde_json::to_string(record).map_err(|e| failed("record backup in", e))?;
    let write = || -> duckdb::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT OR REPLACE INTO backups VALUES
             (?, ?, ?, ?, ?, ?, ?, ?, ?, ?::TIMESTAMP, ?::TIMESTAMP,
              ?::TIMESTAMP, ?, ?, ?, ?, ?)",
        )?;
        insert.execute(params![
            record.id.as_str(),
            record.name,
            record.sequence as i64,
            record.stack,
            record.kind.as_str(),
            record.reason.as_str(),
            record.status.as_str(),
            record.version_label,
            record.consistency.as_ref().map(|consistency| consistency.level.as_str()),
            sql_time(record.started_at),
            record.finished_at.map(sql_time),
            record.last_verification.as_ref().map(|found| sql_time(found.at)),
            record.last_verification.as_ref().map(|found| found.ok),
            record.source_bytes as i64,
            record.stored_bytes as i64,
            record.file_count as i64,
            text,
        ])?;
        let mut clear = connection.prepare_cached("DELETE FROM components WHERE backup_id = ?")?;
        clear.execute(params![record.id.as_str()])?;
        let mut insert =
            connection.prepare_cached("INSERT INTO components VALUES (?, ?, ?, ?, ?, ?)")?;
        for component in &record.components {
            insert.execute(params![
                record.id.as_str(),
                component.name,
                component.detail.type_name(),
                component.source_bytes as i64,
                component.stored_bytes as i64,
                component.file_count as i64,
            ])?;
        }
        Ok(())
    };
    write().map_err(|e| failed("record backup in", e))
}

pub(super) fn remove(connection: &Connection, id: &str) -> Result<()> {
    let write = || -> duckdb::Result<()> {
        connection.execute("DELETE FROM components WHERE backup_id = ?", params![id])?;
        connection.execute("DELETE FROM backups WHERE id = ?", params![id])?;
        Ok(())
    };
    write().map_err(|e| failed("remove backup from", e))
}

/// A failure of DuckDB, which tells a full disk only in its text.
pub(super) fn failed(
    attempted: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    let full = error.to_string().contains("No space left on device");
    let code = if full { Code::DiskFull } else { Code::CatalogFailed };
    Error::new(code, attempted, "catalog").source(error)
}
