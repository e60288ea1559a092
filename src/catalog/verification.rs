//! What the last verification of a backup found.

use crate::repository::Damage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How thoroughly a backup is verified.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum VerifyLevel {
    /// The manifest, which files there are with which sizes, and the earlier archives that are
    /// needed. Reads no content.
    Quick,
    /// And every stored byte against SHA256SUMS.
    #[default]
    Full,
    /// And everything is decompressed: every file against the index, every dump to its end.
    Deep,
}

impl VerifyLevel {
    /// The level as flags and JSON write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Deep => "deep",
        }
    }
}

/// How much of a backup the samples have read so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    /// Stored bytes that some sample or verification has read.
    pub covered_bytes: u64,
    /// All stored bytes.
    pub total_bytes: u64,
    /// When those that were read longest ago were read; none where some never were.
    pub oldest: Option<Timestamp>,
}

/// What the last verification of a backup found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastVerification {
    /// When it ended, UTC.
    pub at: Timestamp,
    /// How thorough it was.
    #[serde(default)]
    pub level: VerifyLevel,
    /// Of a sample, how much has been read so far; none where all was read at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<Sampled>,
    /// Whether nothing was damaged.
    pub ok: bool,
    /// What was damaged.
    pub damages: Vec<Damage>,
}

impl LastVerification {
    /// Whether every stored byte has been read and found as it was written.
    pub(super) fn vouches_for_every_byte(&self) -> bool {
        let all = |sampled: &Sampled| sampled.covered_bytes == sampled.total_bytes;
        self.ok && self.level >= VerifyLevel::Full && self.sampled.as_ref().is_none_or(all)
    }

    /// Whether it looked at less than `other` did.
    pub(super) fn is_weaker_than(&self, other: &Self) -> bool {
        self.sampled.is_some() || self.level < other.level
    }
}
