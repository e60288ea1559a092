//! How upgrades are guarded: `[guard]`.

use super::Timeout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How upgrades are guarded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// For how long no rule of retention takes the backup before an upgrade.
    #[serde(default = "Guard::default_keep")]
    pub keep: Timeout,
    /// How long the command of an upgrade may take before it is ended.
    #[serde(default = "Guard::default_timeout")]
    pub timeout: Timeout,
}

impl Default for Guard {
    fn default() -> Self {
        Self { keep: Self::default_keep(), timeout: Self::default_timeout() }
    }
}

impl Guard {
    fn default_keep() -> Timeout {
        Timeout::seconds(7 * 24 * 60 * 60)
    }

    fn default_timeout() -> Timeout {
        Timeout::seconds(2 * 60 * 60)
    }
}
