//! How much of what the config names was there when a backup was taken.

use crate::error::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much of what the config names is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// The level.
    pub level: ReadinessLevel,
    /// What is not there.
    pub lacking: Vec<Lacking>,
}

impl Readiness {
    /// That of a backup whose copies are left to a later sync on purpose.
    pub fn copies_left_alone() -> Self {
        Self { level: ReadinessLevel::LocalOnly, lacking: Vec::new() }
    }
}

/// How far what is not there lets backups go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReadinessLevel {
    /// All is there.
    Full,
    /// A copy of the repository cannot be reached, or is left alone.
    LocalOnly,
    /// The config, the repository, or something that is to be backed up is not there.
    NotReady,
    /// Backups are turned off.
    Disabled,
}

impl ReadinessLevel {
    /// The level as messages and JSON write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::LocalOnly => "local-only",
            Self::NotReady => "not-ready",
            Self::Disabled => "disabled",
        }
    }
}

/// Something that is not there, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// What, as `database shop` or `copy offsite`.
    pub subject: String,
    /// The stable code of the failure.
    pub code: String,
    /// The failure, as people read it.
    pub message: String,
}

impl Lacking {
    /// Of `subject`, because of `error`.
    pub fn new(subject: impl Into<String>, error: &Error) -> Self {
        let code = error.code().as_str().to_owned();
        Self { subject: subject.into(), code, message: error.to_string() }
    }
}
