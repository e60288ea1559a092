//! The phases of one bootstrap, for the message with which it ends.

use super::{Attempt, COMPLETE, Mode, Outcome};
use crate::repository::BackupId;
use crate::repository::manifest::{Lacking, ReadinessLevel};
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

/// The phases of one bootstrap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// When its first attempt began, UTC; none where there was none.
    pub began_at: Option<Timestamp>,
    /// Whether it has come to the phase `bootstrap-complete`.
    pub complete: bool,
    /// The phases, in the order of their first attempts.
    pub phases: Vec<PhaseReport>,
}

/// One phase, by its newest attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseReport {
    /// The phase.
    pub phase: String,
    /// What came of the newest attempt.
    pub outcome: Outcome,
    /// How much of what the config names was there.
    pub level: ReadinessLevel,
    /// When the newest attempt began, UTC.
    pub at: Timestamp,
    /// How it was asked for.
    pub mode: Mode,
    /// How many attempts there were.
    pub attempts: usize,
    /// The newest backup of the phase; none where no attempt made one.
    pub backup: Option<BackupId>,
    /// What was not there, or failed, in the newest attempt.
    pub lacking: Vec<Lacking>,
    /// What was put right, in all attempts.
    pub repaired: Vec<String>,
}

impl Report {
    /// Of the newest bootstrap among `attempts`, which are sorted by time: it begins behind the
    /// last `bootstrap-complete` that another attempt follows, or at `since`.
    pub fn of(attempts: &[Attempt], since: Option<Timestamp>) -> Self {
        let own = match since {
            Some(since) => attempts.iter().filter(|one| one.at >= since).collect::<Vec<_>>(),
            None => newest_bootstrap(attempts).iter().collect(),
        };
        let mut phases: Vec<PhaseReport> = Vec::new();
        for attempt in &own {
            match phases.iter_mut().find(|known| known.phase == attempt.phase) {
                Some(known) => known.renew(attempt),
                None => phases.push(PhaseReport::of(attempt)),
            }
        }
        let complete = own.last().is_some_and(|last| last.phase == COMPLETE);
        Self { began_at: own.first().map(|first| first.at), complete, phases }
    }
}

/// The attempts behind the last `bootstrap-complete` that another phase follows.
fn newest_bootstrap(attempts: &[Attempt]) -> &[Attempt] {
    let last_other = attempts.iter().rposition(|one| one.phase != COMPLETE).unwrap_or_default();
    let ended = attempts[..last_other].iter().rposition(|one| one.phase == COMPLETE);
    &attempts[ended.map_or(0, |at| at + 1)..]
}

impl PhaseReport {
    fn of(attempt: &Attempt) -> Self {
        let attempt = attempt.clone();
        Self {
            phase: attempt.phase,
            outcome: attempt.outcome,
            level: attempt.level,
            at: attempt.at,
            mode: attempt.mode,
            attempts: 1,
            backup: attempt.backup,
            lacking: attempt.lacking,
            repaired: attempt.repaired,
        }
    }

    /// Another attempt at the same phase.
    fn renew(&mut self, attempt: &Attempt) {
        let earlier = std::mem::replace(self, Self::of(attempt));
        self.attempts = earlier.attempts + 1;
        self.backup = self.backup.take().or(earlier.backup);
        self.repaired = earlier.repaired.into_iter().chain(self.repaired.drain(..)).collect();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.phases.is_empty() {
            return writeln!(f, "No checkpoints yet. `backstop checkpoint auto PHASE` takes one.");
        }
        let widest = self.phases.iter().map(|phase| phase.phase.chars().count()).max();
        for phase in &self.phases {
            let (name, outcome) = (&phase.phase, phase.outcome.as_str());
            let width = widest.unwrap_or_default();
            let backup = phase.backup.as_ref().map_or("-", BackupId::short);
            write!(f, "{outcome:<8} {name:<width$}  {backup:<8}  {}", phase.level.as_str())?;
            let why: Vec<&str> = phase.lacking.iter().map(|one| one.message.as_str()).collect();
            let why = why.join("; ");
            let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
            writeln!(f, "{}{why}", if why.is_empty() { "" } else { ": " })?;
            for repaired in &phase.repaired {
                writeln!(f, "         repaired: {repaired}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(phases: &[&str]) -> Vec<Attempt> {
        let start: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let at = |n: usize| start + jiff::SignedDuration::from_secs(n as i64);
        let attempt = |(n, phase): (usize, &&str)| Attempt {
            at: at(n),
            ..Attempt::new(phase, Mode::Auto, None)
        };
        phases.iter().enumerate().map(attempt).collect()
    }

    fn reported(phases: &[&str]) -> (Vec<String>, bool) {
        let report = Report::of(&attempts(phases), None);
        (report.phases.into_iter().map(|it| it.phase).collect(), report.complete)
    }

    #[test]
    fn a_bootstrap_begins_behind_the_end_of_the_one_before() {
        let names = |names: &[&str]| names.iter().map(|&it| it.into()).collect::<Vec<String>>();
        assert_eq!(reported(&[]), (names(&[]), false));
        assert_eq!(reported(&["a", "b"]), (names(&["a", "b"]), false));
        // The end itself is told of, until something follows it.
        assert_eq!(reported(&["a", COMPLETE]), (names(&["a", COMPLETE]), true));
        assert_eq!(reported(&["a", COMPLETE, "b"]), (names(&["b"]), false));
        assert_eq!(reported(&["a", COMPLETE, "b", COMPLETE]), (names(&["b", COMPLETE]), true));
        assert_eq!(reported(&["a", COMPLETE, COMPLETE]), (names(&["a", COMPLETE]), true));
        assert_eq!(reported(&[COMPLETE]), (names(&[COMPLETE]), true));
    }

    #[test]
    fn a_phase_is_told_of_once_by_its_newest_attempt() {
        let mut all = attempts(&["a", "b", "a"]);
        all[0].backup = BackupId::random().ok();
        (all[0].outcome, all[2].outcome) = (Outcome::Created, Outcome::Skipped);
        let report = Report::of(&all, None);
        assert_eq!(report.phases.len(), 2);
        let first = &report.phases[0];
        assert_eq!((first.outcome, first.attempts), (Outcome::Skipped, 2));
        assert_eq!(first.backup, all[0].backup, "the restore point is still there");
        assert_eq!(Report::of(&all, Some(all[1].at)).phases.len(), 2);
        assert_eq!(Report::of(&all, Some(all[2].at)).phases.len(), 1);
    }
}
