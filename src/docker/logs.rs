//! What a container said, and what became of its file system.

use super::inspect::Kind;
use super::{Docker, UNBOUNDED, failed};
use crate::error::{Error, Result};
use bollard::models::ChangeType;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt;
use std::io::Write;
use std::path::Path;

impl Docker {
    /// Writes everything that a container has said into the file `to`, which exists, each line
    /// with its time; whether it runs or not (`GET /containers/ID/logs`).
    ///
    /// # Errors
    /// [`crate::error::Code::DockerFailed`], also where its logging driver gives nothing back;
    /// [`crate::error::Code::Io`] and its kin.
    pub async fn save_log(&self, container: &str, to: &Path) -> Result<()> {
        let options =
            LogsOptions { stdout: true, stderr: true, timestamps: true, ..Default::default() };
        let written = |e| Error::io("write", to, e);
        let mut file = std::fs::OpenOptions::new().append(true).open(to).map_err(written)?;
        let mut lines = self.client.logs(container, Some(options));
        while let Some(line) = lines.next().await {
            let line = line.map_err(|e| failed("read the log of container", container, e))?;
            file.write_all(&line.into_bytes()).map_err(written)?;
        }
        file.sync_all().map_err(written)
    }

    /// Writes the whole file system of a container into the file `to`, which exists, as a tar archive,
    /// whether it runs or not (`GET /containers/ID/export`). Its volumes are not in it.
    ///
    /// # Errors
    /// [`crate::error::Code::DockerFailed`]; [`crate::error::Code::Io`] and its kin.
    pub async fn export(&self, container: &str, to: &Path) -> Result<()> {
        let written = |e| Error::io("write", to, e);
        let mut file = std::fs::OpenOptions::new().append(true).open(to).map_err(written)?;
        let client = self.patient(UNBOUNDED);
        let mut chunks = std::pin::pin!(client.export_container(container));
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| failed("export container", container, e))?;
            file.write_all(&chunk).map_err(written)?;
        }
        file.sync_all().map_err(written)
    }

    /// The definition of a container as Docker gives it; it may hold secrets.
    ///
    /// # Errors
    /// [`crate::error::Code::ContainerNotFound`], [`crate::error::Code::DockerFailed`].
    pub async fn definition_text(&self, container: &str) -> Result<String> {
        let found = self.inspect(Kind::Container, container).await?;
        Ok(format!("{found:#}\n"))
    }

    /// The files in a container that its image has not, or has otherwise: a line each, `A` (new),
    /// `C` (changed) or `D` (deleted) and the path, as `docker diff` has it.
    ///
    /// # Errors
    /// [`crate::error::Code::ContainerNotFound`], [`crate::error::Code::DockerFailed`].
    pub async fn changes(&self, container: &str) -> Result<String> {
        let failed = |e| failed("compare the files of container", container, e);
        let changes = self.client.container_changes(container).await.map_err(failed)?;
        let line = |change: bollard::models::FilesystemChange| {
            let kind = match change.kind {
                ChangeType::_0 => 'C',
                ChangeType::_1 => 'A',
                ChangeType::_2 => 'D',
            };
            format!("{kind} {}\n", change.path)
        };
        Ok(changes.unwrap_or_default().into_iter().map(line).collect())
    }
}
