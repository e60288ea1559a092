//! What became of an attempt that has no outcome.

use super::Outcome;
use super::drive::Drive;
use super::unit::{Kind, Unit};
use crate::error::{Code, Error, Result};
use crate::runbook::action::{Outputs, Probe, Scope};
use crate::runbook::run::{Entry, Means, StepState, UnitRecord, Verdict};
use serde_json::Value;

impl Drive<'_> {
    /// Finds out and writes it down; the outcome of the run where a person has to say it.
    pub(super) async fn resolve(
        &self,
        unit: &Unit<'_>,
        record: &UnitRecord,
    ) -> Result<Option<Outcome>> {
        let action = self.action(unit.action)?;
        let idempotent = unit.idempotent || action.idempotent();
        if let Err(error) = self.halt(unit, record).await {
            if let Some(outcome) = self.interrupted(&unit.name)? {
                return Ok(Some(outcome));
            }
            // Where nobody answers nothing can be done twice at the same time either.
            let gone = matches!(error.code(), Code::DatabaseUnreachable | Code::DockerUnreachable);
            if !(gone && idempotent) {
                return self.leave_to_a_person(unit, &error.to_string());
            }
        }
        if idempotent {
            return self.again(unit, record, Means::Idempotent, "it may be done twice").await;
        }
        let answer = match self.probe(unit, record).await {
            Err(error) => match self.interrupted(&unit.name)? {
                Some(outcome) => return Ok(Some(outcome)),
                None => Probe::Unknown(error.to_string()),
            },
            Ok(answer) => answer,
        };
        match answer {
            Probe::Done(result) => self.adopt(unit, &result).await,
            Probe::NotDone => {
                self.again(unit, record, Means::Probe, "the probe says that it was not done").await
            }
            Probe::Partial(what) => match &unit.step.cleanup {
                Some(cleanup) if unit.kind == Kind::Step => {
                    match self.call(cleanup, unit.step, None).await {
                        Ok(_) => {
                            let reason =
                                format!("half of it was done ({what}) and is cleared away");
                            self.again(unit, record, Means::Probe, &reason).await
                        }
                        Err(error) => {
                            if let Some(outcome) = self.interrupted(&unit.name)? {
                                return Ok(Some(outcome));
                            }
                            let why =
                                format!("half of it was done and cannot be cleared away: {error}");
                            self.leave_to_a_person(unit, &why)
                        }
                    }
                }
                _ => self.leave_to_a_person(unit, &format!("half of it was done: {what}")),
            },
            Probe::Unknown(why) => self.leave_to_a_person(unit, &why),
        }
    }

    async fn probe(&self, unit: &Unit<'_>, record: &UnitRecord) -> Result<Probe> {
        if let Some(probe) = unit.probe {
            let answer = self.answer(&probe.call(), unit.step).await?;
            let (Probe::NotDone, Some(partial)) = (&answer, &probe.partial) else {
                return Ok(answer);
            };
            return Ok(match self.answer(partial, unit.step).await? {
                Probe::Done(_) => Probe::Partial(partial.action.clone()),
                Probe::NotDone => Probe::NotDone,
                other => other,
            });
        }
        if !self.action(unit.action)?.probes() {
            return Ok(Probe::Unknown("the step has no probe".into()));
        }
        let prepared = self.prepare(unit.action, unit.with, &self.names(unit.step, None))?;
        prepared.probe(&self.last_scope(unit, record)).await
    }

    /// Ends what the attempt left running, before anything is looked at.
    async fn halt(&self, unit: &Unit<'_>, record: &UnitRecord) -> Result<()> {
        let prepared = self.prepare(unit.action, unit.with, &self.names(unit.step, None))?;
        prepared.halt(&self.last_scope(unit, record)).await
    }

    /// The surroundings of the attempt that is examined.
    fn last_scope(&self, unit: &Unit<'_>, record: &UnitRecord) -> Scope {
        let attempt = record.attempts.last().map_or(1, |attempt| attempt.number);
        self.scope(&unit.name, attempt, self.engine.setting.cancel.child_token())
    }

    /// It was done: takes over what it returned.
    async fn adopt(&self, unit: &Unit<'_>, result: &Outputs) -> Result<Option<Outcome>> {
        let (verdict, outputs, reason) = match self.accept(unit, result).await {
            Ok(outputs) => (Verdict::Done, outputs, "the probe says that it was done".to_owned()),
            Err(error) => match self.interrupted(&unit.name)? {
                Some(outcome) => return Ok(Some(outcome)),
                None => (Verdict::Failed, Value::Null, error.to_string()),
            },
        };
        self.resolved(unit, verdict, Means::Probe, &reason, outputs)?;
        Ok(None)
    }

    /// It is done again, unless its attempts are used up.
    async fn again(
        &self,
        unit: &Unit<'_>,
        record: &UnitRecord,
        means: Means,
        reason: &str,
    ) -> Result<Option<Outcome>> {
        if record.failures <= unit.retry.limit {
            self.resolved(unit, Verdict::Retry, means, reason, Value::Null)?;
            return Ok(None);
        }
        let said = record.error.as_ref().and_then(|error| error["message"].as_str());
        let said = said.unwrap_or("nobody knows what became of it").to_owned();
        if self.action(unit.action)?.reads_only() {
            self.resolved(unit, Verdict::Failed, Means::Exhausted, &said, Value::Null)?;
            return Ok(None);
        }
        self.leave_to_a_person(unit, &format!("{said}; its attempts are used up"))
    }

    fn resolved(
        &self,
        unit: &Unit<'_>,
        verdict: Verdict,
        means: Means,
        reason: &str,
        outputs: Value,
    ) -> Result<()> {
        self.record(Entry::Resolved {
            unit: unit.name.clone(),
            verdict,
            means,
            reason: reason.to_owned(),
            who: None,
            outputs,
        })?;
        if verdict == Verdict::Failed {
            let error = Error::new(Code::ActionFailed, "finish step", &unit.name).cause(reason);
            self.record(Entry::UnitFailed { unit: unit.name.clone(), error: error.to_json() })?;
        }
        let state = self.ask(|state| state.state_of(&unit.name));
        if state != StepState::Pending {
            self.ended(&unit.name, state, Some(reason));
        }
        Ok(())
    }

    fn leave_to_a_person(&self, unit: &Unit<'_>, why: &str) -> Result<Option<Outcome>> {
        let run = self.ask(|state| state.created.run.clone());
        let name = &unit.name;
        let reason = format!(
            "nobody knows whether step {name} was done ({why}): say \
             `backstop runbook resolve {run} {name} done|retry|skip --reason …`"
        );
        self.pause(Some(name), reason).map(Some)
    }
}
