//! Containers that run, are not held, and may write to the files that are taken.

use super::plan::Plan;
use super::sources::{Place, Source};
use crate::docker::{Docker, RunState};
use crate::error::{Code, Result};
use crate::progress::Progress;
use std::collections::BTreeSet;

/// Whom to look for. Asked before the hold, and again before its end for those that were
/// started meanwhile.
pub(super) struct Bystanders {
    docker: Option<Docker>,
    sources: Vec<Source>,
    held: BTreeSet<String>,
}

/// A container, and a file tree that it may write to.
type Seen = BTreeSet<(String, String)>;

impl Bystanders {
    /// Those of a plan in which databases and files are to belong together.
    pub(super) fn of(plan: &Plan) -> Self {
        let sources = plan.sources.iter().filter(|_| !plan.databases.is_empty());
        Self {
            docker: plan.docker.clone(),
            sources: sources.map(|planned| planned.source.clone()).collect(),
            held: plan.held().into_iter().map(|container| container.id).collect(),
        }
    }

    /// Those that run now.
    pub(super) async fn look(&self) -> Result<Seen> {
        let mut seen = Seen::new();
        let Some(docker) = &self.docker else { return Ok(seen) };
        for source in &self.sources {
            let mounters = match &source.place {
                Place::Directory(path) => docker.mounters_at(path).await?,
                Place::Container { volume, .. } => docker.mounters(volume).await?,
            };
            let writers = mounters.into_iter().filter(|mounter| {
                mounter.state == RunState::Running
                    && mounter.writable
                    && !self.held.contains(&mounter.id)
            });
            seen.extend(writers.map(|mounter| (mounter.name, source.tree.name.clone())));
        }
        Ok(seen)
    }
}

/// What may have been written behind the fence's back, as sentences; each is warned about.
pub(super) fn disturbances(
    seen: &Seen,
    strays: Vec<String>,
    progress: &dyn Progress,
) -> Vec<String> {
    let sentences = seen.iter().map(|(container, tree)| {
        format!("container {container} was not held and may have written to {tree}")
    });
    let sentences: Vec<String> = sentences.chain(strays).collect();
    for sentence in &sentences {
        progress.warn(Code::ContainerNotHeld, sentence.clone());
    }
    sentences
}
