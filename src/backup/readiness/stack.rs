//! What is backed up: databases, files and containers.

use super::places::late;
use super::{NETWORK_LIMIT, Part, lacking};
use crate::backup::plan::needs_docker;
use crate::backup::reach::Reach;
use crate::backup::selection::Selection;
use crate::backup::sources::Source;
use crate::config::{ContainerSelection, Database, FileTree};
use crate::deadline;
use crate::docker::Docker;
use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use futures_util::future::join_all;
use std::slice::from_ref;
use std::time::Duration;

/// How much later than its work a thread is given up, so that the work says itself what was late.
const GRACE: Duration = Duration::from_millis(500);

/// What is not there of it.
pub(super) async fn look(setting: &Setting) -> Vec<(Part, Error)> {
    let config = &setting.config;
    let docker = Dock::find(setting).await;
    let docker = &docker;
    let databases = join_all(config.databases.iter().map(async |it| {
        lacking(Part::Database(it.name.clone()), database(setting, it, docker).await)
    }));
    let files = join_all(
        config
            .files
            .iter()
            .map(async |tree| lacking(Part::Files(tree.name.clone()), files(tree, docker).await)),
    );
    let selections = config.containers.iter().enumerate();
    let containers = join_all(selections.map(async |(index, selection)| {
        let Dock::There(docker) = docker else { return None };
        let part = Part::Containers { index, select: selection.select.to_string() };
        lacking(part, containers(docker, selection).await)
    }));
    let (databases, files, containers) = tokio::join!(databases, files, containers);
    let mut all: Vec<_> = containers.into_iter().chain(databases).chain(files).flatten().collect();
    if let Dock::Lacking(error) = docker {
        all.insert(0, (Part::Docker, again(error)));
    }
    all
}

/// Docker, as far as the config needs it.
enum Dock {
    Unneeded,
    There(Docker),
    Lacking(Error),
}

impl Dock {
    async fn find(setting: &Setting) -> Self {
        if !needs_docker(&setting.config, &Selection::default()) {
            return Self::Unneeded;
        }
        let work = async || {
            let docker = Docker::connect().await?;
            // Agreeing on a version succeeds with a daemon that is only about to start.
            docker.version().await?;
            Ok(docker)
        };
        match on_thread((Code::DockerUnreachable, "docker"), work).await {
            Ok(docker) => Self::There(docker),
            Err(e) => Self::Lacking(e),
        }
    }

    /// The connection, for what cannot be reached without.
    fn required(&self) -> Result<Option<Docker>> {
        match self {
            Self::Unneeded => Ok(None),
            Self::There(docker) => Ok(Some(docker.clone())),
            Self::Lacking(error) => Err(again(error)),
        }
    }
}

/// The same failure once more.
fn again(error: &Error) -> Error {
    Error::new(error.code(), "reach", "Docker").cause(error)
}

async fn database(setting: &Setting, database: &Database, docker: &Dock) -> Result<()> {
    let docker = match database.container {
        Some(_) => docker.required()?,
        None => None,
    };
    let (setting, one) = (setting.part(), database.clone());
    let work = async move || {
        let reach = Reach::find(&setting, &one, docker.as_ref(), None).await?;
        reach.prepare().await.map(drop)
    };
    on_thread((Code::DatabaseUnreachable, &format!("database {}", database.name)), work).await
}

async fn files(tree: &FileTree, docker: &Dock) -> Result<()> {
    let docker = match tree.volume {
        Some(_) => docker.required()?,
        None => None,
    };
    let one = tree.clone();
    let work = async move || {
        let source = Source::locate(&one, docker.as_ref()).await?;
        if let Some(directory) = source.directory() {
            deadline::answers(directory)?;
        }
        source.check_readable()
    };
    on_thread((Code::PathUnreachable, &format!("files {}", tree.name)), work).await
}

async fn containers(docker: &Docker, selection: &ContainerSelection) -> Result<()> {
    let (docker, one) = (docker.clone(), selection.clone());
    let work = async move || match docker.select(from_ref(&one)).await?.unfit.pop() {
        None => Ok(()),
        Some(unfit) => Err(unfit),
    };
    on_thread((Code::DockerUnreachable, "docker"), work).await
}

/// Does `work` on a thread of its own: some of it waits for the kernel, which no deadline of the
/// runtime ends. `late_as` is the code and the subject of what is too late.
async fn on_thread<T: Send + 'static, F: Future<Output = Result<T>>>(
    (code, subject): (Code, &str),
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<T> {
    let runtime = tokio::runtime::Handle::current();
    let bounded =
        move || runtime.block_on(async { tokio::time::timeout(NETWORK_LIMIT, work()).await });
    match deadline::within_async(NETWORK_LIMIT + GRACE, bounded).await {
        Some(Ok(found)) => found,
        None | Some(Err(_)) => Err(late(code, "reach", subject)),
    }
}
