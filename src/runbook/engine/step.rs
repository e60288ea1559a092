//! One step: whether it is due, whether somebody agrees, its attempts, and what follows.

use super::Outcome;
use super::drive::{Drive, Failure, Flow};
use super::unit::{Kind, Unit};
use crate::error::{Code, Error, Result};
use crate::runbook::audience::{News, Reply};
use crate::runbook::model::{Approval, Step};
use crate::runbook::run::{Entry, Means, StepState, WaitingFor, Who};
use crate::runbook::template;
use serde_json::json;

/// Where a unit came to rest.
pub(super) enum End {
    /// It is done or left out.
    Done,
    /// It is not.
    Failed,
    /// The runner stops here.
    Stop(Outcome),
    /// A person wants the run to end.
    Abort,
}

impl Drive<'_> {
    pub(super) async fn step(&self, step: &Step) -> Result<Flow> {
        let unit = Unit::step(step);
        self.recorder.refresh()?;
        let state = self.ask(|state| state.state_of(&step.id));
        if !matches!(state, StepState::Succeeded | StepState::Skipped)
            && let Some(flow) = self.wishes(&step.id)?
        {
            return Ok(flow);
        }
        if matches!(state, StepState::Pending | StepState::Waiting)
            && let Some(flow) = self.gate(step).await?
        {
            return Ok(flow);
        }
        match self.unit(&unit).await? {
            End::Done => Ok(Flow::Next),
            End::Stop(outcome) => Ok(Flow::Stop(outcome)),
            End::Abort => Ok(self.abort()),
            End::Failed => self.after_failure(step).await,
        }
    }

    /// What comes before the first attempt; none when it may begin.
    async fn gate(&self, step: &Step) -> Result<Option<Flow>> {
        let record = self.ask(|state| state.unit(&step.id));
        if !record.attempts.is_empty() {
            return Ok(None);
        }
        let failed = |error: Error| {
            self.record(Entry::UnitFailed { unit: step.id.clone(), error: error.to_json() })
        };
        if record.asked.is_none() && !record.approved {
            match step.condition.as_ref().map(|it| template::holds(it, &self.names(step, None))) {
                None | Some(Ok(true)) => {}
                Some(Ok(false)) => {
                    let condition = step.condition.clone().unwrap_or_default();
                    let reason = format!("`{}` does not hold", condition.trim());
                    self.record(Entry::StepSkipped {
                        step: step.id.clone(),
                        reason: reason.clone(),
                    })?;
                    self.ended(&step.id, StepState::Skipped, Some(&reason));
                    return Ok(Some(Flow::Next));
                }
                Some(Err(error)) => {
                    failed(error)?;
                    return Ok(None);
                }
            }
        }
        if !record.approved
            && let Some(flow) = self.approval(step)?
        {
            return Ok(Some(flow));
        }
        if self.ask(|state| state.state_of(&step.id)) == StepState::Failed {
            return Ok(None);
        }
        for call in &step.preconditions {
            if let Err(error) = self.call(call, step, None).await {
                if let Some(outcome) = self.interrupted(&step.id)? {
                    return Ok(Some(Flow::Stop(outcome)));
                }
                failed(error)?;
                return Ok(None);
            }
        }
        let undoes = step.compensate.is_some() || self.action(&step.action)?.undoes();
        if undoes && !record.compensable {
            self.record(Entry::CompensationRegistered { step: step.id.clone() })?;
        }
        Ok(None)
    }

    /// Asks whoever has to agree; none where that is done.
    fn approval(&self, step: &Step) -> Result<Option<Flow>> {
        let by_a_person = self.action(&step.action)?.by_a_person();
        if step.approval.is_none() && !by_a_person {
            return Ok(None);
        }
        let question = match self.ask(|state| state.unit(&step.id).asked) {
            Some(asked) => asked,
            None => match self.question(step) {
                Ok(question) => {
                    self.record(Entry::ApprovalAsked {
                        step: step.id.clone(),
                        prompt: question.prompt.clone(),
                        shown: question.shown.clone(),
                    })?;
                    question
                }
                Err(error) => {
                    self.record(Entry::UnitFailed {
                        unit: step.id.clone(),
                        error: error.to_json(),
                    })?;
                    return Ok(None);
                }
            },
        };
        let agreed = |means: Means| {
            self.record(Entry::Approved {
                step: step.id.clone(),
                who: Who::current(),
                means,
                shown: format!("{}\n{}", question.prompt, question.shown),
            })
        };
        // What only a person can do is not done by a flag.
        if self.engine.yes && !by_a_person {
            agreed(Means::Yes)?;
            return Ok(None);
        }
        let mut settled = || {
            let seen = self.recorder.refresh();
            seen.is_err()
                || self.ask(|state| state.unit(&step.id).approved || state.abort.is_some())
        };
        let cancel = &self.engine.setting.cancel;
        let audience = &self.engine.audience;
        let reply =
            tokio::task::block_in_place(|| audience.ask(&step.id, &question, &mut settled, cancel));
        self.recorder.refresh()?;
        if self.ask(|state| state.unit(&step.id).approved) {
            return Ok(None);
        }
        match reply {
            Reply::Yes => agreed(Means::Terminal).map(|()| None),
            Reply::Nobody => Ok(Some(Flow::Stop(Outcome::Waiting { step: step.id.clone() }))),
            Reply::No => {
                let reason = format!("nobody agreed to step {}", step.id);
                self.pause(Some(&step.id), reason).map(|outcome| Some(Flow::Stop(outcome)))
            }
            Reply::Settled => match self.wishes(&step.id)? {
                Some(flow) => Ok(Some(flow)),
                None => Ok(Some(Flow::Stop(Outcome::Waiting { step: step.id.clone() }))),
            },
        }
    }

    fn question(&self, step: &Step) -> Result<WaitingFor> {
        let names = self.names(step, None);
        let shown = self.prepare(&step.action, &step.with, &names)?.plan();
        let prompt = match &step.approval {
            Some(Approval { prompt }) => template::render_text(prompt, &names)?,
            None => {
                format!("Do this, then confirm it: {}", step.title.as_deref().unwrap_or(&step.id))
            }
        };
        // A person sees what the journal will say was shown.
        let secrets = self.recorder.secrets();
        Ok(WaitingFor { prompt: secrets.mask(&prompt), shown: secrets.mask(&shown) })
    }

    /// Does a unit until it comes to rest.
    pub(super) async fn unit(&self, unit: &Unit<'_>) -> Result<End> {
        loop {
            self.recorder.refresh()?;
            let record = self.ask(|state| state.unit(&unit.name));
            match record.state {
                StepState::Succeeded | StepState::Skipped => return Ok(End::Done),
                StepState::Failed => return Ok(End::Failed),
                _ => {}
            }
            match self.wishes(&unit.name)? {
                Some(Flow::Stop(outcome)) => return Ok(End::Stop(outcome)),
                Some(_) if unit.kind == Kind::Step => return Ok(End::Abort),
                _ => {}
            }
            match record.state {
                StepState::Started => {
                    let attempt = record.attempts.last().map_or(1, |attempt| attempt.number);
                    self.record(Entry::AttemptLost { unit: unit.name.clone(), attempt })?;
                }
                StepState::Unknown => {
                    if let Some(outcome) = self.resolve(unit, &record).await? {
                        return Ok(End::Stop(outcome));
                    }
                }
                _ => match record.retry_at {
                    Some(at) if at > crate::clock::now() => {
                        self.say(&format!("step {} is tried again at {at:.0}", unit.name));
                        self.wait_until(at).await?;
                    }
                    _ => self.attempt(unit, &record).await?,
                },
            }
        }
    }

    /// What others want: a signal, or a person who wants the run to end.
    fn wishes(&self, step: &str) -> Result<Option<Flow>> {
        if let Some(outcome) = self.interrupted(step)? {
            return Ok(Some(Flow::Stop(outcome)));
        }
        let (asked, failing) = self.ask(|state| (state.abort.is_some(), state.failure.is_some()));
        Ok((asked && !failing).then(|| self.abort()))
    }

    fn abort(&self) -> Flow {
        let wish = self.ask(|state| state.abort.clone());
        let (cause, rollback) = match wish {
            Some((who, reason, rollback)) => {
                (format!("{who} wanted it to end: {reason}"), rollback)
            }
            None => ("somebody wanted it to end".into(), false),
        };
        let run = self.ask(|state| state.created.run.clone());
        let error = Error::new(Code::Interrupted, "finish run", run).cause(cause);
        let mut error = error.to_json();
        error["hint"] = json!("begin a new run when it is wanted again");
        Flow::Fail(Failure { step: None, error, rollback, aborted: true })
    }

    pub(super) fn ended(&self, step: &str, state: StepState, reason: Option<&str>) {
        let seconds = self.ask(|run| run.unit(step).seconds(crate::clock::now()));
        self.engine.audience.tell(News::Ended { step, state, seconds, reason });
    }
}
