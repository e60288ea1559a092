//! A container as backstop sees it.

use super::compose;
use crate::config::Quiesce;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A selected container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its full id, 64 hex digits.
    pub id: String,
    /// Its name, without the leading slash of the API.
    pub name: String,
    /// The image as the container names it.
    pub image: String,
    /// What it was doing when it was selected.
    pub state: RunState,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What is mounted into it.
    pub mounts: Vec<Mount>,
    /// How it is held.
    pub quiesce: Quiesce,
    /// How long it may take to stop by itself before Docker kills it.
    pub stop_timeout: Duration,
    /// How long it may take to become healthy once it runs again.
    pub health_timeout: Duration,
    /// The other selected containers that must run before it.
    pub depends_on: Vec<Dependency>,
}

impl Container {
    /// Whether it has to be held: a paused or stopped container writes nothing, and is
    /// left as it is.
    pub fn is_running(&self) -> bool {
        self.state == RunState::Running
    }

    /// The service of a compose project that it is an instance of.
    pub fn service(&self) -> Option<&str> {
        compose::service(&self.labels)
    }
}

/// A container that must run before another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Its full id.
    pub id: String,
    /// Whether it must also be healthy (compose's `service_healthy`).
    pub healthy: bool,
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It runs, or Docker's restart policy is bringing it back.
    Running,
    /// It is frozen.
    Paused,
    /// It was created and never started, or has exited.
    Stopped,
}

/// What the daemon says about a container at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: RunState,
    /// What its health check says.
    pub health: Health,
    /// How it ended, once it has.
    pub exit_code: Option<i64>,
    /// When it was started last, as Docker writes it; tells whether it ran between two looks.
    pub started_at: Option<String>,
}

/// What a health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The container has no health check.
    Unchecked,
    /// No verdict yet.
    Starting,
    /// The last check succeeded.
    Healthy,
    /// Too many checks failed.
    Unhealthy,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The volume's name; none for a bind mount.
    pub volume: Option<String>,
    /// Where it lies on Docker's host.
    pub source: PathBuf,
    /// Where the container sees it.
    pub destination: PathBuf,
    /// Whether the container may write to it.
    pub writable: bool,
}
