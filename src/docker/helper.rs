//! Helper containers: a volume that this process cannot reach, and a program that works
//! in it.

use super::{Docker, failed};
use crate::error::{Code, Error, Result};
use bollard::errors::Error as Cause;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, Mount, MountType};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use tokio_util::io::SyncIoBridge;

/// The label of every helper; no selection and no search for a volume finds one.
pub(super) const LABEL: &str = "backstop.helper";
/// How many bytes of uploaded files are under way at a time.
const CHUNK: usize = 256 << 10;

/// What a helper container is made of.
#[derive(Debug, Clone)]
pub struct Helper<'a> {
    /// Its name.
    pub name: &'a str,
    /// An image that is on the daemon's host. Only its presence matters.
    pub image: &'a str,
    /// The volume.
    pub volume: &'a str,
    /// Where the volume is mounted.
    pub destination: &'a Path,
    /// What it runs, as root and without a network.
    pub argv: &'a [String],
}

/// A file for a container.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its name below the directory that is uploaded into.
    pub name: String,
    /// What is uploaded.
    pub source: PathBuf,
}

impl Docker {
    /// Makes a helper, which does not run yet. Docker removes it when its program ends.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`] where the image is not there; [`Code::DockerFailed`],
    /// also where a container of this name exists; [`Code::DockerUnreachable`].
    pub async fn create_helper(&self, helper: &Helper<'_>) -> Result<()> {
        let mount = Mount {
            target: Some(helper.destination.display().to_string()),
            source: Some(helper.volume.to_string()),
            typ: Some(MountType::VOLUME),
            ..Default::default()
        };
        let body = ContainerCreateBody {
            image: Some(helper.image.to_string()),
            entrypoint: Some(helper.argv.to_vec()),
            cmd: Some(Vec::new()),
            user: Some("0:0".into()),
            working_dir: Some("/".into()),
            labels: Some([(LABEL.to_string(), helper.volume.to_string())].into()),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".into()]),
                ..Default::default()
            }),
            host_config: Some(HostConfig {
                mounts: Some(vec![mount]),
                network_mode: Some("none".into()),
                auto_remove: Some(true),
                ..Default::default()
            }),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(helper.name).build();
        let created = self.client.create_container(Some(options), body).await;
        created.map(drop).map_err(|e| failed("create helper container", helper.name, e))
    }

    /// Ends and removes a helper, whatever it is doing. One that is not there is fine.
    ///
    /// # Errors
    /// [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn remove_helper(&self, name: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.client.remove_container(name, Some(options)).await {
            // 409: Docker is removing it already.
            Err(Cause::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            removed => removed.map_err(|e| failed("remove helper container", name, e)),
        }
    }

    /// Writes files below the directory `path` of a container, executable and for everybody
    /// to read; the container need not run. They are streamed, whatever their size.
    ///
    /// # Errors
    /// Those of [`upload`](Docker::upload); [`Code::Io`] and its kin for the sources.
    pub async fn upload_files(
        &self,
        container: &str,
        path: &Path,
        files: Vec<Upload>,
    ) -> Result<()> {
        let (reader, writer) = tokio::io::duplex(CHUNK);
        let packing = tokio::task::spawn_blocking(move || pack(files, SyncIoBridge::new(writer)));
        let uploaded = self.upload(container, path, reader).await;
        let packed = packing.await.unwrap_or_else(|e| {
            Err(Error::new(Code::Io, "pack files for container", container).source(e))
        });
        // Where Docker refuses, packing sees a broken pipe; where a source fails, Docker sees
        // an archive that ends early.
        match (uploaded, packed) {
            (Err(e), _) if e.code() != Code::DockerUnreachable => Err(e),
            (_, Err(e)) => Err(e),
            (uploaded, Ok(())) => uploaded,
        }
    }
}

fn pack(files: Vec<Upload>, stream: impl io::Write) -> Result<()> {
    let mut tar = tar::Builder::new(stream);
    for Upload { name, source } in files {
        let failed = |e| Error::io("upload", &source, e);
        let file = File::open(&source).map_err(failed)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata().map_err(failed)?.len());
        header.set_mode(0o755);
        tar.append_data(&mut header, &name, file).map_err(failed)?;
    }
    let ended = tar.into_inner().and_then(|mut stream| stream.flush());
    ended.map_err(|e| Error::new(Code::Io, "end", "an upload").source(e))
}
