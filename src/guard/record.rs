//! A guard, read from the journals of its runs.

use super::phase::{GUARD, PHASE, Phase};
use crate::error::{Code, Error, Result};
use crate::runbook::{Ended, Entry, Run, Store};
use serde::Serialize;

/// The label of a guard that does not go back by itself.
pub(super) const NO_ROLLBACK: &str = "no-rollback";
/// The step that runs the command.
const UPGRADE: &str = "upgrade";
/// The step that takes the backup.
const BACK_UP: &str = "back-up";

/// A guard and its runs.
#[derive(Debug)]
pub struct Guard {
    /// Its id.
    pub id: String,
    /// The run that took the backup.
    pub protect: Option<Run>,
    /// The run that ran the command.
    pub upgrade: Option<Run>,
    /// The runs that went back, the last one last.
    pub rollbacks: Vec<Run>,
    /// The run that closed it.
    pub close: Option<Run>,
}

/// Where a guard stands, as its journals say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The backup is being taken.
    Protecting,
    /// The backup is there, and the command has not begun.
    Protected,
    /// The command has begun, and whether it went well is not known.
    Upgrading,
    /// It failed, and going back has not come to an end.
    RollingBack,
    /// It failed, and nothing has begun to go back.
    Failed,
    /// It was ended before its command began: nothing has changed.
    GivenUp,
    /// The upgrade is made.
    Upgraded,
    /// It failed, and all is as it was before.
    RolledBack,
    /// It failed, and so did going back.
    RollbackFailed,
    /// It failed, and somebody has brought it to its end by hand.
    Closed,
}

impl Standing {
    /// As people and programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protecting => "protecting",
            Self::Protected => "protected",
            Self::Upgrading => "upgrading",
            Self::RollingBack => "rolling_back",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
            Self::Upgraded => "upgraded",
            Self::RolledBack => "rolled_back",
            Self::RollbackFailed => "rollback_failed",
            Self::Closed => "closed",
        }
    }
}

impl Guard {
    /// Every guard, newest first. Runs that cannot be read are told to `complain`.
    ///
    /// # Errors
    /// Where the runs cannot be listed.
    pub fn all(store: &Store, complain: impl FnMut(Error)) -> Result<Vec<Self>> {
        let mut guards: Vec<Self> = Vec::new();
        // Oldest first: a guard's first run names its place.
        for run in store.all(complain)?.into_iter().rev() {
            let labels = &run.state.created.labels;
            let (Some(id), Some(phase)) = (labels.get(GUARD).cloned(), labels.get(PHASE).cloned())
            else {
                continue;
            };
            let place = guards.iter().position(|guard| guard.id == id).unwrap_or_else(|| {
                guards.push(Self {
                    id,
                    protect: None,
                    upgrade: None,
                    rollbacks: Vec::new(),
                    close: None,
                });
                guards.len() - 1
            });
            let guard = &mut guards[place];
            match phase.as_str() {
                it if it == Phase::Protect.as_str() => guard.protect = Some(run),
                it if it == Phase::Upgrade.as_str() => guard.upgrade = Some(run),
                it if it == Phase::Close.as_str() => guard.close = Some(run),
                _ => guard.rollbacks.push(run),
            }
        }
        guards.reverse();
        Ok(guards)
    }

    /// The guard that `wanted` names by a unique beginning or end of its id.
    ///
    /// # Errors
    /// `run_not_found`; `usage` where it fits several.
    pub fn find(store: &Store, wanted: &str) -> Result<Self> {
        let missing = |cause: &str| {
            Error::new(Code::RunNotFound, "find guard", wanted)
                .cause(cause)
                .hint("`backstop guard list` shows them")
        };
        let fits = |guard: &Self| {
            wanted == "latest" || guard.id.starts_with(wanted) || guard.id.ends_with(wanted)
        };
        let mut guards = Self::all(store, |_| {})?.into_iter().filter(fits);
        match (guards.next(), guards.next()) {
            (None, _) => Err(missing("there is none of this id")),
            (Some(first), Some(_)) if wanted != "latest" && first.id != wanted => {
                Err(Error::new(Code::Usage, "find guard", wanted)
                    .cause("several fit")
                    .hint("give more of its id; `backstop guard list` shows them"))
            }
            (Some(first), _) => Ok(first),
        }
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        let ended = |run: &Option<Run>| run.as_ref().and_then(|run| run.state.ended());
        if ended(&self.close).is_some() {
            return Standing::Closed;
        }
        if let Some(last) = self.rollbacks.last() {
            return match last.state.ended() {
                None => Standing::RollingBack,
                Some(Ended::Succeeded) => Standing::RolledBack,
                Some(_) => Standing::RollbackFailed,
            };
        }
        match (&self.upgrade, ended(&self.upgrade)) {
            (Some(_), Some(Ended::Succeeded)) => Standing::Upgraded,
            (Some(_), None) if self.has_begun() => Standing::Upgrading,
            (Some(_), Some(_)) if self.has_begun() => Standing::Failed,
            // What protected it is undone before it is given up.
            (Some(_), Some(_)) if ended(&self.protect) != Some(Ended::Succeeded) => {
                Standing::GivenUp
            }
            (Some(_), _) => Standing::Protected,
            (None, _) => match ended(&self.protect) {
                None => Standing::Protecting,
                Some(Ended::Succeeded) => Standing::Protected,
                Some(_) => Standing::GivenUp,
            },
        }
    }

    /// Whether nothing is left to do, as far as nobody asks for more.
    pub fn is_over(&self) -> bool {
        match self.standing() {
            Standing::GivenUp | Standing::Upgraded | Standing::RolledBack | Standing::Closed => {
                true
            }
            Standing::Failed => self.stays_failed() || self.backup().is_none(),
            _ => false,
        }
    }

    /// Whether the command has begun: before that, nothing has changed.
    pub fn has_begun(&self) -> bool {
        let began =
            |entry: &Entry| matches!(entry, Entry::ChildStarted { unit, .. } if unit == UPGRADE);
        self.upgrade.iter().flat_map(|run| &run.lines).any(|line| began(&line.entry))
    }

    /// Whether the command was cut off with its guard.
    pub fn was_cut_off(&self) -> bool {
        let upgrade = self.upgrade.as_ref();
        upgrade.is_some_and(|run| run.state.unit(UPGRADE).outputs["cut_off"] == true)
    }

    /// Whether it does not go back by itself.
    pub fn stays_failed(&self) -> bool {
        self.runs().any(|run| run.state.created.labels.contains_key(NO_ROLLBACK))
    }

    /// The id of the backup before it.
    pub fn backup(&self) -> Option<String> {
        let taken = self.protect.as_ref().filter(|run| run.state.ended() == Some(Ended::Succeeded));
        let id = |run: &Run| run.state.unit(BACK_UP).outputs["id"].as_str().map(str::to_owned);
        taken.and_then(id)
    }

    /// Its runs, in the order in which they were begun.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.protect.iter().chain(&self.upgrade).chain(&self.rollbacks).chain(&self.close)
    }
}
