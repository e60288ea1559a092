//! A guard from where it stands to its end: which run comes next.

use super::order::{Order, Protection, close, rollback};
use super::phase::{GUARD, PHASE, Phase};
use super::record::{Guard, NO_ROLLBACK, Standing};
use crate::error::{Code, Error, Result};
use crate::repository::{Lock, LockMode, create_dir};
use crate::runbook::{self, Ended, Engine, Outcome, Parameters, Run};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// In the state directory: whoever works on a guard holds it.
const LOCK: &str = "guard.lock";

/// Does what guards need done. The engine's registry knows `guard.command`.
pub struct Driver {
    engine: Engine,
}

/// How a guard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The upgrade is made.
    Upgraded,
    /// There was nothing to finish.
    Nothing,
}

impl Driver {
    /// One that works with `engine`, and agrees to all that a guard's runbooks ask.
    pub fn new(engine: Engine) -> Self {
        Self { engine: Engine { yes: true, ..engine } }
    }

    /// Takes the backup, runs the command, sees whether the application works, and goes back where
    /// it does not. Returns the guard's id, and how it ended.
    ///
    /// # Errors
    /// `locked` while another guard is at work; `run_refused` beside what has not ended; then, with the guard's id: `upgrade_not_begun` where
    /// there is no backup, `upgrade_failed` where nothing is undone, `upgrade_rolled_back`,
    /// `rollback_failed`, `interrupted`.
    pub async fn begin(&self, order: &Order) -> Result<(String, Result<Finished>)> {
        let _alone = self.alone().await?;
        self.give_up_the_dead().await?;
        self.engine.refuse_beside_another()?;
        let id = runbook::new_id()?;
        let finished = self.protect(&id, order).await;
        let before = [Standing::Protecting, Standing::Protected];
        if let (Err(_), Ok(guard)) = (&finished, self.guard(&id))
            && before.contains(&guard.standing())
            && let Err(error) = self.give_up(&guard).await
        {
            let said = format!("what was prepared is not undone yet: {error}");
            self.engine.setting.progress.warn(error.code(), said);
        }
        Ok((id, finished))
    }

    async fn protect(&self, id: &str, order: &Order) -> Result<Finished> {
        let config = &self.engine.setting.config;
        let parameters = order.protect(id, &self.engine.registry, config)?;
        let outcome = self.run(id, Phase::Protect, parameters, order.no_rollback).await?;
        let guard = self.guard(id)?;
        let protection = match outcome {
            Outcome::Ended(Ended::Succeeded) => Protection {
                backup: guard.backup(),
                running: guard.protect.as_ref().map(running).unwrap_or_default(),
            },
            Outcome::Ended(_) if order.allow_unprotected => {
                let why = why(guard.protect.as_ref());
                let said = format!("no backup protects this upgrade: {why}");
                self.engine.setting.progress.warn(Code::UpgradeNotBegun, said);
                Protection::default()
            }
            Outcome::Ended(_) => {
                let code = match is_locked(guard.protect.as_ref()) {
                    true => Code::Locked,
                    false => Code::UpgradeNotBegun,
                };
                return Err(Error::new(code, "back up before upgrade", id)
                    .cause(why(guard.protect.as_ref())));
            }
            Outcome::Waiting { .. } | Outcome::Paused { .. } => {
                return Err(not_begun(id, Code::Interrupted));
            }
        };
        if self.engine.setting.cancel.is_cancelled() {
            return Err(not_begun(id, Code::Interrupted));
        }
        let parameters = order.upgrade(id, &protection, &self.engine.registry, config)?;
        let outcome = self.run(id, Phase::Upgrade, parameters, order.no_rollback).await?;
        self.after_upgrade(id, outcome).await
    }

    async fn after_upgrade(&self, id: &str, outcome: Outcome) -> Result<Finished> {
        let guard = self.guard(id)?;
        match outcome {
            Outcome::Ended(Ended::Succeeded) => Ok(Finished::Upgraded),
            Outcome::Ended(_) if !guard.has_begun() => {
                self.give_up(&guard).await?;
                Err(not_begun(id, Code::UpgradeNotBegun).cause(why(guard.upgrade.as_ref())))
            }
            Outcome::Ended(_) if guard.stays_failed() || guard.backup().is_none() => {
                let hint = match guard.backup() {
                    Some(_) => format!("`backstop guard resume {id}` goes back"),
                    None => "there is no backup to go back to; mend it by hand".into(),
                };
                Err(Error::new(Code::UpgradeFailed, "upgrade under guard", id)
                    .cause(why(guard.upgrade.as_ref()))
                    .hint(hint))
            }
            Outcome::Ended(_) => self.go_back(&guard).await,
            Outcome::Waiting { .. } | Outcome::Paused { .. } => Err(cut_short(id)),
        }
    }

    /// Goes back, in a run of its own.
    async fn go_back(&self, guard: &Guard) -> Result<Finished> {
        let id = &guard.id;
        let why = why(guard.upgrade.as_ref());
        let backup = guard.backup().ok_or_else(|| {
            Error::new(Code::UpgradeFailed, "roll back guard", id).cause("it has no backup")
        })?;
        let looked = guard.upgrade.as_ref().map(|run| &run.state.created.parameters);
        let (registry, config) = (&self.engine.registry, &self.engine.setting.config);
        self.engine.setting.progress.note(format!("the upgrade failed: {why}; going back"));
        let begun = async {
            let parameters = rollback(&backup, looked, registry, config)?;
            self.run(id, Phase::Rollback, parameters, false).await
        };
        match begun.await {
            Ok(outcome) => self.after_rollback(id, outcome),
            Err(e) => Err(Error::new(Code::RollbackFailed, "roll back guard", id).source(e)),
        }
    }

    /// Goes back to a backup, without a guard that has failed. Returns the run's id and where it
    /// stands.
    ///
    /// # Errors
    /// `run_refused` beside what has not ended; those of a run that does not begin.
    pub async fn go_back_to(&self, backup: &str) -> Result<(String, Outcome)> {
        let _alone = self.alone().await?;
        self.engine.refuse_beside_another()?;
        let (registry, config) = (&self.engine.registry, &self.engine.setting.config);
        let parameters = rollback(backup, None, registry, config)?;
        self.engine.start(&Phase::Rollback.runbook(registry)?, parameters).await
    }

    fn after_rollback(&self, id: &str, outcome: Outcome) -> Result<Finished> {
        let guard = self.guard(id)?;
        match outcome {
            Outcome::Ended(Ended::Succeeded) => {
                Err(Error::new(Code::UpgradeRolledBack, "upgrade under guard", id)
                    .cause(why(guard.upgrade.as_ref())))
            }
            Outcome::Ended(_) => Err(Error::new(Code::RollbackFailed, "roll back guard", id)
                .cause(why(guard.rollbacks.last()))),
            Outcome::Waiting { .. } | Outcome::Paused { .. } => Err(cut_short(id)),
        }
    }

    /// Finishes a guard that was cut off: forward where the application works, back where it does
    /// not. One whose command had not begun is given up. One that failed and went back no further
    /// goes back. Without `wanted` the newest one that is not over; with `force` also on another
    /// host or with another version.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); `locked` while somebody else works on it.
    pub async fn resume(
        &self,
        wanted: Option<&str>,
        force: bool,
    ) -> Result<Option<(String, Result<Finished>)>> {
        let _alone = self.alone().await?;
        let store = self.engine.store();
        let guard = match wanted {
            Some(wanted) => Guard::find(&store, wanted)?,
            None => match Guard::all(&store, |_| {})?.into_iter().find(|it| !it.is_over()) {
                Some(guard) => guard,
                None => return Ok(None),
            },
        };
        let finished = self.finish(&guard, force).await;
        Ok(Some((guard.id, finished)))
    }

    async fn finish(&self, guard: &Guard, force: bool) -> Result<Finished> {
        let id = &guard.id;
        match guard.standing() {
            Standing::Upgraded | Standing::Closed => Ok(Finished::Nothing),
            Standing::RolledBack => self.after_rollback(id, Outcome::Ended(Ended::Succeeded)),
            Standing::GivenUp => Err(not_begun(id, Code::UpgradeNotBegun)),
            Standing::Protecting | Standing::Protected => {
                self.give_up(guard).await?;
                Err(not_begun(id, Code::UpgradeNotBegun))
            }
            Standing::Upgrading => {
                let outcome = self.go_on(guard.upgrade.as_ref(), guard, force).await?;
                self.after_upgrade(id, outcome).await
            }
            Standing::Failed | Standing::RollbackFailed => {
                if !force {
                    self.refuse_behind_another(guard)?;
                }
                self.go_back(guard).await
            }
            Standing::RollingBack => {
                let outcome = self.go_on(guard.rollbacks.last(), guard, force).await?;
                self.after_rollback(id, outcome)
            }
        }
    }

    /// Going back past a later upgrade would undo that one as well.
    fn refuse_behind_another(&self, guard: &Guard) -> Result<()> {
        let guards = Guard::all(&self.engine.store(), |_| {})?;
        let later = guards.iter().take_while(|other| other.id != guard.id);
        match later.into_iter().find(|other| other.has_begun()) {
            None => Ok(()),
            Some(later) => Err(Error::new(Code::RunRefused, "go back with guard", &guard.id)
                .cause(format!("guard {} has changed the stack since", later.id))
                .hint(format!(
                    "`backstop rollback {}` counts what is newer and asks; `backstop guard close \
                     {}` says that it is settled",
                    guard.backup().unwrap_or_default(),
                    guard.id
                ))),
        }
    }

    /// Says that somebody has brought a guard to its end by hand that could not go back, or was
    /// not to.
    ///
    /// # Errors
    /// `locked`; `run_refused` where it is over, or can still go on by itself.
    pub async fn close(&self, wanted: &str) -> Result<String> {
        let _alone = self.alone().await?;
        let guard = Guard::find(&self.engine.store(), wanted)?;
        let standing = guard.standing();
        if !matches!(standing, Standing::Failed | Standing::RollbackFailed) {
            return Err(Error::new(Code::RunRefused, "close guard", &guard.id)
                .cause(format!("it is {}", standing.as_str()))
                .hint("`backstop guard resume` finishes one that was cut off"));
        }
        let (registry, config) = (&self.engine.registry, &self.engine.setting.config);
        let parameters = close(guard.backup(), registry, config)?;
        self.run(&guard.id, Phase::Close, parameters, false).await?;
        Ok(guard.id)
    }

    /// Gives up every guard that was cut off before its command began: nothing has changed. The
    /// images of its backup are held no more.
    async fn give_up_the_dead(&self) -> Result<()> {
        for guard in Guard::all(&self.engine.store(), |_| {})? {
            if matches!(guard.standing(), Standing::Protecting | Standing::Protected) {
                self.give_up(&guard).await?;
            } else if !guard.is_over() {
                return Err(Error::new(Code::RunRefused, "begin a guard beside", &guard.id)
                    .cause(format!("this guard is {}", guard.standing().as_str()))
                    .hint(format!(
                        "`backstop guard resume {0}` finishes it; `backstop guard close {0}` says \
                         that somebody has",
                        guard.id
                    )));
            }
        }
        Ok(())
    }

    /// Ends the runs of a guard whose command has not begun, and undoes what they did.
    async fn give_up(&self, guard: &Guard) -> Result<()> {
        let state_dir = &self.engine.setting.config.state.dir;
        // It is undone although somebody wants this process to end.
        let mut engine = self.engine.clone();
        engine.setting.cancel = CancellationToken::new();
        // What holds images goes first: until that is done the guard is not given up.
        for run in guard.protect.iter().chain(&guard.upgrade) {
            if matches!(run.state.ended(), Some(Ended::Failed | Ended::Aborted)) {
                continue;
            }
            let reason = "the guard was cut off before its command began";
            let decided = runbook::abort(state_dir, run.id(), reason, true)?;
            if decided.alive {
                return Err(Error::new(Code::Locked, "give up guard", &guard.id)
                    .cause("somebody works on it"));
            }
            engine.resume(run.id(), true).await?;
        }
        Ok(())
    }

    /// Sees to it that nobody takes a guard for dead that is between two runs.
    async fn alone(&self) -> Result<Lock> {
        let setting = &self.engine.setting;
        let (dir, wait) = (setting.config.state.dir.clone(), setting.lock_wait);
        setting
            .blocking(move || {
                create_dir(&dir)?;
                Lock::take(&dir.join(LOCK), LockMode::Exclusive, wait)
            })
            .await
    }

    async fn run(
        &self,
        id: &str,
        phase: Phase,
        parameters: Parameters,
        no_rollback: bool,
    ) -> Result<Outcome> {
        let mut engine = self.engine.clone();
        engine.labels.insert(GUARD.into(), id.into());
        engine.labels.insert(PHASE.into(), phase.as_str().into());
        if no_rollback {
            engine.labels.insert(NO_ROLLBACK.into(), "true".into());
        }
        let checked = phase.runbook(&engine.registry)?;
        engine.start(&checked, parameters).await.map(|(_, outcome)| outcome)
    }

    async fn go_on(&self, run: Option<&Run>, guard: &Guard, force: bool) -> Result<Outcome> {
        let run = run.ok_or_else(|| Error::new(Code::RunNotFound, "resume guard", &guard.id))?;
        self.engine.resume(run.id(), force).await.map(|(_, outcome)| outcome)
    }

    fn guard(&self, id: &str) -> Result<Guard> {
        Guard::find(&self.engine.store(), id)
    }
}

/// The containers that ran when the backup was taken.
fn running(protect: &Run) -> Vec<String> {
    let outputs = protect.state.unit("hold").outputs;
    let names = outputs["running"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Why a run did not succeed.
fn why(run: Option<&Run>) -> String {
    let failure = run.and_then(|run| run.state.failure.as_ref());
    let said = failure.and_then(|(_, error)| error["message"].as_str());
    said.unwrap_or("it was ended").to_owned()
}

/// Whether it failed because another backstop was at work.
fn is_locked(run: Option<&Run>) -> bool {
    let failure = run.and_then(|run| run.state.failure.as_ref());
    failure.is_some_and(|(_, error)| error["code"] == Code::Locked.as_str())
}

fn not_begun(id: &str, code: Code) -> Error {
    let error = Error::new(code, "upgrade under guard", id);
    match code {
        Code::Interrupted => error.cause("it was ended before its command began; nothing changed"),
        _ => error.cause("its command was never begun; nothing was changed"),
    }
}

fn cut_short(id: &str) -> Error {
    Error::new(Code::Interrupted, "finish guard", id)
        .cause("a signal asked for its end")
        .hint(format!("`backstop guard resume {id}` finishes it"))
}
