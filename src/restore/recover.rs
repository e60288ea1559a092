//! After a death: swaps are turned back, containers resumed, leftovers removed.

use super::record::{RestoreRecord, Stage};
use super::undo;
use crate::backup::{self, Reach, open_repository};
use crate::catalog::{Catalog, Event, EventName};
use crate::error::{Code, Error, Result};
use crate::fence::{self, Journal};
use crate::repository::LockMode;
use crate::setting::Setting;
use crate::storage::clear_scratch;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// How long a guardian that is at work on the same is waited for, beyond what its containers
/// may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was put right.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Recovery {
    /// One sentence for each thing that was done.
    pub done: Vec<String>,
    /// One sentence for each thing that could not be done.
    pub failed: Vec<String>,
}

impl Recovery {
    /// Fails where something could not be put right: whatever came next would work on a stack
    /// that is half one state and half another.
    ///
    /// # Errors
    /// `not_resumed`.
    pub fn require_complete(&self) -> Result<()> {
        match self.failed.first() {
            None => Ok(()),
            Some(first) => {
                Err(Error::new(Code::NotResumed, "recover", "from a backstop that died")
                    .cause(first))
            }
        }
    }
}

/// Puts right what dead backstops left: held containers, half-done swaps, captures, built
/// restores, unpublished backups. Cheap where there is nothing.
///
/// # Errors
/// Only where it cannot be found out what there is to do; what fails by itself is in
/// [`Recovery::failed`].
pub async fn recover(setting: &Setting) -> Result<Recovery> {
    let mut recovery = resume(setting).await?;
    clear(setting, &mut recovery).await?;
    if !recovery.done.is_empty() {
        note(setting, &recovery);
    }
    Ok(recovery)
}

/// The part of [`recover`] that every command begins with: the application comes first.
pub async fn resume(setting: &Setting) -> Result<Recovery> {
    let before_resume = async |journal: &Journal| before_resume(setting, journal).await;
    let recovered = fence::recover(&setting.config.state.dir, PATIENCE, before_resume).await?;
    let mut recovery = Recovery::default();
    for journal in recovered {
        let lines = journal.lines();
        if journal.is_complete() {
            recovery.done.extend(lines);
        } else {
            recovery.failed.extend(lines);
        }
    }
    Ok(recovery)
}

/// The guardian's whole life; see [`fence::guardian::serve`]. The `setting` is asked for only
/// when a swap has to be turned back.
pub async fn guard(journal: &Path, setting: impl Fn() -> Result<Setting>) -> Result<()> {
    fence::guardian::serve(journal, async |journal: &Journal| {
        before_resume(&setting()?, journal).await
    })
    .await
}

async fn before_resume(setting: &Setting, journal: &Journal) -> Result<()> {
    match &journal.restore {
        Some(key) => undo::undo(setting, key).await,
        None => Ok(()),
    }
}

/// Clears the repository's leftovers and what dead restores built, where nobody works.
async fn clear(setting: &Setting, recovery: &mut Recovery) -> Result<()> {
    clear_scratch(&setting.config.state.dir);
    let repository = match open_repository(setting) {
        Ok(repository) => repository,
        Err(e) if e.code() == Code::RepositoryNotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let lock = match backup::lock(setting, &repository, LockMode::Exclusive).await {
        Ok(lock) => lock,
        // Another backstop is at work: its leftovers are not left over.
        Err(e) if e.code() == Code::Locked => return Ok(()),
        Err(e) => return Err(e),
    };
    for path in repository.clear_leftovers(&lock)? {
        recovery.done.push(format!("removed {path}"));
    }
    let mut session = Catalog::of(&setting.config).session(&setting.progress)?;
    // First: a backup that was published before its backstop died is none that failed.
    session.reconcile(&repository, &setting.progress)?;
    for id in session.fail_interrupted()? {
        recovery.done.push(format!("backup {} is marked as failed", id.short()));
    }
    drop(session);
    for mut restore in RestoreRecord::all(&setting.config.state.dir)? {
        if matches!(restore.stage, Stage::Building | Stage::Abandoned) && !restore.is_removed() {
            match remove_built(setting, &mut restore).await {
                Ok(()) => recovery.done.push(format!("removed what restore {} built", restore.key)),
                Err(e) => recovery.failed.push(e.to_string()),
            }
        }
    }
    Ok(())
}

/// Removes what a restore built that never became live, and records that.
pub(super) async fn remove_built(setting: &Setting, restore: &mut RestoreRecord) -> Result<()> {
    let reaches = undo::reach_all(setting, restore).await?;
    let reaches: Vec<&Reach> = reaches.iter().collect();
    undo::remove_built(restore, &reaches).await?;
    restore.trees.clear();
    restore.databases.clear();
    restore.save(&setting.config.state.dir, Stage::Abandoned)
}

fn note(setting: &Setting, recovery: &Recovery) {
    let detail = serde_json::to_value(recovery).unwrap_or_default();
    let written =
        Catalog::of(&setting.config).session(&setting.progress).and_then(|mut session| {
            session.record_event(&Event::now(EventName::Recovered, None, detail))
        });
    if let Err(e) = written {
        setting.progress.warn(e.code(), e.to_string());
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.done.is_empty() && self.failed.is_empty() {
            return writeln!(f, "Nothing to recover.");
        }
        for line in &self.done {
            writeln!(f, "{line}")?;
        }
        for line in &self.failed {
            writeln!(f, "FAILED: {line}")?;
        }
        Ok(())
    }
}
