//! Docker: which containers there are, holding and releasing them, running programs in
//! them, and reaching their volumes.
//!
//! Talks to the Engine API, 1.41 (Docker 20.10) or newer. Everything that comes out is
//! backstop's own type.

mod address;
mod answers;
mod blueprint;
mod compose;
mod container;
mod definition;
mod exec;
mod helper;
mod hold;
mod image;
mod inspect;
mod logs;
mod order;
mod recreate;
mod select;
mod surroundings;
mod volume;

pub use address::Address;
pub use blueprint::Blueprint;
pub use container::{Container, Dependency, Health, Mount, RunState, Status};
pub use definition::Definition;
pub use exec::{Exec, Exit};
pub use helper::{Helper, Upload};
pub use order::waves;
pub use select::Selection;
pub use volume::{Mounter, Volume};

use crate::error::{Code, Error, Result};
use bollard::errors::Error as Cause;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use std::fmt::Display;
use std::time::Duration;

/// Where the daemon listens when `DOCKER_HOST` does not say.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// Long enough for a stream of any size: only connecting and answering headers are bounded.
const UNBOUNDED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A connection to the Docker daemon. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Docker {
    client: bollard::Docker,
    host: String,
}

/// The versions of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The engine's version, e.g. `20.10.24`.
    pub server: String,
    /// The API version that is spoken, e.g. `1.41`.
    pub api: String,
}

impl Docker {
    /// Connects to the daemon that `DOCKER_HOST` names (`unix://`, `tcp://`), else to
    /// `/var/run/docker.sock`, and agrees with it on an API version.
    ///
    /// # Errors
    /// [`Code::DockerUnreachable`].
    pub async fn connect() -> Result<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        Self::connect_to(if host.is_empty() { DEFAULT_HOST } else { &host }).await
    }

    /// Connects to the daemon at `host`, written as in `DOCKER_HOST`.
    ///
    /// # Errors
    /// [`Code::DockerUnreachable`].
    pub async fn connect_to(host: &str) -> Result<Self> {
        let unreachable =
            |e: Cause| Error::new(Code::DockerUnreachable, "connect to Docker at", host).source(e);
        let client = bollard::Docker::connect_with_host(host).map_err(unreachable)?;
        let client = client.negotiate_version().await.map_err(unreachable)?;
        Ok(Self { client, host: host.to_string() })
    }

    /// The daemon's address, as in `DOCKER_HOST`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the daemon runs on this host, so that container addresses and volume
    /// mountpoints are this host's.
    pub fn is_local(&self) -> bool {
        self.host.starts_with("unix://")
    }

    /// The versions of the daemon.
    ///
    /// # Errors
    /// [`Code::DockerUnreachable`].
    pub async fn version(&self) -> Result<Version> {
        let version =
            self.client.version().await.map_err(|e| failed("read the version of", "Docker", e))?;
        Ok(Version {
            server: version.version.unwrap_or_default(),
            api: self.client.client_version().to_string(),
        })
    }

    /// The last `lines` lines of a container's output, both streams, as text.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`], [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn logs(&self, container: &str, lines: usize) -> Result<String> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&lines.to_string())
            .build();
        let mut chunks = self.client.logs(container, Some(options));
        let mut text = String::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| failed("read the logs of container", container, e))?;
            text.push_str(&String::from_utf8_lossy(&chunk.into_bytes()));
        }
        Ok(text)
    }

    /// The connection for a request that may take as long as `longest`.
    fn patient(&self, longest: Duration) -> bollard::Docker {
        self.client.clone().with_timeout(longest)
    }
}

/// Turns a failed request into our error: what is not there, what was refused, and a
/// daemon that does not answer are told apart by code.
fn failed(attempted: &str, subject: impl Display, cause: Cause) -> Error {
    match cause {
        Cause::DockerResponseServerError { status_code: 404, message } => {
            Error::new(Code::ContainerNotFound, attempted, subject).cause(message)
        }
        Cause::DockerResponseServerError { message, .. } => {
            Error::new(Code::DockerFailed, attempted, subject).cause(message)
        }
        Cause::HyperLegacyError { .. }
        | Cause::HyperResponseError { .. }
        | Cause::IOError { .. }
        | Cause::SocketNotFoundError(_)
        | Cause::RequestTimeoutError => {
            Error::new(Code::DockerUnreachable, attempted, subject).source(cause)
        }
        other => Error::new(Code::DockerFailed, attempted, subject).source(other),
    }
}
