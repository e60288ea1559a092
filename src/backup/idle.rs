//! Writers that did not run anyway: what writes nothing is as good as held, as long as it
//! was not started meanwhile.

use super::consistency::Writers;
use crate::docker::{Container, Docker, RunState};
use crate::error::Code;
use futures_util::future::join_all;

/// Selected containers that are not held, as they were at the fence.
pub(super) struct Idle {
    docker: Option<Docker>,
    selected: bool,
    containers: Vec<(Container, Seen)>,
}

/// What one look at a container told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// It did not run; when it was started last, where it still exists.
    Still(Option<String>),
    /// It ran, or could not be looked at.
    Astir,
}

impl Idle {
    /// Looks at those of the selected `writers` that did not run when the backup was planned;
    /// the others are held.
    pub(super) async fn look(docker: Option<&Docker>, writers: &[Container]) -> Self {
        let idle = writers.iter().filter(|container| !container.is_running());
        let looks = idle.map(async |container| (container.clone(), see(docker, container).await));
        Self {
            docker: docker.cloned(),
            selected: !writers.is_empty(),
            containers: join_all(looks).await,
        }
    }

    /// Looks again, and says what is proven of all writers. `holding` says whether those
    /// that ran are held.
    pub(super) async fn judge(self, holding: bool) -> Writers {
        let looks = self.containers.iter().map(async |(container, before)| {
            let now = see(self.docker.as_ref(), container).await;
            (now == Seen::Astir || *before != now).then(|| container.name.clone())
        });
        let stirred: Vec<String> = join_all(looks).await.into_iter().flatten().collect();
        match (stirred.is_empty(), holding, self.selected) {
            (false, ..) => Writers::Stirred(stirred),
            (true, true, _) => Writers::Held,
            (true, false, true) => Writers::Stopped,
            (true, false, false) => Writers::Unknown,
        }
    }
}

async fn see(docker: Option<&Docker>, container: &Container) -> Seen {
    let Some(docker) = docker else { return Seen::Astir };
    match docker.status(&container.id).await {
        Ok(status) if status.state != RunState::Running => Seen::Still(status.started_at),
        // What was removed writes no more. Where it was still there at the first look, the
        // two differ, and nothing is proven.
        Err(e) if e.code() == Code::ContainerNotFound => Seen::Still(None),
        _ => Seen::Astir,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_selected_container_nothing_is_proven() {
        assert_eq!(Idle::look(None, &[]).await.judge(false).await, Writers::Unknown);
    }
}
