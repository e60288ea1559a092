//! An action with its parameters, where no whole step is needed.

use crate::config::Timeout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One action with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The action's name.
    pub action: String,
    /// Its parameters; texts may be templates.
    #[serde(default = "empty")]
    pub with: Value,
    /// After so long it is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Doing it twice does what doing it once does, so it is simply done again where nobody
    /// knows whether it took place.
    #[serde(default)]
    pub idempotent: bool,
}

/// The check that tells whether a step's effect took place: it did where this succeeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeCall {
    /// The action's name.
    pub action: String,
    /// Its parameters; texts may be templates.
    #[serde(default = "empty")]
    pub with: Value,
    /// After so long it is given up, and the run pauses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Where the effect did not take place: whether a part of it did, so that `cleanup` has to
    /// be done first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Call>,
}

impl ProbeCall {
    /// The check itself.
    pub fn call(&self) -> Call {
        Call {
            action: self.action.clone(),
            with: self.with.clone(),
            timeout: self.timeout,
            idempotent: true,
        }
    }
}

pub(super) fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}
