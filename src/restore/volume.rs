//! Trees in volumes that this process cannot reach.
//!
//! Docker's archive API can add files to a volume, but neither remove nor rename any. So
//! backstop copies itself, with the libraries it has loaded, into a helper container that
//! mounts the volume, and does there what it does to any mount point: it builds the tree
//! inside, exchanges the entries by rename, and keeps the old ones aside.

mod inside;
mod program;

pub(crate) use inside::{act, wait};

use super::files;
use super::record::RestoreRecord;
use super::tree_swap::TreeSwap;
use crate::backup::{INDEX, fetch};
use crate::docker::{Docker, Exec, Helper, RunState, Upload};
use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;
use crate::repository::manifest::{Component, FilesDetail};
use crate::setting::Setting;
use inside::{Answer, Placed, Request};
use program::Program;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a helper sees the volume.
pub(super) const MOUNT: &str = "/backstop-volume";
/// Where a helper has its program, and the archive to unpack.
const ROOM: &str = ".backstop";

/// A volume, and an image from which a container that mounts it can be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlace {
    /// The volume's name.
    pub volume: String,
    /// The id of an image.
    pub image: String,
}

/// What is done to a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    LookAgain,
    Swap,
    SwapBack,
    RemoveNew,
    Purge,
}

impl Action {
    fn run(self, tree: &mut TreeSwap) -> Result<()> {
        match self {
            Self::LookAgain => tree.look_again(),
            Self::Swap => tree.swap(),
            Self::SwapBack => tree.swap_back(),
            Self::RemoveNew => tree.remove_new(),
            Self::Purge => tree.purge(),
        }
    }
}

/// Does `action` to a tree of the restore `key`, where the tree is, and returns what is
/// known of it then.
pub(super) async fn perform(
    docker: Option<&Docker>,
    key: &str,
    tree: &TreeSwap,
    action: Action,
) -> Result<TreeSwap> {
    if tree.volume.is_none() {
        let mut tree = tree.clone();
        action.run(&mut tree)?;
        return Ok(tree);
    }
    let request = Request::Exchange { action, tree: tree.clone() };
    Ok(At::find(docker, key, tree)?.ask(&request).await?.tree)
}

/// Unpacks a tree inside its volume, compares it with the index and notes what was built.
pub(super) async fn extract(
    setting: &Setting,
    docker: Option<&Docker>,
    key: &str,
    backup: &PublishedBackup,
    (component, detail): (&Component, &FilesDetail),
    tree: &TreeSwap,
) -> Result<TreeSwap> {
    let at = At::find(docker, key, tree)?;
    at.ready().await?;
    let inside = |name: &str| PathBuf::from(format!("/{ROOM}/{name}"));
    let upload = |name: &str, source| Upload { name: format!("{ROOM}/{name}"), source };
    // Kept until they are uploaded.
    let mut fetched = vec![fetch(setting, backup, INDEX).await?];
    let own = (backup.manifest().id.as_str(), &detail.object);
    let earlier = detail.elsewhere.iter().map(|it| (it.backup.as_str(), &it.object));
    let mut archives = Vec::new();
    for (number, (stored_in, object)) in std::iter::once(own).chain(earlier).enumerate() {
        let name = format!("archive-{number}");
        fetched.push(fetch(setting, &backup.holder(stored_in)?, object).await?);
        let (stored_in, object) = (stored_in.to_owned(), object.clone());
        archives.push(Placed { stored_in, object, path: inside(&name) });
    }
    let names = std::iter::once("index".to_owned()).chain((0..).map(|n| format!("archive-{n}")));
    let uploads = names.zip(&fetched).map(|(name, file)| upload(&name, file.path().to_path_buf()));
    at.docker.upload_files(&at.name, Path::new("/"), uploads.collect()).await?;
    let request = Request::Extract {
        tree: tree.clone(),
        is_partial: backup.manifest().parent.is_some(),
        archives,
        index: inside("index"),
    };
    let answer = at.ask(&request).await?;
    files::warn_incomplete(setting, &component.name, answer.incomplete, &answer.first_incomplete);
    Ok(answer.tree)
}

/// Starts the helpers of a restore, so that nobody waits for them while containers are
/// held.
pub(super) async fn ready(docker: Option<&Docker>, restore: &RestoreRecord) -> Result<()> {
    for tree in restore.trees.iter().filter(|tree| tree.volume.is_some()) {
        At::find(docker, &restore.key, tree)?.ready().await?;
    }
    Ok(())
}

/// Ends the helpers of a restore, whatever they are doing.
pub(super) async fn discard(docker: Option<&Docker>, restore: &RestoreRecord) -> Result<()> {
    for tree in restore.trees.iter().filter(|tree| tree.volume.is_some()) {
        let at = At::find(docker, &restore.key, tree)?;
        at.docker.remove_helper(&at.name).await?;
    }
    Ok(())
}

/// Docker, where a tree of the restore needs it.
pub(super) async fn docker_for(restore: &RestoreRecord) -> Result<Option<Docker>> {
    match restore.trees.iter().any(|tree| tree.volume.is_some()) {
        true => Docker::connect().await.map(Some),
        false => Ok(None),
    }
}

/// One tree's helper.
struct At<'a> {
    docker: &'a Docker,
    place: &'a VolumePlace,
    name: String,
}

impl<'a> At<'a> {
    fn find(docker: Option<&'a Docker>, key: &str, tree: &'a TreeSwap) -> Result<Self> {
        match (docker, &tree.volume) {
            (Some(docker), Some(place)) => {
                Ok(Self { docker, place, name: format!("backstop-{key}-{}", tree.component) })
            }
            _ => Err(Error::new(Code::DockerUnreachable, "reach the volume of", &tree.component)),
        }
    }

    /// Makes sure that the helper runs.
    async fn ready(&self) -> Result<Program> {
        let program = Program::of_process()?;
        let running = match self.docker.status(&self.name).await {
            Ok(status) => status.state == RunState::Running,
            Err(e) if e.code() == Code::ContainerNotFound => false,
            Err(e) => return Err(e),
        };
        if running {
            return Ok(program);
        }
        self.docker.remove_helper(&self.name).await?;
        let helper = Helper {
            name: &self.name,
            image: &self.place.image,
            volume: &self.place.volume,
            destination: Path::new(MOUNT),
            argv: &program.argv("wait"),
        };
        self.docker.create_helper(&helper).await?;
        self.docker.upload_files(&self.name, Path::new("/"), program.uploads()).await?;
        self.docker.release(&self.name).await?;
        Ok(program)
    }

    async fn ask(&self, request: &Request) -> Result<Answer> {
        let program = self.ready().await?;
        let failed = |cause: String| {
            Error::new(Code::RestoreFailed, "work in volume", &self.place.volume).cause(cause)
        };
        let text = serde_json::to_vec(request).map_err(|e| failed(e.to_string()))?;
        let exec = Exec { argv: program.argv("act"), env: Vec::new(), user: Some("0:0".into()) };
        let (mut stdin, mut stdout) = (text.as_slice(), Vec::new());
        let exit = self.docker.exec(&self.name, &exec, Some(&mut stdin), &mut stdout).await?;
        if exit.code != 0 {
            return Err(failed(exit.stderr.trim().to_string()));
        }
        serde_json::from_slice(&stdout).map_err(|e| failed(e.to_string()))
    }
}
