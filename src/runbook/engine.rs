//! Does the steps of a run by the rules of `docs/runbooks/format.md`, and goes on where another
//! runner was cut off.
//!
//! [`Engine::start`] and [`Engine::resume`] are the way in; `drive` goes through the phases of a
//! run, `step` through what one step needs, `attempt` is intent, effect and outcome, `resolve`
//! finds out what became of an attempt that has none, `failure` is what follows a failure.

mod attempt;
mod call;
mod drive;
mod failure;
mod resolve;
mod step;
mod unit;

use super::action::{Points, Registry, SECRET_FILES};
use super::audience::{Audience, News};
use super::check::{Checked, check};
use super::child::end_left_over;
use super::parameters::Parameters;
use super::plan::preflight;
use super::run::{Created, Ended, Entry, Run, Store, TargetLock, Who, new_id};
use super::secret::Secrets;
use crate::error::{Code, Error, Result};
use crate::host;
use crate::setting::Setting;
use drive::Drive;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version that runs.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs runbooks.
#[derive(Clone)]
pub struct Engine {
    /// The config and what operations are given.
    pub setting: Setting,
    /// The actions that steps may name.
    pub registry: Arc<Registry>,
    /// Who looks on.
    pub audience: Arc<dyn Audience>,
    /// Whether approvals are given beforehand. What a person has to do is not.
    pub yes: bool,
    /// Words that are kept beside the runs that it begins.
    pub labels: BTreeMap<String, String>,
    /// What is called at each [`Point`](super::Point), for tests.
    pub points: Option<Points>,
}

/// Where a run stands when its runner stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has ended.
    Ended(Ended),
    /// A person has to agree to this step, or to do it.
    Waiting {
        /// The step.
        step: String,
    },
    /// It goes on when it is resumed.
    Paused {
        /// The step at which it stands.
        step: Option<String>,
        /// Why.
        reason: String,
    },
}

impl Engine {
    /// Begins a run and goes on with it until it ends, waits or pauses. Returns its id too.
    ///
    /// # Errors
    /// Before anything is done: `secret_missing`, `runbook_invalid`, `locked`. Later what keeps
    /// the journal from being written; a step that fails is no error but an [`Outcome`].
    pub async fn start(
        &self,
        checked: &Checked,
        parameters: Parameters,
    ) -> Result<(String, Outcome)> {
        let secrets = read_secrets(checked, &parameters)?;
        let checked = &checked.unrolled(&parameters)?;
        preflight(&self.setting, &self.registry, checked, &parameters, &secrets)?;
        let config = &self.setting.config;
        let (id, target) = (new_id()?, config.stack.name.clone());
        let lock = self.lock(&target, &id).await?;
        let created = Created {
            run: id.clone(),
            runbook: checked.runbook.name.clone(),
            title: checked.runbook.title.clone(),
            source: checked.source.clone(),
            sha256: String::new(),
            parameters,
            target,
            stack: config.stack.name.clone(),
            version: VERSION.into(),
            who: Who::current(),
            labels: self.labels.clone(),
        };
        let run = self.store().create(&checked.text, created)?;
        self.audience
            .tell(News::Said { message: &format!("run {id} of {}", checked.runbook.name) });
        let outcome = self.drive(run, checked.clone(), secrets, lock).await?;
        Ok((id, outcome))
    }

    /// Goes on with a run that waits, pauses, or whose runner died. One that has ended stays as
    /// it is.
    ///
    /// # Errors
    /// `run_not_found`; `run_refused` on another host or with another version, unless `force`;
    /// `run_damaged` where its text was changed; `locked`.
    pub async fn resume(&self, wanted: &str, force: bool) -> Result<(String, Outcome)> {
        let run = self.store().find(wanted)?;
        let id = run.id().to_owned();
        if let Some(ended) = run.state.ended() {
            return Ok((id, Outcome::Ended(ended)));
        }
        if !force {
            same_surroundings(&run)?;
        }
        let created = &run.state.created;
        // The stored text alone counts, whatever became of the file.
        let checked = check(&created.source, &run.text()?, &self.registry)?;
        let checked = checked.unrolled(&created.parameters)?;
        let secrets = read_secrets(&checked, &created.parameters)?;
        let lock = self.lock(&created.target, &id).await?;
        // Another runner may have gone on meanwhile.
        let run = self.store().open(&id)?;
        if let Some(ended) = run.state.ended() {
            return Ok((id, Outcome::Ended(ended)));
        }
        let outcome = self.drive(run, checked, secrets, lock).await?;
        Ok((id, outcome))
    }

    async fn drive(
        &self,
        run: Run,
        checked: Checked,
        secrets: Secrets,
        lock: TargetLock,
    ) -> Result<Outcome> {
        let dir = run.dir.clone();
        run.state.noted(SECRET_FILES).for_each(|files| secrets.learn_files(files));
        let began = Entry::RunnerBegan {
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            who: Who::current(),
            version: VERSION.into(),
        };
        let recorder = Arc::new(run.into_recorder().begin_epoch(secrets, began)?);
        let drive = Drive { engine: self, runbook: checked.runbook, recorder, dir };
        self.mirror();
        let outcome = drive.run().await;
        self.mirror();
        drop(lock);
        outcome
    }

    /// Brings the catalog in line. It can be made anew of the journals at any time, so a run goes
    /// on without it.
    fn mirror(&self) {
        let state = &self.setting.config.state.dir;
        if let Err(error) = super::mirror::mirror(state, &self.setting.progress) {
            let message = format!("the catalog does not know of the run yet: {error}");
            self.setting.progress.warn(error.code(), message);
        }
    }

    /// What one run has stopped or isolated, another one must not start.
    ///
    /// # Errors
    /// `run_refused` where a run on the stack has not ended.
    pub fn refuse_beside_another(&self) -> Result<()> {
        let config = &self.setting.config;
        match super::unfinished(&config.state.dir, &config.stack.name)?.first() {
            None => Ok(()),
            Some(run) => Err(Error::new(Code::RunRefused, "begin a run beside", run)
                .cause("this run on the stack has not ended")
                .hint(format!(
                    "`backstop runbook resume {run}` or `backstop runbook abort {run}` ends it, \
                     `backstop guard resume` one of a guard; --force begins another beside it"
                ))),
        }
    }

    /// The runs of the state directory.
    pub fn store(&self) -> Store {
        Store::in_dir(&self.setting.config.state.dir)
    }

    async fn lock(&self, target: &str, run: &str) -> Result<TargetLock> {
        let (state_dir, store) = (self.setting.config.state.dir.clone(), self.store());
        let (target, run, wait) = (target.to_owned(), run.to_owned(), self.setting.lock_wait);
        self.setting
            .blocking(move || {
                TargetLock::take(&state_dir, &target, &run, wait, &mut |dead| {
                    // Its children have the lock: they are ended as a resumption would.
                    if let Ok(run) = store.open(dead) {
                        let groups: Vec<_> =
                            run.state.groups.iter().map(|(group, _)| *group).collect();
                        end_left_over(&groups, &run.state.open_keys());
                    }
                })
            })
            .await
    }
}

/// A secret that is missing is told with the line that asks for it.
fn read_secrets(checked: &Checked, parameters: &Parameters) -> Result<Secrets> {
    check_secrets(checked, parameters)?;
    Secrets::read(&parameters.secrets)
}

/// Refuses a runbook whose secrets do not lie where they should.
///
/// # Errors
/// `secret_missing`, with the line of the parameter.
pub fn check_secrets(checked: &Checked, parameters: &Parameters) -> Result<()> {
    for (name, source) in &parameters.secrets {
        let one = BTreeMap::from([(name.clone(), source.clone())]);
        Secrets::read(&one).map_err(|error| checked.missing_secret(name, &error))?;
    }
    Ok(())
}

fn same_surroundings(run: &Run) -> Result<()> {
    let created = &run.state.created;
    let refused =
        |cause: String| Err(Error::new(Code::RunRefused, "resume run", run.id()).cause(cause));
    if created.who.host != host::name() {
        return refused(format!(
            "it was begun on the host {}, this is {}",
            created.who.host,
            host::name()
        ));
    }
    if created.version != VERSION {
        return refused(format!("version {} began it, this is {VERSION}", created.version));
    }
    Ok(())
}
