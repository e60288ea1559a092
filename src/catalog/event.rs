//! What happened to the stack and its backups, in order.

use super::backups::failed;
use super::record::sql_time;
use super::{Session, journal};
use crate::clock;
use crate::error::Result;
use crate::repository::BackupId;
use duckdb::{Connection, ToSql, params};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventName {
    /// A backup failed; `detail` is its record.
    BackupFailed,
    /// A backup was deleted.
    BackupDeleted,
    /// A backup is kept by hand; `detail` says why.
    BackupKept,
    /// A backup is no longer kept by hand.
    BackupUnkept,
    /// A backup was verified; `detail` says how and what was found.
    BackupVerified,
    /// A restore replaced live state.
    Restored,
    /// A restore failed and was undone.
    RestoreFailed,
    /// A rollback went back to the state before a restore.
    RolledBack,
    /// State kept aside by a restore was purged.
    Purged,
    /// Containers that a dead backstop left held were resumed.
    Recovered,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, UTC.
    pub at: Timestamp,
    /// What.
    pub event: EventName,
    /// Which backup it concerns.
    pub backup_id: Option<BackupId>,
    /// More, depending on the event.
    pub detail: serde_json::Value,
}

impl Event {
    /// An event that happens now.
    pub fn now(event: EventName, backup: Option<&BackupId>, detail: serde_json::Value) -> Self {
        Self { at: clock::now(), event, backup_id: backup.cloned(), detail }
    }
}

impl Session {
    /// Records an event: in the journal first, which survives the loss of the catalog.
    pub fn record_event(&mut self, event: &Event) -> Result<()> {
        journal::append(&self.dir, event)?;
        insert(&self.connection, event)
    }

    /// The newest events, newest first.
    pub fn events(&self, limit: usize) -> Result<Vec<Event>> {
        self.read_events("ORDER BY occurred_at DESC LIMIT ?", params![limit as i64])
    }

    /// How many events there are.
    pub fn count_events(&self) -> Result<usize> {
        let count = self
            .connection
            .query_row("SELECT count(*) FROM events", [], |row| row.get::<_, i64>(0));
        let count = count.map_err(|e| failed("count events in", e))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// The events of this kind in the order in which they were recorded, whatever the clock
    /// said.
    pub(super) fn events_named(&self, event: EventName) -> Result<Vec<Event>> {
        self.read_events("WHERE event = ? ORDER BY rowid", params![event.text()])
    }

    /// The events that the end of a query selects.
    fn read_events(&self, end: &str, params: &[&dyn ToSql]) -> Result<Vec<Event>> {
        let read = || -> duckdb::Result<Vec<String>> {
            let mut statement = self.connection.prepare(&format!(
                "SELECT to_json({{'at': strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ'), 'event': event,
                                 'backup_id': backup_id, 'detail': detail}})::VARCHAR
                 FROM events {end}"
            ))?;
            statement.query_map(params, |row| row.get(0))?.collect()
        };
        read()
            .map_err(|e| failed("read events from", e))?
            .iter()
            .map(|text| serde_json::from_str(text).map_err(|e| failed("read event from", e)))
            .collect()
    }
}

impl EventName {
    /// The name as the journal writes it.
    fn text(self) -> Option<String> {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned))
    }
}

pub(super) fn insert(connection: &Connection, event: &Event) -> Result<()> {
    connection
        .execute(
            "INSERT INTO events VALUES (?::TIMESTAMP, ?, ?, ?)",
            params![
                sql_time(event.at),
                event.event.text(),
                event.backup_id.as_ref().map(BackupId::as_str),
                event.detail.to_string(),
            ],
        )
        .map(drop)
        .map_err(|e| failed("record event in", e))
}
