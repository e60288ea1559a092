//! What a runbook may say. `docs/runbooks/format.md` explains every key.

mod call;
mod parameter;
mod step;

pub use call::{Call, ProbeCall};
pub use parameter::{Parameter, ParameterType, SecretSource};
pub use step::{Approval, Item, OnFailure, Retry, Step};

use crate::config::Timeout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One procedure: what it is for, what it needs, and its steps in order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// By which name it is run: lower-case letters, digits and hyphens.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9-]{0,63}$"))]
    pub name: String,
    /// The kind of disaster it recovers from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disaster: Option<String>,
    /// One line for lists.
    pub title: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// What must be there before it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: Vec<String>,
    /// How long it usually takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_duration: Option<Timeout>,
    /// What the recovery has to achieve.
    #[serde(default)]
    pub objectives: Objectives,
    /// What is gone afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destroys: Vec<String>,
    /// What nobody but a person can do or decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_from_a_person: Vec<String>,
    /// What may or must be given with `--param NAME=VALUE`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
    /// The steps, in the order in which they are done.
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
    /// Steps that are done when the run has failed, whatever was undone before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rescue: Vec<Step>,
    /// The ids of those steps for whose `for_each` others were made, where that is done.
    #[serde(skip)]
    pub repeated: Vec<String>,
}

/// The parameters that say when the disaster happened; the first that is given counts.
pub(super) const INCIDENT: [&str; 2] = ["incident_at", "compromised_since"];

/// How fast the application has to be back, and how much of its newest data may be lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Recovery time objective: how long the application may be away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<Timeout>,
    /// Recovery point objective: of how long a time before the disaster data may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Timeout>,
}

impl Runbook {
    /// The steps and then those of the rescue.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(&self.rescue)
    }

    /// The step of this id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.all_steps().find(|step| step.id == id)
    }
}

/// A name as templates write it: hyphens would be read as minus.
pub(super) fn template_name(name: &str) -> String {
    name.replace('-', "_")
}
