//! Where the files of a stack are: a directory, or inside Docker.

use crate::config::{Config, FileTree, real_path};
use crate::docker::Docker;
use crate::error::{Code, Error, Result};
use std::fmt;
use std::path::PathBuf;

/// One file tree and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The tree as configured.
    pub(crate) tree: FileTree,
    /// Where it is.
    pub(crate) place: Place,
}

/// Where a file tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A directory of this host: a configured path, or a volume's mountpoint.
    Directory(PathBuf),
    /// A volume whose mountpoint this process cannot read: it is reached through Docker's
    /// archive API on a container that mounts it.
    Container {
        /// The volume.
        volume: String,
        /// The id of the container's image.
        image_id: String,
        /// The container's id.
        id: String,
        /// The container's name.
        name: String,
        /// Where the container sees the volume.
        path: PathBuf,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Container { name, path, .. } => write!(f, "{name}:{}", path.display()),
        }
    }
}

impl Source {
    /// Finds out where `tree` is. It need not exist: the place is where it would be.
    ///
    /// # Errors
    /// `container_not_found` for an unknown volume, or one that nothing mounts and this
    /// process cannot read.
    pub(crate) async fn locate(tree: &FileTree, docker: Option<&Docker>) -> Result<Self> {
        let place = match (&tree.path, &tree.volume, docker) {
            (Some(path), _, _) => Place::Directory(path.clone()),
            (None, Some(volume), Some(docker)) => in_volume(volume, docker).await?,
            (None, Some(volume), None) => {
                return Err(Error::new(Code::DockerUnreachable, "look for volume", volume)
                    .cause("only Docker knows where it lies"));
            }
            (None, None, _) => {
                return Err(Error::new(Code::ConfigInvalid, "locate files", &tree.name)
                    .cause("neither a path nor a volume"));
            }
        };
        Ok(Self { tree: tree.clone(), place })
    }

    /// The directory of this host in which it lies, where it lies in one.
    pub(crate) fn directory(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::Directory(path) => Some(path),
            Place::Container { .. } => None,
        }
    }

    /// Whether there is something to back up at the place.
    pub(crate) fn exists(&self) -> bool {
        match &self.place {
            Place::Directory(path) => path.is_dir(),
            Place::Container { .. } => true,
        }
    }

    /// Refuses a tree that holds the repository or the state directory, which a volume may do
    /// unseen: the backup would hold itself, and a restore would swap them away.
    pub(crate) fn refuse_own(&self, config: &Config) -> Result<()> {
        let Place::Directory(tree) = &self.place else { return Ok(()) };
        let copies = config.repository.copies.iter().filter_map(|copy| copy.path.as_ref());
        let own = [("repository.path", &config.repository.path), ("state.dir", &config.state.dir)];
        let own = own.into_iter().chain(copies.map(|path| ("the path of a copy", path)));
        for (key, path) in own.filter(|(_, path)| !path.as_os_str().is_empty()) {
            if real_path(path).starts_with(real_path(tree)) {
                return Err(Error::new(Code::ConfigInvalid, "back up files", &self.tree.name)
                    .cause(format!("{key} lies inside of {}", tree.display()))
                    .hint(format!("choose a {key} outside of every tree that is backed up")));
            }
        }
        Ok(())
    }

    /// Fails where the tree cannot be listed.
    pub(crate) fn check_readable(&self) -> Result<()> {
        match &self.place {
            Place::Directory(path) => {
                std::fs::read_dir(path).map(drop).map_err(|e| Error::io("read directory", path, e))
            }
            Place::Container { .. } => Ok(()),
        }
    }
}

async fn in_volume(volume: &str, docker: &Docker) -> Result<Place> {
    let found = docker.volume(volume).await?;
    // A mountpoint that does not exist may be a restore's to create, if its parent is ours.
    let reachable = |path: &std::path::Path| std::fs::read_dir(path).is_ok();
    let parent_reachable = found.mountpoint.parent().is_some_and(reachable);
    if docker.is_local() && (reachable(&found.mountpoint) || parent_reachable) {
        return Ok(Place::Directory(found.mountpoint));
    }
    let mounter = docker.mounters(volume).await?.into_iter().next().ok_or_else(|| {
        Error::new(Code::ContainerNotFound, "reach volume", volume)
            .cause(format!(
                "{} cannot be read, and no container mounts the volume",
                found.mountpoint.display()
            ))
            .hint("run backstop as root, or create a container that mounts the volume")
    })?;
    Ok(Place::Container {
        volume: volume.to_string(),
        image_id: mounter.image_id,
        id: mounter.id,
        name: mounter.name,
        path: mounter.destination,
    })
}
