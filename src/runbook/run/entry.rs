//! The lines of a journal. `docs/runbooks/format.md`, "The journal", describes them.

use crate::host;
use crate::runbook::parameters::Parameters;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One line: what happened, when, and which runner wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its place in the journal, from 1 without gaps.
    pub seq: u64,
    /// When, UTC.
    pub at: Timestamp,
    /// The number of the runner that wrote it, or that a person's decision is meant for.
    pub epoch: u64,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What happened. A *unit* is a step, or a part of one that is done by itself: `STEP.compensate`,
/// `STEP.rescue.1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry {
    /// The run was begun. Always the first line.
    RunCreated(Box<Created>),
    /// A runner took the run over; everything after it carries its epoch.
    RunnerBegan {
        /// Its process.
        pid: i32,
        /// On which host, as whom.
        who: Who,
        /// Its version.
        version: String,
    },
    /// A step's condition did not hold.
    StepSkipped {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// A person has to agree before the step, or to do it.
    ApprovalAsked {
        /// The step.
        step: String,
        /// The question.
        prompt: String,
        /// What would be done, as it was shown.
        shown: String,
    },
    /// Somebody agreed.
    Approved {
        /// The step.
        step: String,
        /// Who.
        who: Who,
        /// How.
        means: Means,
        /// What was shown.
        shown: String,
    },
    /// The step can be undone from now on.
    CompensationRegistered {
        /// The step.
        step: String,
    },
    /// The intent: the unit is about to act.
    AttemptStarted {
        /// The unit.
        unit: String,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The idempotency key.
        key: String,
        /// What is about to be done.
        plan: String,
    },
    /// By what a probe can recognise the effect.
    Noted {
        /// The unit.
        unit: String,
        /// The attempt.
        attempt: u32,
        /// What it is.
        name: String,
        /// Its value.
        value: Value,
    },
    /// A process group exists, and does nothing before this line is durable.
    ChildStarted {
        /// The unit.
        unit: String,
        /// The attempt.
        attempt: u32,
        /// The group.
        group: Group,
    },
    /// The process group has ended.
    ChildEnded {
        /// The group.
        group: Group,
    },
    /// The outcome, with the outputs.
    AttemptEnded {
        /// The unit.
        unit: String,
        /// The attempt.
        attempt: u32,
        /// SUCCEEDED, FAILED or UNKNOWN.
        state: StepState,
        /// What later steps may use.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        outputs: Value,
        /// Why it failed, or why nobody knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
        /// When it is tried again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// The runner of the attempt died: what became of it is unknown.
    AttemptLost {
        /// The unit.
        unit: String,
        /// The attempt.
        attempt: u32,
    },
    /// The unit failed before it could act.
    UnitFailed {
        /// The unit.
        unit: String,
        /// Why.
        error: Value,
    },
    /// What is to become of a unit that failed, or of which nobody knows.
    Resolved {
        /// The unit.
        unit: String,
        /// The answer.
        verdict: Verdict,
        /// Who or what gave it.
        means: Means,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// The person, where it was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<Who>,
        /// What later steps may use, where it is done.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        outputs: Value,
    },
    /// The run waits for a person, or was interrupted.
    Paused {
        /// The step at which it stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// Why.
        reason: String,
    },
    /// Somebody asked to end the run.
    AbortRequested {
        /// Who.
        who: Who,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// Whether what was done is undone.
        rollback: bool,
    },
    /// The run has failed; what follows are compensations and the rescue.
    Failing {
        /// The step that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// Why.
        error: Value,
        /// Whether what was done is undone.
        rollback: bool,
        /// Whether a person wanted it.
        aborted: bool,
    },
    /// All that was to be undone is.
    RolledBack,
    /// The run has ended. The last line, unless what it did is undone later.
    RunEnded {
        /// How.
        state: super::state::Ended,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
    },
}

/// With what a run was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// The run's id.
    pub run: String,
    /// The runbook's name.
    pub runbook: String,
    /// Its title.
    pub title: String,
    /// Where its text came from.
    pub source: String,
    /// The SHA-256 of its text, which lies beside the journal.
    pub sha256: String,
    /// What it was given.
    pub parameters: Parameters,
    /// What it works on: no two runs do at the same time.
    pub target: String,
    /// The stack's name.
    pub stack: String,
    /// The version that began it.
    pub version: String,
    /// Who began it, and where.
    pub who: Who,
    /// Further words that programs put beside it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A person or program: the user and the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The user's name, or id where it has no name.
    pub user: String,
    /// The host's name.
    pub host: String,
}

impl Who {
    /// The user of this process. `sudo` and the like keep the name of the person behind it.
    pub fn current() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let own = || login_name(rustix::process::getuid().as_raw());
        let name = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(own);
        let user = match variable("SUDO_USER") {
            Some(person) if person != name => format!("{person} (as {name})"),
            _ => name,
        };
        Self { user, host: host::name() }
    }
}

/// The name of a user of this host (`/etc/passwd`), or the id.
fn login_name(uid: u32) -> String {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let id = uid.to_string();
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(id.as_str())).then(|| name.to_owned())
    };
    text.lines().find_map(of).unwrap_or(id.clone())
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.user, self.host)
    }
}

/// The state of a step, and of an attempt at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StepState {
    /// Not begun, or to be tried again.
    #[default]
    Pending,
    /// A person has to agree, or to do it.
    Waiting,
    /// Begun; nothing is known of its end.
    Started,
    /// Done. It is never done again.
    Succeeded,
    /// Not done.
    Failed,
    /// Left out.
    Skipped,
    /// Begun, and nobody knows whether it was done.
    Unknown,
}

impl StepState {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Waiting => "WAITING",
            Self::Started => "STARTED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What is to become of a unit that failed, or of which nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It counts as done.
    Done,
    /// It is done again.
    Retry,
    /// It is left out.
    Skip,
    /// It counts as failed.
    Failed,
}

/// Who or what decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// Somebody at the terminal of the runner.
    Terminal,
    /// `--yes` on the runner's command line.
    Yes,
    /// A command in another shell.
    Command,
    /// The step's or the action's probe.
    Probe,
    /// It may be done twice.
    Idempotent,
    /// What was done instead.
    Rescue,
    /// Its attempts are used up.
    Exhausted,
}

impl Means {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Yes => "yes",
            Self::Command => "command",
            Self::Probe => "probe",
            Self::Idempotent => "idempotent",
            Self::Rescue => "rescue",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A process group, told from a later one of the same number by when its leader was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its number, which is the process id of its leader.
    pub pgid: i32,
    /// When its leader was started, in clock ticks since the boot (`/proc/PID/stat`, field 22).
    pub started: u64,
}
