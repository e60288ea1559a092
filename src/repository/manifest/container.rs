//! A container in a backup, and the files that describe its compose project.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A recorded container definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerDetail {
    /// The definition, relative to the backup's directory.
    pub object: String,
    /// The image as the container names it.
    pub image: String,
    /// The image's id (`sha256:…`).
    pub image_id: String,
    /// The image's repository digests, where it came from a registry.
    pub image_digests: Vec<String>,
    /// Whether it was running before the backup.
    pub was_running: bool,
    /// Whether the config selects it as one that writes. The others belong to the application all
    /// the same: of the same compose project, or with a database in it.
    #[serde(default = "yes")]
    pub selected: bool,
    /// The networks that it is in and that are none of Docker's own, as they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<RecordedObject>,
    /// Its volumes, as they were made; not what is in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<RecordedObject>,
    /// Its compose project, if any.
    pub compose_project: Option<String>,
    /// Its service in that project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose_service: Option<String>,
    /// The directory in which the project was brought up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose_dir: Option<PathBuf>,
    /// The files that describe the project; one that did not exist is no object of the backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compose_files: Vec<ComposeFile>,
}

fn yes() -> bool {
    true
}

/// Something of Docker that a container needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedObject {
    /// Its name.
    pub name: String,
    /// Its definition, relative to the backup's directory.
    pub object: String,
}

/// A file that describes a compose project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeFile {
    /// Its copy, relative to the backup's directory.
    pub object: String,
    /// Where it was.
    pub path: PathBuf,
    /// What it is for.
    pub role: ComposeRole,
}

/// What a file of a compose project is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComposeRole {
    /// It defines services: `compose --file`.
    Compose,
    /// It fills in the variables of those: `.env`, or `compose --env-file`.
    Variables,
    /// It is the `env_file` of a service.
    Service,
}
