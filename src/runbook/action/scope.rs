//! What an action is given besides its parameters.

use crate::error::{Code, Error, Result};
use crate::runbook::child::{ChildCommand, ChildEnd};
use crate::runbook::log::StepLog;
use crate::runbook::run::Recorder;
use crate::setting::Setting;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The end of the name of a step's way back.
const COMPENSATE: &str = ".compensate";
/// Under which name it is noted where a secret lies that an action made.
pub(in crate::runbook) const SECRET_FILES: &str = "secret_files";

/// A moment in the life of a step, for tests that end the runner there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Nothing is written about the attempt.
    BeforeIntent,
    /// The intent is durable, the effect has not begun.
    AfterIntent,
    /// A child process is recorded and does not run yet.
    ChildRecorded,
    /// In the middle of the effect: a child process runs.
    MidEffect,
    /// The effect took place, and nothing is written about it.
    AfterEffect,
    /// The outcome is durable.
    AfterOutcome,
}

/// Is called at each point with the id of the step.
pub type Points = Arc<dyn Fn(Point, &str) + Send + Sync>;

/// The surroundings of one attempt.
pub struct Scope {
    /// The config, the listener and the rest that operations are given; its `cancel` is the
    /// attempt's.
    pub setting: Setting,
    /// The run's id.
    pub run: String,
    /// The step's id.
    pub step: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Where the step's output goes.
    pub log: Arc<StepLog>,
    pub(in crate::runbook) recorder: Option<Arc<Recorder>>,
    pub(in crate::runbook) points: Option<Points>,
}

impl Scope {
    /// `RUN/STEP/ATTEMPT`: the same for no other attempt of any run.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.run, self.step, self.attempt)
    }

    /// Set when the action has to end early: its time is up, or somebody asked for it.
    pub fn cancel(&self) -> &CancellationToken {
        &self.setting.cancel
    }

    /// Writes down, durably, by what a probe can recognise the effect that is about to begin.
    ///
    /// # Errors
    /// Where it cannot be written: then do not begin.
    pub fn note(&self, name: &str, value: impl Into<Value>) -> Result<()> {
        match &self.recorder {
            Some(recorder) => recorder.note(&self.step, self.attempt, name, value.into()),
            None => Ok(()),
        }
    }

    /// What the attempt that is being examined noted under this name.
    pub fn noted(&self, name: &str) -> Option<Value> {
        self.recorder.as_ref()?.noted(&self.step, self.attempt, name)
    }

    /// What the attempts at this step noted under this name, the first one's first. A way back sees
    /// what the step that it undoes noted.
    pub fn all_noted(&self, name: &str) -> Vec<Value> {
        let unit = self.step.strip_suffix(COMPENSATE).unwrap_or(&self.step);
        self.recorder.as_ref().map(|it| it.all_noted(unit, name)).unwrap_or_default()
    }

    /// Masks a secret from now on in everything that leaves the run, also in later runners as long
    /// as it lies in one of `files`.
    ///
    /// # Errors
    /// Where that cannot be written down: then do not use it.
    pub fn learn(&self, secret: &str, files: &[&Path]) -> Result<()> {
        if let Some(recorder) = &self.recorder {
            recorder.secrets().learn(secret);
        }
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        self.note(SECRET_FILES, files)
    }

    /// Runs a program in a process group of its own that is known to the journal before the
    /// program begins, and ends with all its children where the attempt is cancelled.
    ///
    /// # Errors
    /// `interrupted` where it was cancelled; `tool_missing`, `io`.
    pub async fn child(&self, command: ChildCommand) -> Result<ChildEnd> {
        command.run(self).await
    }

    /// Waits for `work`, or until the attempt has to end.
    ///
    /// # Errors
    /// `interrupted`.
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel().cancelled() => {
                Err(Error::new(Code::Interrupted, "finish step", &self.step))
            }
            done = work => done,
        }
    }

    pub(in crate::runbook) fn reach(&self, point: Point) {
        if let Some(points) = &self.points {
            points(point, &self.step);
        }
    }
}
