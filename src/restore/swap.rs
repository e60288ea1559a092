//! The exchange: hold, swap, resume, wait for health, or all of it back.
//!
//! From the moment the record says `swapping` until it says `swapped`, a dead backstop's
//! guardian swaps everything back before it resumes the containers.

use super::plan::Plan;
use super::record::{RestoreRecord, Stage};
use super::volume::{self, Action, perform};
use crate::backup::Reach;
use crate::docker::{Container, Docker};
use crate::error::{Code, Error, Result};
use crate::fence::{self, Hold, Journal};
use crate::repository::manifest::Downtime;
use crate::setting::Setting;
use tokio_util::sync::CancellationToken;

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
/// The old state is live again, and the containers run.
pub(super) async fn swap(
    setting: &Setting,
    plan: &Plan,
    restore: &mut RestoreRecord,
) -> Result<Vec<Downtime>> {
    let reaches: Vec<&Reach> = plan.databases.iter().map(|planned| &planned.reach).collect();
    let docker = plan.docker.as_ref();
    let exchanged =
        exchange(setting, docker, &plan.containers, &reaches, restore, Direction::Forth).await;
    let sick = match exchanged {
        Ok(downtime) => {
            setting.progress.step("health");
            let healthy = healthy(docker, &plan.containers);
            match setting.unless_interrupted("wait for the health of", healthy).await {
                Ok(()) => return Ok(downtime),
                Err(sick) => sick,
            }
        }
        // The restored state is live, and a container does not start on it.
        Err(error) if restore.stage == Stage::Swapped => error,
        Err(error) => return Err(error),
    };
    setting.progress.step("swap-back");
    // The signal that may have asked for the way back must not interrupt it.
    let back = &Setting { cancel: CancellationToken::new(), ..setting.clone() };
    exchange(back, docker, &plan.containers, &reaches, restore, Direction::Back).await?;
    Err(sick.hint(
        "the old state is live again; the restored one is kept, see `backstop rollback --list`",
    ))
}

/// Holds the containers, swaps everything in one direction, and resumes them.
pub(super) async fn exchange(
    setting: &Setting,
    docker: Option<&Docker>,
    containers: &[Container],
    reaches: &[&Reach],
    restore: &mut RestoreRecord,
    direction: Direction,
) -> Result<Vec<Downtime>> {
    let state_dir = &setting.config.state.dir;
    let mut journal = Journal::new(&restore.key, containers);
    journal.restore = Some(restore.key.clone());

    volume::ready(docker, restore).await?;

    setting.progress.step("quiesce");
    let mut hold = Hold::post(setting, journal).await?;
    setting.unless_interrupted("hold", hold.quiesce(docker, setting)).await?;

    // From here on a signal waits until all has changed places or nothing has.
    setting.progress.step("swap");
    let (goal, origin) = match direction {
        Direction::Forth => (Stage::Swapped, Stage::Abandoned),
        Direction::Back => (Stage::RolledBack, Stage::Swapped),
    };
    if direction == Direction::Forth {
        look_again(docker, reaches, restore).await?;
    }
    restore.save(state_dir, direction.under_way())?;
    let swapped = turn(docker, reaches, restore, direction)
        .await
        .and_then(|()| setting.check_interrupted("swap the state of"));
    let stage = match &swapped {
        Ok(()) => goal,
        Err(_) => {
            turn(docker, reaches, restore, direction.opposite()).await?;
            origin
        }
    };
    restore.save(state_dir, stage)?;
    hold.settle_restore()?;

    setting.progress.step("resume");
    let downtime = hold.resume().await?;
    hold.finish().await?;
    volume::discard(docker, restore).await?;
    swapped.map(|()| downtime)
}

impl Direction {
    fn opposite(self) -> Self {
        match self {
            Self::Forth => Self::Back,
            Self::Back => Self::Forth,
        }
    }

    /// The stage that tells a successor how to undo this.
    fn under_way(self) -> Stage {
        match self {
            Self::Forth => Stage::Swapping,
            Self::Back => Stage::SwappingBack,
        }
    }
}

/// Finds out anew, now that the writers are held, what there is to replace.
async fn look_again(
    docker: Option<&Docker>,
    reaches: &[&Reach],
    restore: &mut RestoreRecord,
) -> Result<()> {
    for swap in &mut restore.databases {
        let target = &reach_of(reaches, &swap.component)?.target;
        swap.look_again(target).await?;
    }
    for tree in &mut restore.trees {
        *tree = perform(docker, &restore.key, tree, Action::LookAgain).await?;
    }
    Ok(())
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

async fn healthy(docker: Option<&Docker>, containers: &[Container]) -> Result<()> {
    let Some(docker) = docker else { return Ok(()) };
    match fence::wait_healthy(docker, containers).await.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
