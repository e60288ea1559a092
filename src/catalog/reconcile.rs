//! Bringing the catalog in line with the repository, which is the truth.

use super::backups::failed;
use super::record::{BackupRecord, LastVerification};
use super::{EventName, Session, backups};
use crate::error::{Code, Result};
use crate::progress::Progress;
use crate::repository::{BackupId, Pin, Repository};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

impl Session {
    /// Adds the backups that lie in the repository and are missing here, and removes those
    /// that do not lie there any more. Looks into new directories only, so it costs one
    /// directory listing when nothing changed. A damaged manifest becomes a warning.
    pub fn reconcile(
        &mut self,
        repository: &Repository,
        progress: &Arc<dyn Progress>,
    ) -> Result<()> {
        let mut recorded = self.published_names()?;
        let lying: HashSet<String> = repository.names()?.into_iter().collect();
        let paths_moved = self
            .recorded_root()?
            .is_some_and(|root| repository.directory().is_some_and(|now| root != now));
        if paths_moved {
            recorded.clear();
        }
        let pins = repository.pins()?;
        for name in lying.iter().filter(|name| !recorded.contains_key(*name)) {
            match repository.backup(name) {
                Ok(backup) => {
                    let mut record = BackupRecord::published(&backup);
                    for found in self.verifications(&record.id)? {
                        record = record.verified(found);
                    }
                    record.pin = pins.get(&record.id).cloned();
                    self.put(&record)?;
                }
                // On a store: being written, or left by a dead writer.
                Err(e) if e.code() == Code::BackupNotFound => {}
                Err(e) => progress.warn(e.code(), e.to_string()),
            }
        }
        for (name, id) in &recorded {
            if !lying.contains(name) {
                progress.warn(
                    Code::BackupNotFound,
                    format!("backup {name} does not lie in the repository any more"),
                );
                backups::remove(&self.connection, id)?;
            }
        }
        self.reconcile_pins(&pins)
    }

    /// Brings the rows of published backups in line with the pins. Costs one pass over the rows'
    /// texts where nothing changed.
    fn reconcile_pins(&mut self, pins: &BTreeMap<BackupId, Pin>) -> Result<()> {
        let read = || -> duckdb::Result<Vec<String>> {
            let ids: Vec<&str> = pins.keys().map(BackupId::as_str).collect();
            let mut statement = self.connection.prepare(
                "SELECT record::VARCHAR FROM backups WHERE status IN ('completed', 'verified') \
                 AND (contains(record::VARCHAR, '\"pin\":{') OR contains(?, id))",
            )?;
            statement.query_map([ids.join(" ")], |row| row.get(0))?.collect()
        };
        for text in read().map_err(|e| failed("read backups from", e))? {
            let mut record: BackupRecord =
                serde_json::from_str(&text).map_err(|e| failed("read backup from", e))?;
            let pin = pins.get(&record.id).cloned();
            if record.pin != pin {
                record.pin = pin;
                self.put(&record)?;
            }
        }
        Ok(())
    }

    /// Id by name of every backup recorded as published.
    fn published_names(&self) -> Result<HashMap<String, String>> {
        let read = || -> duckdb::Result<HashMap<String, String>> {
            let mut statement = self.connection.prepare(
                "SELECT name, id FROM backups WHERE status IN ('completed', 'verified')",
            )?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(|e| failed("read backups from", e))
    }

    /// The repository's directory as a published record names it.
    fn recorded_root(&self) -> Result<Option<PathBuf>> {
        let path: Option<String> = self
            .connection
            .query_row(
                "SELECT max(record->>'path') FROM backups WHERE status IN ('completed', 'verified')",
                [],
                |row| row.get(0),
            )
            .map_err(|e| failed("read backups from", e))?;
        Ok(path.and_then(|path| Some(PathBuf::from(path).parent()?.parent()?.to_path_buf())))
    }

    /// What the verifications of a backup found, oldest first, as the journal knows them.
    fn verifications(&self, id: &BackupId) -> Result<Vec<LastVerification>> {
        let events = self.events_of(EventName::BackupVerified, id)?;
        // A verification that an earlier version noted in another form counts as none.
        let found =
            events.into_iter().filter_map(|event| serde_json::from_value(event.detail).ok());
        Ok(found.collect())
    }
}
