//! A run from where it stands to where it stops.

use super::{Engine, Outcome};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::runbook::action::Point;
use crate::runbook::audience::News;
use crate::runbook::child::end_left_over;
use crate::runbook::model::Runbook;
use crate::runbook::run::{Ended, Entry, Phase, Recorder, RunState, StepState};
use jiff::Timestamp;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often a runner looks whether somebody wants the run to end.
pub(super) const LOOK: Duration = Duration::from_millis(300);

/// One runner at work on one run.
pub(super) struct Drive<'a> {
    pub(super) engine: &'a Engine,
    pub(super) runbook: Runbook,
    pub(super) recorder: Arc<Recorder>,
    pub(super) dir: PathBuf,
}

/// What follows a step.
#[derive(Debug)]
pub(super) enum Flow {
    /// The next step.
    Next,
    /// Nothing, for now.
    Stop(Outcome),
    /// The run has failed.
    Fail(Failure),
}

/// Why a run has failed, and what follows.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: Option<String>,
    pub(super) error: Value,
    pub(super) rollback: bool,
    pub(super) aborted: bool,
}

impl Drive<'_> {
    pub(super) async fn run(&self) -> Result<Outcome> {
        self.end_left_over().await?;
        if let Some(outcome) = self.recheck().await? {
            return Ok(outcome);
        }
        loop {
            match self.ask(|state| state.phase.clone()) {
                Phase::Forward => match self.forward().await? {
                    Flow::Stop(outcome) => return Ok(outcome),
                    Flow::Fail(failure) => self.record(Entry::Failing {
                        step: failure.step,
                        error: failure.error,
                        rollback: failure.rollback,
                        aborted: failure.aborted,
                    })?,
                    Flow::Next => self.arrived()?,
                },
                Phase::RollingBack => match self.roll_back().await? {
                    Some(outcome) => return Ok(outcome),
                    None => self.record(Entry::RolledBack)?,
                },
                Phase::Rescuing => {
                    if let Some(outcome) = self.rescue().await? {
                        return Ok(outcome);
                    }
                    let (aborted, failure) =
                        self.ask(|state| (state.aborted, state.failure.clone()));
                    let state = if aborted { Ended::Aborted } else { Ended::Failed };
                    let error = failure.map(|(_, error)| error);
                    self.record(Entry::RunEnded { state, error })?;
                }
                Phase::Ended(ended) => return Ok(Outcome::Ended(ended)),
            }
        }
    }

    async fn forward(&self) -> Result<Flow> {
        for step in &self.runbook.steps {
            match self.step(step).await? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    /// The end of the last step: good unless one that counts has failed.
    fn arrived(&self) -> Result<()> {
        let failed = self.ask(|state| {
            let counts = self.runbook.steps.iter().filter(|step| step.critical);
            let mut failed = counts.filter(|step| state.state_of(&step.id) == StepState::Failed);
            failed.next().map(|step| (step.id.clone(), state.unit(&step.id).error))
        });
        match failed {
            None => self.record(Entry::RunEnded { state: Ended::Succeeded, error: None }),
            Some((step, error)) => self.record(Entry::Failing {
                step: Some(step),
                error: error.unwrap_or_default(),
                rollback: false,
                aborted: false,
            }),
        }
    }

    /// Ends what a dead runner's steps have left running, before anything is looked at.
    async fn end_left_over(&self) -> Result<()> {
        let (groups, keys) = self.ask(|state| (state.groups.clone(), state.open_keys()));
        if groups.is_empty() && keys.is_empty() {
            return Ok(());
        }
        let only: Vec<_> = groups.iter().map(|(group, _)| *group).collect();
        let (ended, gone) =
            self.engine.setting.blocking(move || Ok(end_left_over(&only, &keys))).await?;
        if !gone {
            let run = self.ask(|state| state.created.run.clone());
            return Err(Error::new(Code::RunRefused, "resume run", run)
                .cause("a process that it left behind cannot be ended")
                .hint("look for it with `ps -eo pid,stat,args`; one in state D waits for a disk"));
        }
        if ended > 0 {
            self.say(&format!("ended {ended} processes that a dead runner left behind"));
        }
        groups.into_iter().try_for_each(|(group, _)| self.record(Entry::ChildEnded { group }))
    }

    /// Checks again what earlier steps achieved, when a run is resumed.
    async fn recheck(&self) -> Result<Option<Outcome>> {
        let due = |state: &RunState| {
            state.epoch > 1 && state.phase == Phase::Forward && state.abort.is_none()
        };
        if !self.ask(due) {
            return Ok(None);
        }
        for step in &self.runbook.steps {
            if self.ask(|state| state.state_of(&step.id)) != StepState::Succeeded {
                continue;
            }
            for call in &step.recheck {
                if let Err(error) = self.call(call, step, None).await {
                    if let Some(outcome) = self.interrupted(&step.id)? {
                        return Ok(Some(outcome));
                    }
                    let reason =
                        format!("what step {} achieved does not hold any more: {error}", step.id);
                    return self.pause(Some(&step.id), reason).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// The outcome where the runner has to end: a signal came.
    pub(super) fn interrupted(&self, step: &str) -> Result<Option<Outcome>> {
        if !self.engine.setting.cancel.is_cancelled() {
            return Ok(None);
        }
        self.pause(Some(step), "a signal asked the runner to end".into()).map(Some)
    }

    pub(super) fn pause(&self, step: Option<&str>, reason: String) -> Result<Outcome> {
        let step = step.map(str::to_owned);
        self.record(Entry::Paused { step: step.clone(), reason: reason.clone() })?;
        Ok(Outcome::Paused { step, reason })
    }

    /// Waits until `at`, a signal or the wish of a person.
    pub(super) async fn wait_until(&self, at: Timestamp) -> Result<()> {
        loop {
            let left = Duration::try_from(at.duration_since(clock::now())).unwrap_or_default();
            if left.is_zero() {
                return Ok(());
            }
            tokio::select! {
                () = self.engine.setting.cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(left.min(LOOK)) => {}
            }
            self.recorder.refresh()?;
            if self.ask(|state| state.abort.is_some() && state.failure.is_none()) {
                return Ok(());
            }
        }
    }

    pub(super) fn record(&self, entry: Entry) -> Result<()> {
        self.recorder.record(entry)
    }

    pub(super) fn ask<T>(&self, question: impl FnOnce(&RunState) -> T) -> T {
        self.recorder.ask(question)
    }

    pub(super) fn say(&self, message: &str) {
        self.engine.audience.tell(News::Said { message });
    }

    pub(super) fn reach(&self, point: Point, unit: &str) {
        if let Some(points) = &self.engine.points {
            points(point, unit);
        }
    }
}
