//! One call of a PostgreSQL client program.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// A program, its arguments and the variables it needs. A password is only ever in the
/// variables, as `PGPASSWORD`, since everybody can read a process's arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCommand {
    argv: Vec<OsString>,
    variables: Vec<(String, String)>,
}

impl ToolCommand {
    /// A call of `program` without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { argv: vec![program.into()], variables: Vec::new() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// Adds variables.
    #[must_use]
    pub fn variables(mut self, variables: Vec<(String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// Program and arguments.
    pub fn argv(&self) -> &[OsString] {
        &self.argv
    }

    /// The variables to set, `PGPASSWORD` among them where there is a password. Of the
    /// caller's own environment no `PG*` variable may reach the program.
    pub fn env(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The program's name without its directory.
    pub fn program(&self) -> String {
        let path = self.argv.first().map(OsString::as_os_str).unwrap_or(OsStr::new(""));
        let name = std::path::Path::new(path).file_name().unwrap_or(path);
        name.to_string_lossy().into_owned()
    }
}

impl fmt::Debug for ToolCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("ToolCommand").field("argv", &self.argv).field("env", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_values_of_variables() {
        let command = ToolCommand::new("/usr/bin/pg_dump")
            .arg("--format=custom")
            .variables(vec![("PGPASSWORD".into(), "hunter2".into())]);
        assert!(!format!("{command:?}").contains("hunter2"));
        assert_eq!(command.program(), "pg_dump");
    }
}
