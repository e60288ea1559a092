//! What became of steps and attempts, and what people decided.

use super::entry::{Means, StepState, Verdict, Who};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingFor {
    /// The question.
    pub prompt: String,
    /// What would be done.
    pub shown: String,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRecord {
    /// From 1.
    pub number: u32,
    /// STARTED, SUCCEEDED, FAILED or UNKNOWN.
    pub state: StepState,
    /// The idempotency key.
    pub key: String,
    /// What was about to be done.
    pub plan: String,
    /// When.
    pub started_at: Timestamp,
    /// When its outcome was known; none where the runner died.
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<Value>,
    /// By what its effect can be recognised.
    pub notes: BTreeMap<String, Value>,
}

/// A decision of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalRecord {
    /// The step.
    pub step: String,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: Who,
    /// How.
    pub means: Means,
    /// What was shown, or the reason that was given.
    pub shown: String,
    /// What was decided, where it was more than to agree.
    pub verdict: Option<Verdict>,
}

impl ApprovalRecord {
    /// What was decided, in a word.
    pub fn decision(&self) -> &'static str {
        match self.verdict {
            None => "approved",
            Some(Verdict::Done) => "done",
            Some(Verdict::Retry) => "retry",
            Some(Verdict::Skip) => "skip",
            Some(Verdict::Failed) => "failed",
        }
    }
}

/// A step, or a part of one that is done by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnitRecord {
    /// Where it stands.
    pub state: StepState,
    /// Every attempt, in order.
    pub attempts: Vec<AttemptRecord>,
    /// What later steps may use.
    pub outputs: Value,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
    /// What a person is asked.
    pub asked: Option<WaitingFor>,
    /// A person agreed.
    pub approved: bool,
    /// Attempts that failed or ran out of time since a person last said "retry".
    pub failures: u32,
    /// Why it failed or was skipped.
    pub error: Option<Value>,
    /// Why it was skipped, or what decided about it.
    pub reason: Option<String>,
    /// Its way back is registered.
    pub compensable: bool,
}

impl UnitRecord {
    /// How long its attempts took, in seconds; one that runs until `now`.
    pub fn seconds(&self, now: Timestamp) -> f64 {
        let lasted = |attempt: &AttemptRecord| {
            let open = attempt.state == StepState::Started;
            let end = attempt.ended_at.unwrap_or(if open { now } else { attempt.started_at });
            end.duration_since(attempt.started_at).as_secs_f64().max(0.0)
        };
        self.attempts.iter().map(lasted).sum()
    }

    pub(super) fn attempt(&mut self, number: u32) -> Option<&mut AttemptRecord> {
        self.attempts.iter_mut().rev().find(|attempt| attempt.number == number)
    }
}
