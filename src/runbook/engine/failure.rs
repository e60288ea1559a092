//! What follows when a step has failed: what is done instead, the way back, the rescue.

use super::Outcome;
use super::drive::{Drive, Failure, Flow};
use super::step::End;
use super::unit::Unit;
use crate::error::Result;
use crate::runbook::model::{OnFailure, Step};
use crate::runbook::run::{Entry, Means, StepState, Verdict};

impl Drive<'_> {
    pub(super) async fn after_failure(&self, step: &Step) -> Result<Flow> {
        if !step.rescue.is_empty() {
            match self.instead(step).await? {
                Some(End::Stop(outcome)) => return Ok(Flow::Stop(outcome)),
                Some(_) => {}
                None => return Ok(Flow::Next),
            }
        }
        let error = self.ask(|state| state.unit(&step.id).error).unwrap_or_default();
        let said = error["message"].as_str().unwrap_or_default().to_owned();
        let fail = |rollback| {
            let step = Some(step.id.clone());
            Flow::Fail(Failure { step, error: error.clone(), rollback, aborted: false })
        };
        match step.on_failure() {
            OnFailure::Continue => Ok(Flow::Next),
            OnFailure::Abort => Ok(fail(false)),
            OnFailure::Pause => self.stand_still(step, &said),
            OnFailure::Rollback => match self.past_return() {
                None => Ok(fail(true)),
                Some(point) => {
                    let why = format!(
                        "{said}; step {point} is a point of no return, so nothing is undone by itself"
                    );
                    self.stand_still(step, &why)
                }
            },
        }
    }

    fn stand_still(&self, step: &Step, why: &str) -> Result<Flow> {
        let run = self.ask(|state| state.created.run.clone());
        let reason = format!(
            "step {0} failed ({why}): say `backstop runbook resolve {run} {0} retry|skip|done \
             --reason …` or `backstop runbook abort {run}`",
            step.id
        );
        self.pause(Some(&step.id), reason).map(Flow::Stop)
    }

    /// Does what a step has for the case that it fails; none when that worked.
    async fn instead(&self, step: &Step) -> Result<Option<End>> {
        let mut last = None;
        for (place, call) in step.rescue.iter().enumerate() {
            let unit = Unit::part(step, &format!("rescue.{}", place + 1), call);
            match self.unit(&unit).await? {
                End::Done => last = Some(unit.name.clone()),
                other => return Ok(Some(other)),
            }
        }
        let outputs = self.ask(|state| last.map(|name| state.unit(&name).outputs));
        self.record(Entry::Resolved {
            unit: step.id.clone(),
            verdict: Verdict::Done,
            means: Means::Rescue,
            reason: "what it has for this case was done instead".into(),
            who: None,
            outputs: outputs.unwrap_or_default(),
        })?;
        self.ended(&step.id, StepState::Succeeded, Some("what it has for this case was done"));
        Ok(None)
    }

    /// The step after whose beginning nothing is undone by itself, if it has begun.
    fn past_return(&self) -> Option<String> {
        self.ask(|state| {
            let points = self.runbook.steps.iter().filter(|step| step.point_of_no_return);
            let mut begun = points.filter(|step| !state.unit(&step.id).attempts.is_empty());
            begun.next().map(|step| step.id.clone())
        })
    }

    /// Undoes what was done, the last first.
    pub(super) async fn roll_back(&self) -> Result<Option<Outcome>> {
        let registered = self.ask(|state| state.compensations.clone());
        for id in registered.iter().rev() {
            let Some(step) = self.runbook.step(id) else { continue };
            // A step that never wrote its intent has done nothing.
            if self.ask(|state| state.unit(id).attempts.is_empty()) {
                continue;
            }
            let unit = Unit::compensate(step);
            match self.unit(&unit).await? {
                End::Done | End::Abort => {}
                End::Stop(outcome) => return Ok(Some(outcome)),
                End::Failed => {
                    let name = &unit.name;
                    let reason = format!(
                        "step {id} could not be undone; say `backstop runbook resolve {} {name} \
                         retry|skip --reason …`",
                        self.ask(|state| state.created.run.clone())
                    );
                    return self.pause(Some(name), reason).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Does the steps for the case that the run fails; one that fails does not keep the others
    /// from being done.
    pub(super) async fn rescue(&self) -> Result<Option<Outcome>> {
        for step in &self.runbook.rescue {
            if let Flow::Stop(outcome) = self.step(step).await? {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }
}
