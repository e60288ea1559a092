//! Bringing the catalog in line with the repository, which is the truth.

use super::backups::failed;
use super::record::{BackupRecord, LastVerification};
use super::{EventName, Session, backups};
use crate::error::{Code, Result};
use crate::progress::Progress;
use crate::repository::{BackupId, Pin, Repository};
use duckdb::OptionalExt;
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
        let paths_moved = self.recorded_root()?.is_some_and(|root| root != repository.path());
        if paths_moved {
            recorded.clear();
        }
        let pins = repository.pins()?;
        let new: Vec<&String> = lying.iter().filter(|name| !recorded.contains_key(*name)).collect();
        if !new.is_empty() {
            self.add(&new, repository, &pins, progress)?;
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

    /// Adds backups of these names, all at once.
    fn add(
        &self,
        names: &[&String],
        repository: &Repository,
        pins: &BTreeMap<BackupId, Pin>,
        progress: &Arc<dyn Progress>,
    ) -> Result<()> {
        let mut verifications = self.verifications()?;
        backups::in_transaction(&self.connection, || {
            for name in names {
                let backup = match repository.backup(name) {
                    Ok(backup) => backup,
                    Err(e) => {
                        progress.warn(e.code(), e.to_string());
                        continue;
                    }
                };
                let mut record = BackupRecord::published(&backup);
                for found in verifications.remove(&record.id).unwrap_or_default() {
                    record = record.verified(found);
                }
                record.pin = pins.get(&record.id).cloned();
                backups::insert(&self.connection, &record)?;
            }
            Ok(())
        })
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
                "SELECT record->>'path' FROM backups WHERE status IN ('completed', 'verified') \
                 AND record->>'path' IS NOT NULL LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()
            .map_err(|e| failed("read backups from", e))?;
        Ok(path.and_then(|path| Some(PathBuf::from(path).parent()?.parent()?.to_path_buf())))
    }

    /// What the verifications of each backup found, oldest first, as the journal knows them.
    fn verifications(&self) -> Result<HashMap<BackupId, Vec<LastVerification>>> {
        let mut verifications: HashMap<_, Vec<_>> = HashMap::new();
        for event in self.events_named(EventName::BackupVerified)? {
            // One that an earlier version noted in another form counts as none.
            if let Some(id) = event.backup_id
                && let Ok(found) = serde_json::from_value(event.detail)
            {
                verifications.entry(id).or_default().push(found);
            }
        }
        Ok(verifications)
    }
}
