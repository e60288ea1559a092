//! `events.jsonl` in the state directory: what the repository does not know.
//!
//! One JSON object a line, appended and synced. A line cut short by a crash is skipped.

use super::event::{Event, EventName, insert};
use super::{backups, record::BackupRecord};
use crate::error::{Code, Error, Result};
use duckdb::Connection;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = "events.jsonl";

/// Appends one event durably.
pub(super) fn append(dir: &Path, event: &Event) -> Result<()> {
    let path = dir.join(FILE);
    // A leading newline ends a line that a crash may have cut short.
    let mut line = b"\n".to_vec();
    serde_json::to_writer(&mut line, event)
        .map_err(|e| Error::new(Code::CatalogFailed, "write", path.display()).source(e))?;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(&line)?;
            file.sync_data()
        })
        .map_err(|e| Error::io("append to", &path, e))
}

/// Puts every event of the journal, and the failed backups among them that were not deleted
/// since, into a new catalog.
pub(super) fn replay(dir: &Path, connection: &Connection) -> Result<()> {
    let path = dir.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("read", &path, e)),
    };
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(event) = serde_json::from_slice::<Event>(line) else { continue };
        insert(connection, &event)?;
        if event.event == EventName::BackupFailed
            && let Ok(record) = serde_json::from_value::<BackupRecord>(event.detail.clone())
        {
            backups::put(connection, &record)?;
        }
        if event.event == EventName::BackupDeleted
            && let Some(id) = &event.backup_id
        {
            backups::remove(connection, id.as_str())?;
        }
    }
    Ok(())
}
