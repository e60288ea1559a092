//! What is wrong with a backup.

use crate::encryption::EXTENSION;
use crate::repository::manifest::Elsewhere;
use serde::{Deserialize, Serialize};

/// One stored file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The file, relative to the backup's directory.
    pub object: String,
    /// What is wrong with it.
    pub fault: String,
    /// The names of other backups that need this file.
    #[serde(default)]
    pub needed_by: Vec<String>,
}

impl Damage {
    /// `object` has `fault`.
    pub fn new(object: &str, fault: &str) -> Self {
        Self { object: object.into(), fault: fault.into(), needed_by: Vec::new() }
    }

    /// Whether it is a damage of `object`, as components and the index name it: a file, stored
    /// as it is or encrypted, or a directory.
    pub fn concerns(&self, object: &str) -> bool {
        let rest = self.object.strip_prefix(object);
        rest.is_some_and(|rest| rest.is_empty() || rest == EXTENSION || rest.starts_with('/'))
    }
}

impl Elsewhere {
    /// The archive as a damage names it.
    pub fn shown(&self) -> String {
        format!("{} of backup {}", self.object, self.backup.short())
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.object, self.fault)?;
        match self.needed_by.as_slice() {
            [] => Ok(()),
            names => write!(f, " (needed by {})", names.join(", ")),
        }
    }
}
