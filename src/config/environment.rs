//! What the process was started with, as a value, so that tests need no process of their own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Environment variables and directories from which a config is put together.
///
/// `Debug` leaves the variables' values out, since passwords are among them.
#[derive(Clone)]
pub struct Environment {
    /// The variables; those that are not UTF-8 are left out.
    pub variables: BTreeMap<String, String>,
    /// The working directory.
    pub directory: PathBuf,
    /// Where the config of the whole system lies, `/etc/backstop`.
    pub system_directory: PathBuf,
}

impl Environment {
    /// That of this process.
    pub fn current() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            variables,
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            system_directory: PathBuf::from("/etc/backstop"),
        }
    }

    /// The variable `name`; an empty one counts as not set.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether [`ENABLED`](Self::ENABLED) says no, in any of the words that mean it.
    pub(super) fn disables(&self) -> bool {
        let no = ["false", "f", "no", "n", "off", "0"];
        self.get(Self::ENABLED).is_some_and(|said| no.contains(&said.to_lowercase().trim()))
    }

    /// The variable that turns backups off.
    pub(super) const ENABLED: &str = "BACKUP_ENABLED";
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("directory", &self.directory)
            .field("system_directory", &self.system_directory)
            .finish()
    }
}
