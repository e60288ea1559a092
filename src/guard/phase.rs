//! The runbooks of a guard.

use crate::error::Result;
use crate::runbook::{Checked, Registry, check};

/// The label of a run that names the guard to which it belongs, as that of its backup does.
pub(super) use crate::retention::GUARD_LABEL as GUARD;
/// The label that names the run's part in it.
pub(super) const PHASE: &str = "phase";

/// What a run does for its guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It takes the backup.
    Protect,
    /// It runs the command, and sees whether the application works.
    Upgrade,
    /// It goes back.
    Rollback,
    /// It says that somebody has brought the guard to its end by hand.
    Close,
}

impl Phase {
    /// As the label has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protect => "protect",
            Self::Upgrade => "upgrade",
            Self::Rollback => "rollback",
            Self::Close => "close",
        }
    }

    /// Its runbook.
    ///
    /// # Errors
    /// `runbook_invalid`, which a test rules out.
    pub fn runbook(self, registry: &Registry) -> Result<Checked> {
        let text = match self {
            Self::Protect => include_str!("../../runbooks/guard/protect.yaml"),
            Self::Upgrade => include_str!("../../runbooks/guard/upgrade.yaml"),
            Self::Rollback => include_str!("../../runbooks/guard/rollback.yaml"),
            Self::Close => include_str!("../../runbooks/guard/close.yaml"),
        };
        check("built-in", text, registry)
    }
}

#[cfg(test)]
mod tests {
    use super::super::GuardCommand;
    use super::*;

    #[test]
    fn every_runbook_of_a_guard_can_be_run() {
        let registry = Registry::shipped().with(GuardCommand::default());
        for phase in [Phase::Protect, Phase::Upgrade, Phase::Rollback, Phase::Close] {
            let name = phase.runbook(&registry).unwrap().runbook.name;
            assert_eq!(name, format!("guard-{}", phase.as_str()));
        }
    }
}
