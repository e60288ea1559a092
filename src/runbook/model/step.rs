//! One step.

use super::call::{Call, ProbeCall, empty};
use crate::config::Timeout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// One step: an action, and the rules under which it is done, tried again, checked and undone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name in the runbook, in templates (with `_` for `-`) and on the command line.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,63}$"))]
    pub id: String,
    /// One line for people; without it the plan of its action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is done; `docs/runbooks/format.md` lists the actions.
    pub action: String,
    /// The action's parameters; texts may be templates.
    #[serde(default = "empty")]
    pub with: Value,
    /// The step is done once for each name of this list, a template over parameters; templates
    /// know the name as `item`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// The step is skipped unless this expression holds.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Checks that must hold before anything is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preconditions: Vec<Call>,
    /// Whether and when a step that failed is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// After so long the attempt is given up; what became of it is then unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Doing it twice does what doing it once does.
    #[serde(default)]
    pub idempotent: bool,
    /// Tells whether the effect took place, where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeCall>,
    /// Clears away half an effect before the step is done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Call>,
    /// Checks that must still hold whenever the run is resumed after this step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recheck: Vec<Call>,
    /// Checks that must hold after the action, or the step has failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<Call>,
    /// Undoes the step when the run is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensate: Option<Call>,
    /// Somebody has to agree before the step is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// What happens when the step has failed; without it `abort`, or `continue` where it is not
    /// critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// What later steps know of it as `steps.ID.NAME`: expressions over `result`, which is what
    /// the action returned. Without it, all of that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// What is done instead when the step has failed; where that succeeds, so has the step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rescue: Vec<Call>,
    /// Whether the run has failed where this step has.
    #[serde(default = "yes")]
    pub critical: bool,
    /// Once this step has begun, nothing is undone automatically.
    #[serde(default)]
    pub point_of_no_return: bool,
    /// What a person would type to do it without backstop, for the reader.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
    /// For which name it is done, of a step that was made of one with `for_each`.
    #[serde(skip)]
    pub item: Option<Item>,
}

/// One of the names for which a step is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The id of the step with `for_each`.
    pub of: String,
    /// The name.
    pub name: String,
}

impl Step {
    /// What happens when it has failed.
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure.unwrap_or(match self.critical {
            true => OnFailure::Abort,
            false => OnFailure::Continue,
        })
    }
}

fn yes() -> bool {
    true
}

/// Whether and when a step that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How often at most.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub limit: u32,
    /// How long to wait before the first time.
    #[serde(default = "Retry::default_interval")]
    pub interval: Timeout,
    /// By how much each wait is longer than the one before it.
    #[serde(default = "Retry::default_backoff")]
    #[schemars(range(min = 1.0, max = 10.0))]
    pub backoff: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { limit: 0, interval: Self::default_interval(), backoff: Self::default_backoff() }
    }
}

impl Retry {
    /// No wait is longer.
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

    fn default_interval() -> Timeout {
        Timeout::seconds(5)
    }

    fn default_backoff() -> f64 {
        2.0
    }

    /// How long to wait after the failure of attempt `count`, counted from 1; none when it was
    /// the last one.
    pub fn wait_after(&self, count: u32) -> Option<Duration> {
        if count > self.limit {
            return None;
        }
        let factor = self.backoff.powf(f64::from(count.saturating_sub(1)));
        let seconds = self.interval.duration().as_secs_f64() * factor;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Self::LONGEST).min(Self::LONGEST))
    }
}

/// A question that has to be answered before a step is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// What is asked; it may be a template.
    pub prompt: String,
}

/// What happens when a step has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The run ends as failed, after its rescue.
    Abort,
    /// The next step is done.
    Continue,
    /// The run pauses until a person says how to go on.
    Pause,
    /// What was done is undone in reverse order, then the run ends as failed.
    Rollback,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_by_the_factor_and_end_with_the_limit() {
        let retry = Retry { limit: 3, interval: Timeout::seconds(2), backoff: 3.0 };
        let waits: Vec<Option<u64>> =
            (1..=4).map(|count| retry.wait_after(count).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(2), Some(6), Some(18), None]);
        assert_eq!(Retry::default().wait_after(1), None);
        let long = Retry { limit: 1000, interval: Timeout::seconds(2), backoff: 10.0 };
        assert_eq!(long.wait_after(900), Some(Retry::LONGEST));
    }
}
