//! One attempt at a checkpoint, as its journal and `--json` tell of it.

use super::Wish;
use crate::backup::readiness::Found;
use crate::catalog::BackupRecord;
use crate::clock;
use crate::config::Config;
use crate::error::{Code, Error};
use crate::host;
use crate::progress::Warning;
use crate::repository::BackupId;
use crate::repository::manifest::{Lacking, ReadinessLevel};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The most characters of a phase that is kept, which may be no phase at all.
const KEPT: usize = 200;

/// How a checkpoint was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By its phase: what fails is a failure.
    Plain,
    /// By a bootstrap that goes on whatever happens.
    Auto,
    /// By hand, later.
    Manual,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// There is a backup of the whole stack.
    Created,
    /// There is a backup of what was there.
    Partial,
    /// Nothing was begun, since there was nothing to take or no place for it.
    Skipped,
    /// What was begun failed.
    Failed,
}

impl Outcome {
    /// The outcome as messages and JSON write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Partial => "partial",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// One attempt at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The phase.
    pub phase: String,
    /// When it began, UTC.
    pub at: Timestamp,
    /// On which host.
    pub host: String,
    /// Of which stack; none where no config told.
    pub stack: Option<String>,
    /// The state directory that the config names. The attempt may be noted elsewhere, and two
    /// stacks of a host may have one name.
    pub state_dir: Option<PathBuf>,
    /// How it was asked for.
    pub mode: Mode,
    /// What came of it.
    pub outcome: Outcome,
    /// How much of what the config names was there.
    pub level: ReadinessLevel,
    /// The id of the backup; none where there is none.
    pub backup: Option<BackupId>,
    /// What was not there, or failed.
    pub lacking: Vec<Lacking>,
    /// What was put right before, as sentences.
    pub repaired: Vec<String>,
}

impl Attempt {
    /// One that begins.
    pub(super) fn new(phase: &str, mode: Mode, config: Option<&Config>) -> Self {
        let config = config.filter(|config| !config.is_unknown());
        Self {
            phase: phase.chars().take(KEPT).collect(),
            at: clock::now(),
            host: host::name(),
            stack: config.map(|config| config.stack.name.clone()),
            state_dir: config.map(|config| config.state.dir.clone()),
            mode,
            outcome: Outcome::Failed,
            level: ReadinessLevel::NotReady,
            backup: None,
            lacking: Vec::new(),
            repaired: Vec::new(),
        }
    }

    /// One that was passed by, since backups are turned off.
    pub fn disabled(phase: &str, mode: Mode, config: Option<&Config>) -> Self {
        Self::new(phase, mode, config).skipped(&Found::disabled())
    }

    /// One that begins as it is wished.
    pub(super) fn of(wish: &Wish, config: &Config) -> Self {
        Self::new(&wish.phase.to_string(), wish.mode, Some(config))
    }

    /// The same of a plain checkpoint that failed.
    pub fn of_failure(wish: &Wish, config: &Config, error: &Error) -> Self {
        Self::of(wish, config).failed(ReadinessLevel::NotReady, &[], error)
    }

    pub(super) fn skipped(mut self, found: &Found) -> Self {
        (self.outcome, self.level) = (Outcome::Skipped, found.level());
        self.lacking = found.record().lacking;
        self
    }

    pub(super) fn failed(mut self, level: ReadinessLevel, lacking: &[Lacking], e: &Error) -> Self {
        (self.outcome, self.level) = (Outcome::Failed, level);
        self.lacking = lacking.to_vec();
        self.lacking.push(Lacking::new("checkpoint", e));
        self
    }

    /// With the backup that was taken, and what that says of itself.
    pub(super) fn created(mut self, record: &BackupRecord) -> Self {
        self.backup = Some(record.id.clone());
        if let Some(readiness) = &record.readiness {
            (self.level, self.lacking) = (readiness.level, readiness.lacking.clone());
        }
        let missing = record.warnings.iter().filter(|warning| warning.code == Code::Degraded);
        let missing: Vec<Lacking> = missing.map(of_warning).collect();
        let is_whole = self.level != ReadinessLevel::NotReady && missing.is_empty();
        self.outcome = if is_whole { Outcome::Created } else { Outcome::Partial };
        self.lacking.extend(missing);
        self
    }

    /// Adds something that is lacking after all.
    pub(super) fn lack(&mut self, level: ReadinessLevel, lacking: Lacking) {
        if self.level == ReadinessLevel::Full {
            self.level = level;
        }
        if !self.lacking.iter().any(|known| known.subject == lacking.subject) {
            self.lacking.push(lacking);
        }
    }

    /// Notes what was put right, among the warnings that were seen. A catalog says by itself
    /// that it was damaged, and that a new one is built.
    pub(super) fn note_repairs(&mut self, seen: &[Warning]) {
        let is_repair = |it: &&Warning| [Code::Repaired, Code::CatalogFailed].contains(&it.code);
        self.repaired = seen.iter().filter(is_repair).map(|it| it.message.clone()).collect();
    }

    /// Whether less was done than was asked. Backups that are turned off are none.
    pub fn is_degraded(&self) -> bool {
        self.level != ReadinessLevel::Disabled
            && (self.outcome != Outcome::Created || !self.lacking.is_empty())
    }

    /// The attempt in one line.
    pub fn line(&self) -> String {
        let backup = self.backup.as_ref().map(|id| format!(" {}", id.short())).unwrap_or_default();
        let head = format!(
            "checkpoint {}: {}{backup} ({})",
            self.phase,
            self.outcome.as_str(),
            self.level.as_str()
        );
        let why: Vec<&str> = self.lacking.iter().map(|one| one.message.as_str()).collect();
        let why = why.join("; ");
        let text = if why.is_empty() { head } else { format!("{head}: {why}") };
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn of_warning(warning: &Warning) -> Lacking {
    Lacking {
        subject: "backup".into(),
        code: warning.code.as_str().into(),
        message: warning.message.clone(),
    }
}
