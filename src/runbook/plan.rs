//! What a run would do: the actions with their parameters filled in, with preconditions and
//! probes really run, and nothing else.

mod preflight;

pub(super) use preflight::preflight;

use super::action::{Acting, Prepared, Probe, Registry, Scope};
use super::audience::Nobody;
use super::check::Checked;
use super::document::{Node, Place};
use super::log::StepLog;
use super::model::{Call, Step, template_name};
use super::parameters::Parameters;
use super::run::Who;
use super::secret::Secrets;
use super::template::{self, Reference};
use crate::clock;
use crate::config::Timeout;
use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long a check without a `timeout` may take.
const LONGEST: Duration = Duration::from_secs(60);

/// What a run would do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The runbook's name.
    pub runbook: String,
    /// The runbook's title.
    pub title: String,
    /// The parameters, secrets as references.
    pub parameters: Parameters,
    /// What is gone afterwards.
    pub destroys: Vec<String>,
    /// What nobody but a person can do or decide.
    pub needs_from_a_person: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
    /// Whether a precondition does not hold: a run would stop there.
    pub blocked: bool,
}

/// A step of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedStep {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: Option<String>,
    /// Its action.
    pub action: String,
    /// What would be done.
    pub plan: String,
    /// Of a step with a condition: whether it is done, as far as that is known.
    pub condition: Option<String>,
    /// What was found by its preconditions.
    pub preconditions: Vec<Finding>,
    /// What its probe says: whether its effect is there already.
    pub probe: Option<String>,
    /// What somebody has to agree to.
    pub approval: Option<String>,
    /// How it would be undone.
    pub compensate: Option<String>,
    /// Once it has begun, nothing is undone automatically.
    pub point_of_no_return: bool,
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was checked.
    pub plan: String,
    /// Whether it holds; null where that is not known yet, or it does not and an earlier step may
    /// change that.
    pub ok: Option<bool>,
    /// What was found instead.
    pub found: Option<String>,
}

/// Plans a run.
///
/// # Errors
/// As a run that does not begin: `secret_missing`, `runbook_invalid` where a parameter makes an
/// action's parameters wrong, `database_authentication` where a password is not where it should be.
pub async fn plan(
    setting: &Setting,
    registry: &Registry,
    checked: &Checked,
    parameters: Parameters,
) -> Result<Plan> {
    super::engine::check_secrets(checked, &parameters)?;
    let secrets = Secrets::read(&parameters.secrets)?;
    let checked = &checked.unrolled(&parameters)?;
    preflight(setting, registry, checked, &parameters, &secrets)?;
    let (mut steps, mut settled) = (Vec::new(), true);
    for step in &checked.runbook.steps {
        let parameters = &parameters;
        let planner = Planner { setting, registry, secrets: &secrets, checked, parameters, step };
        steps.push(planner.planned(settled).await?);
        settled &= registry.get(&step.action).is_some_and(|action| action.reads_only());
    }
    let mut findings = steps.iter().flat_map(|step: &PlannedStep| &step.preconditions);
    let blocked = findings.any(|finding| finding.ok == Some(false));
    Ok(Plan {
        runbook: checked.runbook.name.clone(),
        title: checked.runbook.title.clone(),
        destroys: checked.runbook.destroys.clone(),
        needs_from_a_person: checked.runbook.needs_from_a_person.clone(),
        steps,
        blocked,
        parameters: parameters.shown(),
    })
}

/// Plans one step.
struct Planner<'a> {
    setting: &'a Setting,
    registry: &'a Registry,
    secrets: &'a Secrets,
    checked: &'a Checked,
    parameters: &'a Parameters,
    step: &'a Step,
}

impl Planner<'_> {
    /// `settled` says that no step before this one changes anything.
    async fn planned(&self, settled: bool) -> Result<PlannedStep> {
        let step = self.step;
        let due = self.is_due();
        // What may be skipped may lack what it needs, and its checks say nothing.
        let described = |action: &str, with: &Value| match self.describe(
            action,
            with,
            self.checked.place_of(&step.id),
        ) {
            Err(_) if due == Some(false) => Ok(action.to_owned()),
            Err(error) if due != Some(true) => Ok(format!("{action} ({error})")),
            described => described,
        };
        let mut preconditions = Vec::new();
        for call in step.preconditions.iter().filter(|_| due != Some(false)) {
            preconditions.push(self.finding(call, settled).await?);
        }
        let condition = step.condition.as_ref().map(|text| match self.known(text, true) {
            Some(later) => format!("known after {later}"),
            None => match template::holds(text, &self.names()) {
                Ok(true) => "holds".into(),
                Ok(false) => "does not hold: the step is skipped".into(),
                Err(error) => error.to_string(),
            },
        });
        let probe = match &step.probe {
            None => None,
            Some(_) if due == Some(false) => None,
            Some(probe) => Some(self.probe(&probe.call()).await?),
        };
        let approval = step.approval.as_ref().map(|approval| self.text(&approval.prompt));
        let compensate = match &step.compensate {
            Some(call) => Some(described(&call.action, &call.with)?),
            None => None,
        };
        Ok(PlannedStep {
            id: step.id.clone(),
            title: step.title.clone(),
            action: step.action.clone(),
            plan: described(&step.action, &step.with)?,
            condition,
            preconditions,
            probe,
            approval: approval.transpose()?,
            compensate,
            point_of_no_return: step.point_of_no_return,
        })
    }

    /// Whether a step is done; none where that is not known yet.
    fn is_due(&self) -> Option<bool> {
        let Some(condition) = &self.step.condition else { return Some(true) };
        match self.known(condition, true) {
            Some(_) => None,
            None => template::holds(condition, &self.names()).ok(),
        }
    }

    /// What an action would do; where a later output is needed, its parameters with what is not
    /// known named.
    fn describe(&self, action: &str, with: &Value, at: Place) -> Result<String> {
        if self.later(with).is_none() {
            return Ok(self.secrets.mask(&self.prepare(action, with, at)?.plan()));
        }
        let shown = self.secrets.mask_json(self.placeholders(with)?);
        let pairs = shown.as_object().into_iter().flatten();
        let pairs: Vec<String> = pairs
            .map(|(key, value)| match value {
                Value::String(text) => format!("{key}: {}", text.trim()),
                other => format!("{key}: {other}"),
            })
            .collect();
        Ok(format!("{action} with {}", pairs.join(", ")))
    }

    fn prepare(&self, action: &str, with: &Value, at: Place) -> Result<Box<dyn Prepared + '_>> {
        let rendered = template::render_all(with, &self.names())?;
        let known = self
            .registry
            .get(action)
            .ok_or_else(|| Error::new(Code::RunbookInvalid, "find the action", action))?;
        let node = Node::from_json(at, rendered);
        known.prepare(&node).map_err(|fault| fault.of(&self.checked.source))
    }

    async fn finding(&self, call: &Call, settled: bool) -> Result<Finding> {
        let plan = self.describe(&call.action, &call.with, self.checked.place_of(&self.step.id))?;
        if let Some(later) = self.later(&call.with) {
            let found = Some(format!("known after {later}"));
            return Ok(Finding { plan, ok: None, found });
        }
        let found = self.look(call, |prepared, scope| prepared.run(scope)).await?;
        let found = found.err().map(|error| self.secrets.mask(&error.to_string()));
        let ok = Some(found.is_none()).filter(|ok| *ok || settled);
        Ok(Finding { plan, ok, found })
    }

    async fn probe(&self, call: &Call) -> Result<String> {
        if let Some(later) = self.later(&call.with) {
            return Ok(format!("known after {later}"));
        }
        let answer = self.look(call, |prepared, scope| prepared.answer(scope)).await?;
        Ok(match answer {
            Ok(Probe::Done(_)) => "its effect is there already".into(),
            Ok(Probe::NotDone) => "its effect is not there".into(),
            Ok(Probe::Partial(why)) => {
                format!("a part of its effect is there: {}", self.secrets.mask(&why))
            }
            Ok(Probe::Unknown(why)) => format!("unknown: {}", self.secrets.mask(&why)),
            Err(error) => format!("unknown: {}", self.secrets.mask(&error.to_string())),
        })
    }

    /// Does what only looks. What it finds is inside; outside is what ends the plan.
    async fn look<T>(
        &self,
        call: &Call,
        work: impl for<'a> FnOnce(&'a dyn Prepared, &'a Scope) -> Acting<'a, T>,
    ) -> Result<Result<T>> {
        let prepared =
            self.prepare(&call.action, &call.with, self.checked.place_of(&self.step.id))?;
        // Nothing of a plan is kept.
        let nowhere = tempfile::tempdir()
            .map_err(|e| Error::io("make a directory in", &std::env::temp_dir(), e))?;
        let (place, secrets) = (nowhere.path().join("log"), self.secrets.clone());
        let scope = Scope {
            setting: self.setting.part(),
            run: "plan".into(),
            step: self.step.id.clone(),
            attempt: 1,
            log: Arc::new(StepLog::new(place, &self.step.id, secrets, Arc::new(Nobody))),
            recorder: None,
            points: None,
        };
        let limit = call.timeout.map_or(LONGEST, Timeout::duration);
        let found = match tokio::time::timeout(limit, work(prepared.as_ref(), &scope)).await {
            Ok(found) => found,
            Err(_) => Err(Error::new(Code::TimedOut, "finish", &call.action)),
        };
        self.setting.check_interrupted("plan a run of")?;
        Ok(found)
    }

    fn text(&self, text: &str) -> Result<String> {
        match self.known(text, false) {
            Some(later) => Ok(format!("{} (known after {later})", self.partly(text))),
            None => Ok(self.secrets.mask(&template::render_text(text, &self.names())?)),
        }
    }

    /// A text with what is known filled in.
    fn partly(&self, text: &str) -> String {
        let known = |part: &str| -> String {
            match self.known(part, false) {
                Some(_) => part.to_owned(),
                None => template::render_text(part, &self.names()).unwrap_or(part.to_owned()),
            }
        };
        // Each expression by itself: one that is not known yet stays as it is written.
        let parts = text.trim().split_inclusive("}}").map(|part| match part.split_once("{{") {
            Some((before, expression)) => {
                format!("{before}{}", known(&format!("{{{{{expression}")))
            }
            None => part.to_owned(),
        });
        let filled: String = parts.collect();
        self.secrets.mask(&filled)
    }

    /// The step whose outputs a text needs.
    fn known(&self, text: &str, expression: bool) -> Option<String> {
        let references = match expression {
            true => template::expression_references(text),
            false if template::is_template(text) => template::references(text),
            false => return None,
        };
        let references = references.unwrap_or_default();
        references.into_iter().find_map(|reference| match reference {
            Reference::Step(name, _) => Some(self.step_id(&name)),
            _ => None,
        })
    }

    fn step_id(&self, name: &str) -> String {
        let step = self.checked.runbook.all_steps().find(|step| template_name(&step.id) == name);
        step.map_or_else(|| name.to_owned(), |step| step.id.clone())
    }

    /// The step whose outputs a part of `value` needs.
    fn later(&self, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => self.known(text, false),
            Value::Array(items) => items.iter().find_map(|item| self.later(item)),
            Value::Object(entries) => entries.values().find_map(|value| self.later(value)),
            _ => None,
        }
    }

    fn placeholders(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::String(text) => match self.known(text, false) {
                Some(later) => format!("(known after {later})").into(),
                None => template::render(text, &self.names())?,
            },
            Value::Array(items) => Value::Array(
                items.iter().map(|item| self.placeholders(item)).collect::<Result<_>>()?,
            ),
            Value::Object(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.placeholders(value)?)))
                    .collect::<Result<Map<_, _>>>()?,
            ),
            other => other.clone(),
        })
    }

    fn names(&self) -> Value {
        let who = Who::current();
        let mut names = json!({
            "params": self.parameters.with_secrets(self.secrets.values()),
            "steps": {},
            "run": {
                "id": "RUN", "started_at": clock::now().to_string(), "host": who.host,
                "user": who.user, "stack": self.setting.config.stack.name,
                "runbook": self.checked.runbook.name, "version": super::engine::VERSION,
                "failed_step": "", "dir": "RUN",
            },
        });
        if let Some(item) = &self.step.item {
            names["item"] = item.name.as_str().into();
        }
        names
    }
}
