//! Passwords: where they come from, and that nobody prints them.

use super::pgpass;
use crate::config;
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A password. Neither `Debug` nor any error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself, for the server and for `PGPASSWORD`.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of the password masked. Passwords shorter than four
    /// bytes are left alone: masking them would only spoil the text.
    pub(super) fn mask(&self, text: &str) -> String {
        if self.0.len() < 4 { text.to_owned() } else { text.replace(&self.0, "********") }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(********)")
    }
}

/// What a connection takes from around it: environment variables and the home directory.
#[derive(Clone, Default)]
pub struct Surroundings {
    variables: HashMap<String, String>,
}

impl Surroundings {
    /// The environment of this process. Variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let utf8 = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: std::env::vars_os().filter_map(utf8).collect() }
    }

    /// Exactly these variables.
    pub fn of<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self { variables: variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect() }
    }

    /// The variable `name`, unless it is unset or empty.
    pub(super) fn var(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `$HOME`.
    pub(super) fn home(&self) -> Option<&Path> {
        self.var("HOME").map(Path::new)
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surroundings(..)")
    }
}

/// Finds the password of `database`: its URL's own, `password_env`, `password_file`,
/// `PGPASSWORD`, then the password file (`$PGPASSFILE`, `~/.pgpass`). `None` where there is
/// none at all, which is right for servers that ask for none.
///
/// A `password_env` or `password_file` that is named but missing is an error: falling
/// through to another password would hide the mistake.
pub(super) fn resolve(
    database: &config::Database,
    own: Option<String>,
    key: &pgpass::Key<'_>,
    around: &Surroundings,
    progress: &dyn Progress,
) -> Result<Option<Password>> {
    if let Some(own) = own {
        return Ok(Some(Password(own)));
    }
    if let Some(name) = &database.password_env {
        let value = around.var(name).ok_or_else(|| {
            Error::new(
                Code::DatabaseAuthentication,
                "find the password of database",
                &database.name,
            )
            .cause(format!("the environment variable {name} is not set"))
            .hint(format!("set {name}, or change password_env"))
        })?;
        return Ok(Some(Password::new(value)));
    }
    if let Some(path) = &database.password_file {
        return first_line(path, progress).map(Some);
    }
    if let Some(value) = around.var("PGPASSWORD") {
        return Ok(Some(Password::new(value)));
    }
    let file = match (around.var("PGPASSFILE"), around.home()) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(home)) => home.join(".pgpass"),
        (None, None) => return Ok(None),
    };
    pgpass::look_up(&file, key, progress)
}

/// The first line of `password_file`, with a warning where others may read it.
fn first_line(path: &Path, progress: &dyn Progress) -> Result<Password> {
    let text =
        fs::read_to_string(path).map_err(|error| Error::io("read password file", path, error))?;
    let mode = fs::metadata(path)
        .map_err(|error| Error::io("read password file", path, error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        let message = format!(
            "password file {} may be read by others (mode {:04o}); make it 0600",
            path.display(),
            mode & 0o7777
        );
        progress.warn(Code::PermissionDenied, message);
    }
    match text.lines().next().map(|line| line.trim_end_matches('\r')) {
        Some(line) if !line.is_empty() => Ok(Password::new(line)),
        _ => Err(Error::new(Code::DatabaseAuthentication, "read password file", path.display())
            .cause("its first line is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Silent, Warnings};
    use std::sync::Arc;

    fn database(extra: &str) -> config::Database {
        serde_json::from_str(&format!(
            r#"{{"name": "shop", "url": "postgres://shop@db/shop"{extra}}}"#
        ))
        .unwrap()
    }

    const KEY: pgpass::Key<'_> =
        pgpass::Key { host: "db", port: 5432, database: "shop", user: "shop" };

    fn found(database: &config::Database, own: Option<&str>, around: &Surroundings) -> String {
        let password = resolve(database, own.map(Into::into), &KEY, around, &Silent).unwrap();
        password.map_or("none".into(), |p| p.reveal().to_owned())
    }

    #[test]
    fn each_source_goes_before_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pw");
        fs::write(&file, "from-file\r\nsecond line\n").unwrap();
        let pgpass = dir.path().join("pgpass");
        fs::write(&pgpass, "db:5432:shop:shop:from-pgpass\n").unwrap();
        fs::set_permissions(&pgpass, fs::Permissions::from_mode(0o600)).unwrap();
        let pgpass = pgpass.to_str().unwrap();

        let all = Surroundings::of([
            ("SHOP_PW", "from-env"),
            ("PGPASSWORD", "from-pgpassword"),
            ("PGPASSFILE", pgpass),
        ]);
        let with_file = format!(r#", "password_file": "{}""#, file.display());
        let with_both = format!(r#"{with_file}, "password_env": "SHOP_PW""#);
        assert_eq!(found(&database(&with_both), Some("own"), &all), "own");
        assert_eq!(found(&database(&with_both), None, &all), "from-env");
        assert_eq!(found(&database(&with_file), None, &all), "from-file");
        assert_eq!(found(&database(""), None, &all), "from-pgpassword");
        let only_file = Surroundings::of([("PGPASSFILE", pgpass)]);
        assert_eq!(found(&database(""), None, &only_file), "from-pgpass");
        assert_eq!(found(&database(""), None, &Surroundings::default()), "none");
    }

    #[test]
    fn a_named_source_that_is_missing_is_an_error() {
        let around = Surroundings::of([("PGPASSWORD", "other")]);
        for extra in [r#", "password_env": "NOT_SET""#, r#", "password_file": "/no/such/file""#] {
            assert!(resolve(&database(extra), None, &KEY, &around, &Silent).is_err(), "{extra}");
        }
    }

    #[test]
    fn a_password_file_that_others_may_read_is_warned_about() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pw");
        fs::write(&file, "secret\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let warnings = Warnings::before(Arc::new(Silent));
        first_line(&file, warnings.as_ref()).unwrap();
        assert_eq!(warnings.seen().len(), 1);
        assert!(!warnings.seen()[0].message.contains("secret"));
    }

    #[test]
    fn nobody_prints_a_password() {
        let password = Password::new("hunter2");
        assert!(!format!("{password:?}").contains("hunter2"));
        assert_eq!(password.mask("user:hunter2@host"), "user:********@host");
    }
}
