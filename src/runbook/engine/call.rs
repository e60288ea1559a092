//! Actions with their parameters filled in, and what templates see.

use super::attempt::GRACE;
use super::drive::Drive;
use crate::error::{Code, Error, Result};
use crate::runbook::action::{AnyAction, Outputs, Prepared, Probe, Scope};
use crate::runbook::document::{Node, Place};
use crate::runbook::log::StepLog;
use crate::runbook::model::{Call, Step, template_name};
use crate::runbook::run::log_file;
use crate::runbook::template;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Drive<'_> {
    /// What the templates of a step see now.
    pub(super) fn names(&self, step: &Step, result: Option<&Value>) -> Value {
        let secrets = self.recorder.secrets().values();
        let nothing = || Value::Object(Map::new());
        let repeated = self.runbook.repeated.iter().map(|id| (template_name(id), nothing()));
        let mut known: Map<String, Value> = repeated.collect();
        let mut names = self.ask(|state| {
            let created = &state.created;
            for step in self.runbook.all_steps() {
                let outputs = state.units.get(&step.id).map(|unit| &unit.outputs);
                let outputs = outputs.filter(|outputs| !outputs.is_null());
                // One that was skipped or not reached has no outputs, which a template may ask for.
                let outputs = outputs.cloned().unwrap_or_else(nothing);
                match &step.item {
                    Some(item) => known[&template_name(&item.of)][&item.name] = outputs,
                    None => drop(known.insert(template_name(&step.id), outputs)),
                }
            }
            let failed = state.failure.as_ref().and_then(|(step, _)| step.clone());
            json!({
                "params": created.parameters.with_secrets(secrets),
                "steps": known,
                "run": {
                    "id": created.run, "started_at": state.started_at.to_string(),
                    "host": created.who.host, "user": created.who.user, "stack": created.stack,
                    "runbook": created.runbook, "version": created.version,
                    "failed_step": failed.unwrap_or_default(),
                    "dir": self.dir.display().to_string(),
                },
            })
        });
        if let Some(item) = &step.item {
            names["item"] = item.name.as_str().into();
        }
        if let Some(result) = result {
            names["result"] = result.clone();
        }
        names
    }

    /// An action of this name.
    pub(super) fn action(&self, name: &str) -> Result<&dyn AnyAction> {
        self.engine.registry.get(name).ok_or_else(|| {
            Error::new(Code::RunbookInvalid, "find the action", name)
                .cause("this version does not have it")
        })
    }

    /// An action with its parameters filled in.
    pub(super) fn prepare<'s>(
        &'s self,
        action: &str,
        with: &Value,
        names: &Value,
    ) -> Result<Box<dyn Prepared + 's>> {
        let rendered = template::render_all(with, names)?;
        let node = Node::from_json(Place::default(), rendered);
        self.action(action)?.prepare(&node).map_err(|fault| fault.of(action))
    }

    pub(super) fn scope(&self, unit: &str, attempt: u32, cancel: CancellationToken) -> Scope {
        let mut setting = self.engine.setting.clone();
        setting.cancel = cancel;
        let log = StepLog::new(
            log_file(&self.dir, unit, attempt),
            unit,
            self.recorder.secrets().clone(),
            self.engine.audience.clone(),
        );
        Scope {
            setting,
            run: self.ask(|state| state.created.run.clone()),
            step: unit.to_owned(),
            attempt,
            log: Arc::new(log),
            recorder: Some(self.recorder.clone()),
            points: None,
        }
    }

    /// Does what a step needs besides its own action: a check, or clearing away.
    pub(super) async fn call(
        &self,
        call: &Call,
        step: &Step,
        result: Option<&Value>,
    ) -> Result<Outputs> {
        let prepared = self.prepare(&call.action, &call.with, &self.names(step, result))?;
        let scope = self.check_scope(step);
        let work = prepared.run(&scope);
        in_time(call, &scope, work).await
    }

    /// Asks a probe.
    pub(super) async fn answer(&self, call: &Call, step: &Step) -> Result<Probe> {
        let prepared = self.prepare(&call.action, &call.with, &self.names(step, None))?;
        let scope = self.check_scope(step);
        let answer = in_time(call, &scope, prepared.answer(&scope)).await;
        match answer {
            Err(error) if error.code() == Code::TimedOut => Ok(Probe::Unknown(error.to_string())),
            answer => answer,
        }
    }

    /// Checks have the number of the attempt that follows or is examined.
    fn check_scope(&self, step: &Step) -> Scope {
        let attempts = self.ask(|state| state.unit(&step.id).attempts.len());
        let attempt = u32::try_from(attempts).unwrap_or(u32::MAX).max(1);
        let unit = format!("{}.check", step.id);
        self.scope(&unit, attempt, self.engine.setting.cancel.child_token())
    }

    /// What later steps may use of what an action returned.
    pub(super) fn outputs(&self, step: &Step, result: &Outputs) -> Result<Value> {
        let result = Value::Object(result.clone());
        if step.outputs.is_empty() {
            return Ok(result);
        }
        let names = self.names(step, Some(&result));
        let mut outputs = Map::new();
        for (name, expression) in &step.outputs {
            outputs.insert(name.clone(), template::evaluate(expression, &names)?);
        }
        Ok(Value::Object(outputs))
    }
}

/// Gives up what takes longer than its `timeout`.
async fn in_time<T>(
    call: &Call,
    scope: &Scope,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(limit) = call.timeout else { return work.await };
    tokio::pin!(work);
    match tokio::time::timeout(limit.duration(), &mut work).await {
        Ok(done) => done,
        Err(_) => {
            // It ends what it started, such as a statement on a server.
            scope.cancel().cancel();
            let _ = tokio::time::timeout(GRACE, work).await;
            Err(Error::new(Code::TimedOut, "finish", &call.action)
                .cause(format!("step {} took longer than {limit}", scope.step)))
        }
    }
}
