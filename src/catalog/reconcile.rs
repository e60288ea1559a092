//! Bringing the catalog in line with the repository, which is the truth.

use super::backups::failed;
use super::record::BackupRecord;
use super::verification::LastVerification;
use super::{EventName, Session, backups};
use crate::error::{Code, Result};
use crate::progress::Progress;
use crate::repository::{BackupId, Pin, Repository};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// How many backups one transaction adds: DuckDB keeps about half a MiB for each until it is
/// committed.
const AT_ONCE: usize = 40;

impl Session {
    /// Adds the backups that lie in the repository and are missing here, and removes those
    /// that do not lie there any more. Looks into new directories only, so it costs one
    /// directory listing when nothing changed. A damaged manifest becomes a warning.
    pub fn reconcile(
        &mut self,
        repository: &Repository,
        progress: &Arc<dyn Progress>,
    ) -> Result<()> {
        let recorded = self.published_names(repository.backup_path("").as_deref())?;
        let lying: HashSet<String> = repository.names()?.into_iter().collect();
        let pins = repository.pins()?;
        let is_known = |name: &String| recorded.get(name).is_some_and(|(_, is_here)| *is_here);
        let new: Vec<&String> = lying.iter().filter(|name| !is_known(name)).collect();
        if !new.is_empty() {
            self.add(&new, repository, &pins, progress)?;
        }
        for (name, (id, _)) in &recorded {
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

    /// Adds backups of these names, many at once: one by one would take far longer.
    fn add(
        &self,
        names: &[&String],
        repository: &Repository,
        pins: &BTreeMap<BackupId, Pin>,
        progress: &Arc<dyn Progress>,
    ) -> Result<()> {
        let mut verifications = self.verifications()?;
        let mut add = |name: &str| {
            // What the catalog takes in is believed from then on.
            let backup = match repository.proven_backup(name) {
                Ok(backup) => backup,
                // On a store: being written, or left by a dead writer.
                Err(e) if e.code() == Code::BackupNotFound => return Ok(()),
                Err(e) => {
                    progress.warn(e.code(), e.to_string());
                    return Ok(());
                }
            };
            let mut record = BackupRecord::published(&backup);
            for found in verifications.remove(&record.id).unwrap_or_default() {
                record = record.verified(found);
            }
            record.pin = pins.get(&record.id).cloned();
            backups::insert(&self.connection, &record)
        };
        // What is not committed yet stays in memory.
        for names in names.chunks(AT_ONCE) {
            backups::in_transaction(&self.connection, || {
                names.iter().try_for_each(|name| add(name))
            })?;
        }
        Ok(())
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

    /// Of every backup recorded as published, by name: its id, and whether it is recorded to
    /// lie in `backups`, or in no directory of this host.
    fn published_names(&self, backups: Option<&Path>) -> Result<HashMap<String, (String, bool)>> {
        // A record of what lies in a store names no path at all.
        let (nowhere, on_store) = (Path::new("\0"), backups.is_none());
        let here = serde_json::to_string(backups.unwrap_or(nowhere))
            .map_err(|e| failed("read backups from", e))?;
        // Records are stored as they were written: to look for the text is far cheaper than to
        // take every one apart.
        let here = format!("\"path\":{}", here.trim_end_matches('"'));
        let read = || -> duckdb::Result<HashMap<String, (String, bool)>> {
            let mut statement = self.connection.prepare(
                "SELECT name, id, CASE WHEN contains(record::VARCHAR, ?) THEN true \
                 ELSE ? AND (record->>'path') IS NULL END \
                 FROM backups WHERE status IN ('completed', 'verified')",
            )?;
            let row = |row: &duckdb::Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
            statement.query_map(duckdb::params![here, on_store], row)?.collect()
        };
        read().map_err(|e| failed("read backups from", e))
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
