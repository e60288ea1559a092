//! What a journal says about its run.

use super::entry::{Created, Entry, Group, Line, StepState, Verdict, Who};
use super::record::{ApprovalRecord, AttemptRecord, UnitRecord, WaitingFor};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Ended {
    /// Every critical step is done.
    Succeeded,
    /// A critical step is not.
    Failed,
    /// A person ended it.
    Aborted,
}

/// The state of a run as people and programs see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// A runner works on it.
    Running,
    /// A person has to agree to a step, or to do it.
    Waiting,
    /// It stands still until it is resumed.
    Paused,
    /// It ended well.
    Succeeded,
    /// It failed.
    Failed,
    /// A person ended it.
    Aborted,
}

impl State {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Waiting => "WAITING",
            Self::Paused => "PAUSED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
        }
    }
}

/// What a run is at.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Its steps.
    Forward,
    /// It has failed, and what was done is undone.
    RollingBack,
    /// It has failed, and its rescue is done.
    Rescuing,
    /// It has ended.
    Ended(Ended),
}

/// Everything that a journal says.
#[derive(Debug, Clone)]
pub struct RunState {
    /// With what the run was begun.
    pub created: Created,
    /// When.
    pub started_at: Timestamp,
    /// When the last line was written.
    pub last_at: Timestamp,
    /// The number of the last runner; 0 before the first.
    pub epoch: u64,
    /// The process of the last runner, and its host.
    pub runner: Option<(i32, Who)>,
    /// What it is at.
    pub phase: Phase,
    /// The units by their names.
    pub units: BTreeMap<String, UnitRecord>,
    /// The units in the order in which they were first mentioned.
    pub order: Vec<String>,
    /// Steps whose way back was registered, in order.
    pub compensations: Vec<String>,
    /// Why it stands still; none while a runner works.
    pub paused: Option<(Option<String>, String)>,
    /// Somebody wants it to end; whether what was done is undone, and why.
    pub abort: Option<(Who, String, bool)>,
    /// Why it failed, and at which step.
    pub failure: Option<(Option<String>, Value)>,
    /// A person wanted it to end.
    pub aborted: bool,
    /// Who decided what.
    pub approvals: Vec<ApprovalRecord>,
    /// Process groups that may still live, with the keys of their attempts.
    pub groups: Vec<(Group, String)>,
    /// How many lines.
    pub lines: u64,
}

impl RunState {
    /// The state after the first line; none where that is another.
    pub fn begin(first: &Line) -> Option<Self> {
        let Entry::RunCreated(created) = &first.entry else { return None };
        Some(Self {
            created: (**created).clone(),
            started_at: first.at,
            last_at: first.at,
            epoch: 0,
            runner: None,
            phase: Phase::Forward,
            units: BTreeMap::new(),
            order: Vec::new(),
            compensations: Vec::new(),
            paused: None,
            abort: None,
            failure: None,
            aborted: false,
            approvals: Vec::new(),
            groups: Vec::new(),
            lines: 1,
        })
    }

    /// What became of a unit so far.
    pub fn unit(&self, name: &str) -> UnitRecord {
        self.units.get(name).cloned().unwrap_or_default()
    }

    /// Where a unit stands.
    pub fn state_of(&self, name: &str) -> StepState {
        self.units.get(name).map(|unit| unit.state).unwrap_or_default()
    }

    /// The keys of attempts of which no outcome is known.
    pub fn open_keys(&self) -> BTreeSet<String> {
        let attempts = self.units.values().flat_map(|unit| &unit.attempts);
        let open = attempts.filter(|attempt| attempt.ended_at.is_none());
        let open = open.map(|attempt| attempt.key.clone());
        open.chain(self.groups.iter().map(|(_, key)| key.clone())).collect()
    }

    /// What attempts of any unit noted under this name.
    pub fn noted(&self, name: &str) -> impl Iterator<Item = &Value> {
        let attempts = self.units.values().flat_map(|unit| &unit.attempts);
        attempts.filter_map(move |attempt| attempt.notes.get(name))
    }

    /// The state as people see it; `alive` says whether a runner works on it.
    pub fn state(&self, alive: bool) -> State {
        let waiting = || self.units.values().any(|unit| unit.state == StepState::Waiting);
        match self.phase {
            Phase::Ended(Ended::Succeeded) => State::Succeeded,
            Phase::Ended(Ended::Failed) => State::Failed,
            Phase::Ended(Ended::Aborted) => State::Aborted,
            _ if waiting() => State::Waiting,
            _ if alive && self.paused.is_none() => State::Running,
            _ => State::Paused,
        }
    }

    /// Whether the run has ended.
    pub fn ended(&self) -> Option<Ended> {
        match self.phase {
            Phase::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    fn entry(&mut self, name: &str) -> &mut UnitRecord {
        if !self.units.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.units.entry(name.to_owned()).or_default()
    }

    /// Takes in one more line.
    pub fn apply(&mut self, line: &Line) {
        self.lines = line.seq;
        self.last_at = line.at;
        match &line.entry {
            Entry::RunCreated(_) => {}
            Entry::RunnerBegan { pid, who, .. } => {
                self.epoch = line.epoch;
                self.runner = Some((*pid, who.clone()));
                self.paused = None;
            }
            Entry::StepSkipped { step, reason } => {
                let unit = self.entry(step);
                unit.state = StepState::Skipped;
                unit.reason = Some(reason.clone());
            }
            Entry::ApprovalAsked { step, prompt, shown } => {
                let unit = self.entry(step);
                unit.state = StepState::Waiting;
                unit.asked = Some(WaitingFor { prompt: prompt.clone(), shown: shown.clone() });
            }
            Entry::Approved { step, who, means, shown } => {
                let unit = self.entry(step);
                unit.state = StepState::Pending;
                unit.approved = true;
                self.approvals.push(ApprovalRecord {
                    step: step.clone(),
                    at: line.at,
                    who: who.clone(),
                    means: *means,
                    shown: shown.clone(),
                    verdict: None,
                });
            }
            Entry::CompensationRegistered { step } => {
                self.entry(step).compensable = true;
                self.compensations.push(step.clone());
            }
            Entry::AttemptStarted { .. }
            | Entry::Noted { .. }
            | Entry::ChildStarted { .. }
            | Entry::ChildEnded { .. }
            | Entry::AttemptEnded { .. }
            | Entry::AttemptLost { .. } => self.apply_attempt(line),
            Entry::UnitFailed { unit, error } => {
                let unit = self.entry(unit);
                unit.state = StepState::Failed;
                unit.error = Some(error.clone());
            }
            Entry::Resolved { .. } => self.apply_resolved(line),
            Entry::Paused { step, reason } => self.paused = Some((step.clone(), reason.clone())),
            Entry::AbortRequested { who, reason, rollback } => {
                self.abort = Some((who.clone(), reason.clone(), *rollback));
            }
            Entry::Failing { step, error, rollback, aborted } => {
                self.failure = Some((step.clone(), error.clone()));
                self.aborted = *aborted;
                self.phase = if *rollback { Phase::RollingBack } else { Phase::Rescuing };
            }
            Entry::RolledBack => self.phase = Phase::Rescuing,
            Entry::RunEnded { state, .. } => {
                self.phase = Phase::Ended(*state);
                self.paused = None;
            }
        }
    }

    fn apply_attempt(&mut self, line: &Line) {
        match &line.entry {
            Entry::AttemptStarted { unit, attempt, key, plan } => {
                let unit = self.entry(unit);
                unit.state = StepState::Started;
                unit.retry_at = None;
                unit.error = None;
                unit.attempts.push(AttemptRecord {
                    number: *attempt,
                    state: StepState::Started,
                    key: key.clone(),
                    plan: plan.clone(),
                    started_at: line.at,
                    ended_at: None,
                    error: None,
                    notes: BTreeMap::new(),
                });
            }
            Entry::Noted { unit, attempt, name, value } => {
                let unit = self.units.get_mut(unit);
                if let Some(attempt) = unit.and_then(|unit| unit.attempt(*attempt)) {
                    attempt.notes.insert(name.clone(), value.clone());
                }
            }
            Entry::ChildStarted { unit, attempt, group } => {
                let key = format!("{}/{unit}/{attempt}", self.created.run);
                self.groups.push((*group, key));
            }
            Entry::ChildEnded { group } => self.groups.retain(|(known, _)| known != group),
            Entry::AttemptLost { unit, attempt } => {
                let unit = self.entry(unit);
                unit.state = StepState::Unknown;
                if let Some(attempt) = unit.attempt(*attempt) {
                    attempt.state = StepState::Unknown;
                }
            }
            Entry::AttemptEnded { unit, attempt, state, outputs, error, retry_at } => {
                let unit = self.entry(unit);
                if let Some(attempt) = unit.attempt(*attempt) {
                    attempt.state = *state;
                    attempt.ended_at = Some(line.at);
                    attempt.error.clone_from(error);
                }
                unit.error.clone_from(error);
                unit.retry_at = *retry_at;
                let interrupted =
                    error.as_ref().is_some_and(|error| error["code"] == "interrupted");
                match state {
                    StepState::Succeeded => unit.outputs = outputs.clone(),
                    StepState::Unknown if interrupted => {}
                    _ => unit.failures += 1,
                }
                unit.state = match (state, retry_at) {
                    (StepState::Failed, Some(_)) => StepState::Pending,
                    _ => *state,
                };
            }
            _ => {}
        }
    }

    fn apply_resolved(&mut self, line: &Line) {
        let Entry::Resolved { unit, verdict, means, reason, who, outputs } = &line.entry else {
            return;
        };
        let name = unit.clone();
        let unit = self.entry(unit);
        unit.reason = Some(reason.clone()).filter(|reason| !reason.is_empty());
        unit.retry_at = None;
        // A person may know before any runner has asked.
        if let Some(last) = unit.attempts.last_mut()
            && last.state == StepState::Started
        {
            last.state = StepState::Unknown;
        }
        unit.state = match verdict {
            Verdict::Done => {
                unit.outputs = outputs.clone();
                unit.error = None;
                StepState::Succeeded
            }
            Verdict::Retry => StepState::Pending,
            Verdict::Skip => StepState::Skipped,
            Verdict::Failed => StepState::Failed,
        };
        if let Some(who) = who {
            unit.failures = 0;
            self.approvals.push(ApprovalRecord {
                step: name,
                at: line.at,
                who: who.clone(),
                means: *means,
                shown: reason.clone(),
                verdict: Some(*verdict),
            });
        }
    }
}
