//! A guard that is posted, and the containers held under it, if any.

use super::guardian::Guardian;
use super::journal::{Journal, LiveJournal};
use super::quiesce::{HeldContainers, quiesce};
use crate::docker::Docker;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::Downtime;
use crate::setting::Setting;
use std::sync::Arc;

/// A posted guardian and what it guards. Dropping it leaves everything that is not undone
/// yet to the guardian.
#[derive(Debug)]
pub struct Hold {
    // Declared first: the containers must be given up before their guardian.
    held: Option<HeldContainers>,
    guardian: Arc<Guardian>,
    containers: bool,
}

impl Hold {
    /// Starts the guardian and writes the journal. Nothing is held yet.
    pub async fn post(setting: &Setting, journal: Journal) -> Result<Self> {
        let containers = !journal.containers.is_empty();
        let live = LiveJournal::reserve(&setting.config.state.dir, journal)?;
        let config = setting.config_file.as_deref();
        let guardian = Guardian::spawn(live, &setting.executable, config).await?;
        guardian.journal().write()?;
        Ok(Self { held: None, guardian, containers })
    }

    /// The journal under guard.
    pub fn journal(&self) -> &Arc<LiveJournal> {
        self.guardian.journal()
    }

    /// Holds the containers of the journal, dependents first.
    pub async fn quiesce(&mut self, docker: Option<&Docker>, setting: &Setting) -> Result<()> {
        match docker {
            Some(docker) if self.containers => {
                self.held = Some(quiesce(docker, &self.guardian, &setting.progress).await?);
                Ok(())
            }
            None if self.containers => {
                Err(Error::new(Code::DockerUnreachable, "hold", "the containers of the journal"))
            }
            _ => Ok(()),
        }
    }

    /// Whether containers are held now.
    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Lets the containers go on, dependencies first, and says how long each was held.
    pub async fn resume(&mut self) -> Result<Vec<Downtime>> {
        match self.held.take() {
            Some(held) => held.resume().await,
            None => Ok(Vec::new()),
        }
    }

    /// Lets the containers go on with a state that may have to be taken away from them again:
    /// the guard stays.
    pub async fn release(&mut self) -> Result<Vec<Downtime>> {
        match &mut self.held {
            Some(held) => held.release().await,
            None => Ok(Vec::new()),
        }
    }

    /// Holds what was let go once more.
    pub async fn hold_again(&self) -> Result<()> {
        match &self.held {
            Some(held) => held.hold_again().await,
            None => Ok(()),
        }
    }

    /// Which containers were let go by somebody else; see [`HeldContainers::strays`].
    pub async fn strays(&self) -> Vec<String> {
        match &self.held {
            Some(held) => held.strays().await,
            None => Vec::new(),
        }
    }

    /// What was let go may stay so: nothing is undone any more.
    pub fn settle(&mut self) -> Result<()> {
        match self.held.take() {
            Some(held) => held.settle(),
            None => self.journal().settle(),
        }
    }

    /// Says that the restore which the journal names must not be undone any more.
    pub fn settle_restore(&self) -> Result<()> {
        self.journal().set_restore(None)
    }

    /// Ends the guard. What is still in the journal is left to the guardian.
    pub async fn finish(self) -> Result<()> {
        let Self { held, guardian, .. } = self;
        drop(held);
        match tokio::task::spawn_blocking(move || guardian.finish()).await {
            Ok(finished) => finished,
            Err(e) => Err(Error::new(Code::GuardianFailed, "release", "the guardian").source(e)),
        }
    }
}
