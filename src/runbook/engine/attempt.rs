//! One attempt: the intent, the effect, its checks, the outcome.

use super::drive::{Drive, LOOK};
use super::unit::{Kind, Unit};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::runbook::action::{Outputs, Point, Prepared, Scope};
use crate::runbook::audience::News;
use crate::runbook::child::end_left_over;
use crate::runbook::run::{Entry, StepState, UnitRecord};
use jiff::SignedDuration;
use serde_json::Value;
use std::time::Duration;

/// How long an action may take to notice that it has to end. One that is in the middle of an
/// exchange finishes it or turns it back.
pub(super) const GRACE: Duration = Duration::from_secs(60);

impl Drive<'_> {
    pub(super) async fn attempt(&self, unit: &Unit<'_>, record: &UnitRecord) -> Result<()> {
        let number = u32::try_from(record.attempts.len()).unwrap_or(u32::MAX - 1) + 1;
        self.reach(Point::BeforeIntent, &unit.name);
        let prepared = match self.prepare(unit.action, unit.with, &self.names(unit.step, None)) {
            Ok(prepared) => prepared,
            Err(error) => {
                let (unit, error) = (unit.name.clone(), error.to_json());
                return self.record(Entry::UnitFailed { unit, error });
            }
        };
        let mut scope = self.scope(&unit.name, number, self.engine.setting.cancel.child_token());
        scope.points.clone_from(&self.engine.points);
        let plan = match unit.kind {
            Kind::Undo => format!("undo: {}", prepared.plan()),
            _ => prepared.plan(),
        };
        let plan = self.recorder.secrets().mask(&plan);
        self.record(Entry::AttemptStarted {
            unit: unit.name.clone(),
            attempt: number,
            key: scope.key(),
            plan: plan.clone(),
        })?;
        let started = News::Started { step: &unit.name, attempt: number, plan: &plan };
        self.engine.audience.tell(started);
        self.reach(Point::AfterIntent, &unit.name);
        let result = self.act(unit, prepared.as_ref(), &scope).await;
        let result = match result {
            Ok(result) => {
                self.reach(Point::AfterEffect, &unit.name);
                self.accept(unit, &result).await
            }
            Err(error) => Err(error),
        };
        self.outcome(unit, record, number, result)
    }

    /// Verifies what a step did, and keeps of it what later steps may use.
    pub(super) async fn accept(&self, unit: &Unit<'_>, result: &Outputs) -> Result<Value> {
        if unit.kind != Kind::Step {
            return Ok(Value::Object(result.clone()));
        }
        let value = Value::Object(result.clone());
        for call in &unit.step.verify {
            self.call(call, unit.step, Some(&value)).await?;
        }
        self.outputs(unit.step, result)
    }

    fn outcome(
        &self,
        unit: &Unit<'_>,
        record: &UnitRecord,
        number: u32,
        result: Result<Value>,
    ) -> Result<()> {
        let (state, outputs, error) = match result {
            Ok(outputs) => (StepState::Succeeded, outputs, None),
            // Nobody knows what became of what was cut off.
            Err(e) if matches!(e.code(), Code::TimedOut | Code::Interrupted) => {
                (StepState::Unknown, Value::Null, Some(e))
            }
            Err(e) => (StepState::Failed, Value::Null, Some(e)),
        };
        let wait = match state {
            StepState::Failed => unit.retry.wait_after(record.failures + 1),
            _ => None,
        };
        let retry_at = wait.map(|wait| {
            let wait = SignedDuration::try_from(wait).unwrap_or_default();
            clock::now().checked_add(wait).unwrap_or_else(|_| clock::now())
        });
        self.record(Entry::AttemptEnded {
            unit: unit.name.clone(),
            attempt: number,
            state,
            outputs,
            error: error.as_ref().map(Error::to_json),
            retry_at,
        })?;
        self.reach(Point::AfterOutcome, &unit.name);
        let reason = error.map(|error| self.recorder.secrets().mask(&error.to_string()));
        self.ended(&unit.name, state, reason.as_deref());
        Ok(())
    }

    /// The effect, until it ends, its time is up, or the runner has to end.
    async fn act(
        &self,
        unit: &Unit<'_>,
        prepared: &dyn Prepared,
        scope: &Scope,
    ) -> Result<Outputs> {
        let done = self.ask(|state| state.unit(&unit.step.id).outputs);
        let done = done.as_object().cloned();
        let work = async {
            match unit.kind {
                Kind::Undo => prepared.undo(done.as_ref(), scope).await.map(|()| Outputs::new()),
                _ => prepared.run(scope).await,
            }
        };
        tokio::pin!(work);
        let limit = async {
            match unit.timeout {
                Some(limit) => tokio::time::sleep(limit.duration()).await,
                None => std::future::pending().await,
            }
        };
        let (cut_off, why) = tokio::select! {
            biased;
            result = &mut work => return result,
            () = limit => (Code::TimedOut, unit.timeout.map(|limit| format!("it took longer than {limit}"))),
            () = self.unwanted(scope) => (Code::Interrupted, None),
        };
        scope.cancel().cancel();
        let ended = tokio::time::timeout(GRACE, &mut work).await;
        if let Ok(Ok(result)) = ended {
            return Ok(result);
        }
        // Before anybody asks what became of it, nothing of it may go on.
        let (groups, key) = (self.ask(|state| state.groups.clone()), scope.key());
        let groups: Vec<_> =
            groups.into_iter().filter(|(_, of)| *of == key).map(|it| it.0).collect();
        let ours = groups.clone();
        let keys = [key].into();
        self.engine.setting.blocking(move || Ok(end_left_over(&ours, &keys))).await?;
        groups.into_iter().try_for_each(|group| self.record(Entry::ChildEnded { group }))?;
        if let Ok(Err(error)) = tokio::time::timeout(GRACE, prepared.halt(scope)).await {
            // It is tried again before anybody asks what became of the attempt.
            self.say(&format!("step {}: {error}", unit.name));
        }
        let cause = why.unwrap_or_else(|| "the runner has to end".into());
        Err(Error::new(cut_off, "finish step", &unit.name).cause(cause))
    }

    /// Ends when the runner gets a signal, or somebody wants the run to end.
    async fn unwanted(&self, scope: &Scope) {
        loop {
            tokio::select! {
                () = scope.cancel().cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            // A journal that cannot be read any more stops the runner at its next line.
            let unreadable = self.recorder.refresh().is_err();
            let wanted = self.ask(|state| state.abort.is_some() && state.failure.is_none());
            if unreadable || wanted {
                return;
            }
        }
    }
}
