//! Which containers are held, and how.

use super::Timeout;
use super::text::written_as_text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Containers that write, and are held while the fence is taken.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerSelection {
    /// `label=KEY[=VALUE]`, `name=NAME` or `compose=PROJECT`.
    pub select: Selector,
    /// How they are held.
    #[serde(default)]
    pub quiesce: Quiesce,
    /// How long a container may take to stop by itself before Docker kills it.
    #[serde(default = "ContainerSelection::default_stop_timeout")]
    pub stop_timeout: Timeout,
    /// How long a resumed container with a health check may take to become healthy.
    #[serde(default = "ContainerSelection::default_health_timeout")]
    pub health_timeout: Timeout,
}

impl ContainerSelection {
    /// What this selects, held as a selection is that says nothing else.
    pub fn of(select: Selector) -> Self {
        Self {
            select,
            quiesce: Quiesce::default(),
            stop_timeout: Self::default_stop_timeout(),
            health_timeout: Self::default_health_timeout(),
        }
    }

    fn default_stop_timeout() -> Timeout {
        Timeout::seconds(30)
    }

    fn default_health_timeout() -> Timeout {
        Timeout::seconds(120)
    }
}

/// How containers are held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Quiesce {
    /// `docker stop`: the application finishes what it began.
    #[default]
    Stop,
    /// `docker pause`: every process is frozen where it is.
    Pause,
}

/// Selects containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Containers with this label, `KEY` or `KEY=VALUE`.
    Label(String),
    /// The container of this name.
    Name(String),
    /// The containers of this compose project.
    Compose(String),
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some(("label", label)) if !label.is_empty() => Ok(Self::Label(label.into())),
            Some(("name", name)) if !name.is_empty() => Ok(Self::Name(name.into())),
            Some(("compose", project)) if !project.is_empty() => Ok(Self::Compose(project.into())),
            _ => Err(format!("`{text}` is none of label=KEY[=VALUE], name=NAME, compose=PROJECT")),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "label={label}"),
            Self::Name(name) => write!(f, "name={name}"),
            Self::Compose(project) => write!(f, "compose={project}"),
        }
    }
}

written_as_text!(Selector, "selector", inline: false, ["label=backstop.quiesce", "name=shop-web-1", "compose=shop"]);
