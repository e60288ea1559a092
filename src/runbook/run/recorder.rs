//! Writes the journal of one run and knows what it says, for the runner and its actions.

use super::entry::{Entry, Group};
use super::journal::Journal;
use super::state::RunState;
use crate::error::{Code, Error, Result};
use crate::runbook::secret::Secrets;
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The journal and what it says.
#[derive(Debug)]
pub(in crate::runbook) struct Recorder {
    inner: Mutex<Inner>,
    secrets: Secrets,
    /// The number of the runner that writes; none for one that only decides.
    epoch: Option<u64>,
}

#[derive(Debug)]
struct Inner {
    journal: Journal,
    state: RunState,
}

impl Recorder {
    /// For a person's decisions.
    pub(super) fn new(journal: Journal, state: RunState) -> Self {
        let secrets = Secrets::default();
        Self { inner: Mutex::new(Inner { journal, state }), secrets, epoch: None }
    }

    /// For a new runner, whose epoch is the one after the last.
    pub(in crate::runbook) fn begin_epoch(self, secrets: Secrets, entry: Entry) -> Result<Self> {
        let mut inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut epoch = inner.state.epoch + 1;
        loop {
            let mut missed = Vec::new();
            let run = inner.state.created.run.clone();
            let lines = inner.journal.append(
                epoch,
                entry.clone(),
                &|value| secrets.mask_json(value),
                &mut |lines| {
                    missed.extend_from_slice(lines);
                    let behind = lines.iter().any(|line| line.epoch >= epoch);
                    if behind { Err(overtaken(&run)) } else { Ok(()) }
                },
            );
            match lines {
                Ok(lines) => {
                    lines.iter().for_each(|line| inner.state.apply(line));
                    return Ok(Self { inner: Mutex::new(inner), secrets, epoch: Some(epoch) });
                }
                Err(error) => {
                    missed.iter().for_each(|line| inner.state.apply(line));
                    if error.code() != Code::RunTakenOver {
                        return Err(error);
                    }
                    epoch = inner.state.epoch.max(epoch) + 1;
                }
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a question about what the journal says, as far as it was read.
    pub(in crate::runbook) fn ask<T>(&self, question: impl FnOnce(&RunState) -> T) -> T {
        question(&self.inner().state)
    }

    /// Reads what others wrote meanwhile.
    pub(in crate::runbook) fn refresh(&self) -> Result<()> {
        let mut inner = self.inner();
        let lines = inner.journal.read()?;
        lines.iter().for_each(|line| inner.state.apply(line));
        self.check(&inner.state)
    }

    /// Writes one line durably.
    ///
    /// # Errors
    /// `run_taken_over` where another runner has begun; `io` and its kin.
    pub(in crate::runbook) fn record(&self, entry: Entry) -> Result<()> {
        self.record_if(entry, &mut |_| Ok(()))
    }

    /// As [`record`](Self::record), where `allow` does not object to what the journal says then.
    pub(in crate::runbook) fn record_if(
        &self,
        entry: Entry,
        allow: &mut dyn FnMut(&RunState) -> Result<()>,
    ) -> Result<()> {
        let mut inner = self.inner();
        let Inner { journal, state } = &mut *inner;
        let epoch = self.epoch.unwrap_or(state.epoch);
        let mut seen = state.clone();
        let lines =
            journal.append(epoch, entry, &|value| self.secrets.mask_json(value), &mut |lines| {
                lines.iter().for_each(|line| seen.apply(line));
                self.check(&seen)?;
                allow(&seen)
            });
        match lines {
            Ok(lines) => lines.iter().for_each(|line| state.apply(line)),
            Err(error) => {
                // What others wrote was read all the same.
                *state = seen;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Once another runner has begun, this one writes nothing more, whoever asks it to.
    fn check(&self, state: &RunState) -> Result<()> {
        match self.epoch {
            Some(epoch) if state.epoch > epoch => Err(overtaken(&state.created.run)),
            _ => Ok(()),
        }
    }

    pub(in crate::runbook) fn note(
        &self,
        unit: &str,
        attempt: u32,
        name: &str,
        value: Value,
    ) -> Result<()> {
        self.record(Entry::Noted { unit: unit.into(), attempt, name: name.into(), value })
    }

    pub(in crate::runbook) fn noted(&self, unit: &str, attempt: u32, name: &str) -> Option<Value> {
        self.ask(|state| {
            let attempts = &state.units.get(unit)?.attempts;
            attempts.iter().find(|known| known.number == attempt)?.notes.get(name).cloned()
        })
    }

    pub(in crate::runbook) fn all_noted(&self, unit: &str, name: &str) -> Vec<Value> {
        self.ask(|state| {
            let attempts = state.units.get(unit).map(|unit| &unit.attempts);
            let notes = attempts.into_iter().flatten().filter_map(|it| it.notes.get(name));
            notes.cloned().collect()
        })
    }

    pub(in crate::runbook) fn child_started(
        &self,
        unit: &str,
        attempt: u32,
        group: Group,
    ) -> Result<()> {
        self.record(Entry::ChildStarted { unit: unit.into(), attempt, group })
    }

    /// The secrets of the run.
    pub(in crate::runbook) fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

fn overtaken(run: &str) -> Error {
    Error::new(Code::RunTakenOver, "go on with run", run).cause("another runner has begun it")
}

#[cfg(test)]
mod tests {
    use super::super::{Created, Store, Who};
    use super::*;
    use crate::runbook::parameters::Parameters;
    use std::path::Path;

    fn began() -> Entry {
        Entry::RunnerBegan { pid: 1, who: Who::current(), version: "1".into() }
    }

    fn skipped(step: &str) -> Entry {
        Entry::StepSkipped { step: step.into(), reason: "so".into() }
    }

    fn run(dir: &Path) -> Store {
        let store = Store::in_dir(dir);
        let created = Created {
            run: "a".into(),
            runbook: "r".into(),
            title: "R".into(),
            source: "r.yaml".into(),
            sha256: String::new(),
            parameters: Parameters::default(),
            target: "t".into(),
            stack: "t".into(),
            version: "1".into(),
            who: Who::current(),
            labels: std::collections::BTreeMap::new(),
        };
        store.create("text", created).unwrap();
        store
    }

    #[test]
    fn a_runner_that_was_overtaken_writes_and_reads_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = run(dir.path());
        let runner = || {
            let recorder = store.open("a").unwrap().into_recorder();
            recorder.begin_epoch(Secrets::default(), began()).unwrap()
        };
        let first = runner();
        first.record(skipped("one")).unwrap();
        let second = runner();
        assert_eq!(second.ask(|state| state.epoch), 2);
        assert_eq!(first.record(skipped("two")).unwrap_err().code(), Code::RunTakenOver);
        assert_eq!(first.refresh().unwrap_err().code(), Code::RunTakenOver);
        second.record(skipped("three")).unwrap();
        assert_eq!(store.open("a").unwrap().state.order, ["one", "three"]);
    }

    #[test]
    fn the_decision_of_a_person_is_heard_by_the_runner() {
        let dir = tempfile::tempdir().unwrap();
        let store = run(dir.path());
        let recorder = store.open("a").unwrap().into_recorder();
        let runner = recorder.begin_epoch(Secrets::default(), began()).unwrap();
        store.open("a").unwrap().into_recorder().record(skipped("x")).unwrap();
        runner.refresh().unwrap();
        assert_eq!(runner.ask(|state| state.order.clone()), ["x"]);
        runner.record(skipped("y")).unwrap();
    }
}
