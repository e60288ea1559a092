//! Volumes: where they lie, who mounts them, and their bytes through Docker's archive API.

use super::inspect::Kind;
use super::{Docker, Mount, RunState, UNBOUNDED, failed};
use crate::error::{Code, Error, Result};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use futures_util::TryStreamExt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

/// How many bytes of an upload are read at a time.
const CHUNK: usize = 256 << 10;

/// A named volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its driver, e.g. `local`.
    pub driver: String,
    /// Where it lies on Docker's host; this process may be unable to read it.
    pub mountpoint: PathBuf,
}

/// A container that mounts a volume, or files of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounter {
    /// The container's full id.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// The id of its image.
    pub image_id: String,
    /// What it is doing.
    pub state: RunState,
    /// Where it sees the volume.
    pub destination: PathBuf,
    /// Whether it may write to it.
    pub writable: bool,
    /// Whether it mounts a directory above the files: it then finds by their name what has
    /// taken their place, where all others stay with what they have mounted.
    pub from_above: bool,
}

impl Docker {
    /// The volume of this name.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`], [`Code::DockerUnreachable`].
    pub async fn volume(&self, name: &str) -> Result<Volume> {
        let json = self.inspect(Kind::Volume, name).await?;
        let text = |key: &str| json.get(key).and_then(|v| v.as_str()).unwrap_or_default();
        Ok(Volume {
            name: text("Name").to_string(),
            driver: text("Driver").to_string(),
            mountpoint: PathBuf::from(text("Mountpoint")),
        })
    }

    /// The containers that mount a volume, those that may write to it first.
    ///
    /// # Errors
    /// [`Code::DockerUnreachable`].
    pub async fn mounters(&self, volume: &str) -> Result<Vec<Mounter>> {
        let is_it = |mount: &Mount| mount.volume.as_deref() == Some(volume);
        self.mounters_where(|mount| is_it(mount).then_some(false)).await
    }

    /// The containers that mount a part of the directory `path`, or a directory that it lies
    /// in, those that may write to it first. None where the daemon runs on another host.
    ///
    /// # Errors
    /// [`Code::DockerUnreachable`].
    pub async fn mounters_at(&self, path: &Path) -> Result<Vec<Mounter>> {
        if !self.is_local() {
            return Ok(Vec::new());
        }
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        self.mounters_where(|mount| {
            // A tmpfs has no source.
            if !mount.source.is_absolute() {
                return None;
            }
            let source = mount.source.canonicalize().unwrap_or_else(|_| mount.source.clone());
            let from_above = path != source && path.starts_with(&source);
            (from_above || source.starts_with(&path)).then_some(from_above)
        })
        .await
    }

    /// The containers with a mount for which `concerns` says whether it is from above.
    async fn mounters_where(
        &self,
        concerns: impl Fn(&Mount) -> Option<bool>,
    ) -> Result<Vec<Mounter>> {
        let mut found = Vec::new();
        for container in self.list().await? {
            for mount in &container.mounts {
                if let Some(from_above) = concerns(mount) {
                    found.push(Mounter {
                        id: container.id.clone(),
                        name: container.name.clone(),
                        image_id: container.image_id.clone(),
                        state: container.state,
                        destination: mount.destination.clone(),
                        writable: mount.writable,
                        from_above,
                    });
                }
            }
        }
        found.sort_by_key(|m| !m.writable);
        Ok(found)
    }

    /// A directory or file of a container as a tar stream; the container need not run.
    /// With `path` = `/data` its entries are named `data/…`, with `/data/.` they are
    /// named `./…`.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`] when container or path do not exist,
    /// [`Code::DockerUnreachable`]. The stream fails when the connection does.
    pub async fn download(
        &self,
        container: &str,
        path: &Path,
    ) -> Result<Pin<Box<dyn AsyncRead + Send>>> {
        let path = text(path)?;
        let info = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        self.client
            .get_container_archive_info(container, Some(info))
            .await
            .map_err(|e| failed("read", format!("{path} of container {container}"), e))?;
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let chunks =
            self.client.download_from_container(container, Some(options)).map_err(io::Error::other);
        Ok(Box::pin(StreamReader::new(Box::pin(chunks))))
    }

    /// Extracts a tar stream below the directory `path` of a container, with the owners
    /// that the tar names; the container need not run. What is there and not in the tar
    /// stays.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`] when container or path do not exist,
    /// [`Code::DockerFailed`] (a read-only mount, a broken archive),
    /// [`Code::DockerUnreachable`], also when `tar` cannot be read.
    pub async fn upload(
        &self,
        container: &str,
        path: &Path,
        tar: impl AsyncRead + Send + 'static,
    ) -> Result<()> {
        let path = text(path)?;
        let options = UploadToContainerOptionsBuilder::default()
            .path(path)
            .no_overwrite_dir_non_dir("true")
            .build();
        let body = bollard::body_try_stream(ReaderStream::with_capacity(tar, CHUNK));
        self.patient(UNBOUNDED)
            .upload_to_container(container, Some(options), body)
            .await
            .map_err(|e| failed("write", format!("{path} of container {container}"), e))
    }
}

/// The API takes paths as JSON and URLs do: as UTF-8.
fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::new(Code::DockerFailed, "name to Docker the path", path.display())
            .cause("it is not UTF-8")
    })
}
