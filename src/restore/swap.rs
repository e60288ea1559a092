//! The exchange: hold, swap, resume, wait for health, or all of it back, under one guard.
//!
//! From the moment the record says `swapping` until it says `swapped`, a dead backstop's
//! guardian holds the containers again where they run, swaps everything back, and resumes
//! them: a restore that did not end has not happened.

use super::onlookers;
use super::plan::Plan;
use super::record::{RestoreRecord, Stage};
use super::volume::{self, Action, perform};
use crate::backup::Reach;
use crate::docker::{Container, Docker};
use crate::error::{Code, Error, Result};
use crate::fence::{self, Hold, Journal};
use crate::repository::manifest::Downtime;
use crate::setting::Setting;

/// Which way the states change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The restored state becomes live.
    Forth,
    /// The state before the restore becomes live again.
    Back,
}

/// Makes everything that was built live.
///
/// # Errors
/// The record's stage tells what is live then: where it is `abandoned` or `rolled_back`, the
/// old state is, and the containers run.
pub(super) async fn swap(
    setting: &Setting,
    plan: &Plan,
    restore: &mut RestoreRecord,
) -> Result<Vec<Downtime>> {
    let reaches: Vec<&Reach> = plan.databases.iter().map(|planned| &planned.reach).collect();
    let docker = plan.docker.as_ref();
    Exchange { setting, docker, containers: &plan.containers, reaches }.forth(restore).await
}

/// What changes places, and who must not see it happen.
pub(super) struct Exchange<'a> {
    pub(super) setting: &'a Setting,
    pub(super) docker: Option<&'a Docker>,
    pub(super) containers: &'a [Container],
    pub(super) reaches: Vec<&'a Reach>,
}

impl Exchange<'_> {
    /// Makes the restored state live, and the old one again where the containers do not start
    /// on it or do not become healthy.
    pub(super) async fn forth(&self, restore: &mut RestoreRecord) -> Result<Vec<Downtime>> {
        let progress = &self.setting.progress;
        let mut hold = self.hold(restore).await?;

        // From here on a signal waits until all has changed places or nothing has.
        progress.step("swap");
        self.look_again(restore).await?;
        restore.become_newest(&self.setting.config.state.dir)?;
        self.save(restore, Stage::Swapping)?;
        if let Err(error) = self.turn(restore, Direction::Forth).await {
            self.way_back(restore, &error).await?;
            self.save(restore, restore.unswapped())?;
            self.end(hold, restore).await?;
            return Err(error);
        }

        self.save(restore, Stage::Resuming)?;
        progress.step("resume");
        let sick = match self.start(&mut hold).await {
            Ok(downtime) => {
                self.save(restore, Stage::Swapped)?;
                hold.settle()?;
                self.leave(hold, restore).await?;
                return Ok(downtime);
            }
            Err(sick) => sick,
        };

        progress.step("swap-back");
        hold.hold_again().await?;
        self.save(restore, Stage::SwappingBack)?;
        self.way_back(restore, &sick).await?;
        self.save(restore, Stage::RolledBack)?;
        self.end(hold, restore).await?;
        Err(sick)
    }

    /// Makes the state before the restore live again.
    pub(super) async fn back(&self, restore: &mut RestoreRecord) -> Result<Vec<Downtime>> {
        let hold = self.hold(restore).await?;
        self.setting.progress.step("swap");
        self.save(restore, Stage::SwappingBack)?;
        let swapped = self.turn(restore, Direction::Back).await;
        let stage = match &swapped {
            Ok(()) => Stage::RolledBack,
            Err(_) => {
                turn(self.docker, &self.reaches, restore, Direction::Forth).await?;
                Stage::Swapped
            }
        };
        self.save(restore, stage)?;
        let downtime = self.end(hold, restore).await?;
        swapped.map(|()| downtime)
    }

    async fn hold(&self, restore: &RestoreRecord) -> Result<Hold> {
        let mut journal = Journal::new(&restore.key, self.containers);
        journal.restore = Some(restore.key.clone());
        volume::ready(self.docker, restore).await?;
        self.setting.progress.step("quiesce");
        let mut hold = Hold::post(self.setting, journal).await?;
        let holding = hold.quiesce(self.docker, self.setting);
        self.setting.unless_interrupted("hold", holding).await?;
        // Everything that was selected is stopped; somebody may have started something else.
        onlookers::refuse_recorded(self.docker, &restore.trees, &[]).await?;
        Ok(hold)
    }

    /// Finds out anew, now that the writers are held, what there is to replace.
    async fn look_again(&self, restore: &mut RestoreRecord) -> Result<()> {
        for swap in &mut restore.databases {
            let target = &reach_of(&self.reaches, &swap.component)?.target;
            swap.look_again(target).await?;
        }
        for tree in &mut restore.trees {
            *tree = perform(self.docker, &restore.key, tree, Action::LookAgain).await?;
        }
        Ok(())
    }

    async fn turn(&self, restore: &RestoreRecord, direction: Direction) -> Result<()> {
        turn(self.docker, &self.reaches, restore, direction).await?;
        self.setting.check_interrupted("swap the state of")
    }

    /// Turns everything back because of `why`, which is told at once where that fails too.
    async fn way_back(&self, restore: &RestoreRecord, why: &Error) -> Result<()> {
        let back = turn(self.docker, &self.reaches, restore, Direction::Back).await;
        if back.is_err() {
            self.setting.progress.warn(why.code(), why.to_string());
        }
        back
    }

    /// Starts the containers on the new state and waits for their health.
    async fn start(&self, hold: &mut Hold) -> Result<Vec<Downtime>> {
        self.hold_strays(hold).await?;
        let downtime = hold.release().await?;
        self.setting.progress.step("health");
        let Some(docker) = self.docker else { return Ok(downtime) };
        let health = async {
            let sick = fence::wait_healthy(docker, self.containers).await.into_iter().next();
            sick.map_or(Ok(()), Err)
        };
        self.setting.unless_interrupted("wait for the health of", health).await?;
        Ok(downtime)
    }

    /// A container that somebody else started meanwhile has the old directories mounted, and
    /// would go on to write there.
    async fn hold_strays(&self, hold: &Hold) -> Result<()> {
        let strays = hold.strays().await;
        for stray in &strays {
            self.setting.progress.warn(Code::ContainerNotHeld, stray.clone());
        }
        if strays.is_empty() { Ok(()) } else { hold.hold_again().await }
    }

    /// Lets the containers go on for good, and ends the guard.
    async fn end(&self, mut hold: Hold, restore: &RestoreRecord) -> Result<Vec<Downtime>> {
        hold.settle_restore()?;
        self.setting.progress.step("resume");
        self.hold_strays(&hold).await?;
        let downtime = hold.resume().await?;
        self.leave(hold, restore).await?;
        Ok(downtime)
    }

    async fn leave(&self, hold: Hold, restore: &RestoreRecord) -> Result<()> {
        hold.finish().await?;
        volume::discard(self.docker, restore).await
    }

    fn save(&self, restore: &mut RestoreRecord, stage: Stage) -> Result<()> {
        restore.save(&self.setting.config.state.dir, stage)
    }
}

fn reach_of<'a>(reaches: &[&'a Reach], component: &str) -> Result<&'a Reach> {
    reaches.iter().copied().find(|reach| reach.config.name == component).ok_or_else(|| {
        Error::new(Code::ComponentNotFound, "swap database", component)
            .cause("the config has no [[databases]] entry of this name")
    })
}

/// Turns every tree and every database. Does nothing for those that are turned already.
pub(super) async fn turn(
    docker: Option<&Docker>,
    reaches: &[&Reach],
    restore: &RestoreRecord,
    direction: Direction,
) -> Result<()> {
    for swap in &restore.databases {
        let reach = reach_of(reaches, &swap.component)?;
        match direction {
            Direction::Forth => swap.swap(&reach.target).await?,
            Direction::Back => swap.swap_back(&reach.target).await?,
        }
    }
    for tree in &restore.trees {
        let action = match direction {
            Direction::Forth => Action::Swap,
            Direction::Back => Action::SwapBack,
        };
        perform(docker, &restore.key, tree, action).await?;
    }
    Ok(())
}
