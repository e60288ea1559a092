//! From files and variables to a config: the steps in order.

use super::check::check;
use super::origin::{Origin, Origins, absolute};
use super::problem::Problems;
use super::schema::schema;
use super::source::{read, values};
use super::{Config, Credentials, Environment, Place, contradictions, legacy, locate, overrides};
use crate::error::{Code, Error, Result};
use figment::Figment;
use std::path::{Path, PathBuf};

/// A config together with where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The config; its paths are absolute.
    pub config: Config,
    /// The file it was read from, if there is one.
    pub file: Option<PathBuf>,
    origins: Origins,
}

impl Loaded {
    /// A config that nobody wrote.
    pub(super) fn without_file(config: Config) -> Self {
        Self { config, file: None, origins: Origins::default() }
    }

    /// The same with another repository.
    pub fn with_repository(&self, place: Place) -> Self {
        let copies = self.config.repository.copies.iter();
        let copy = copies.map(super::Copy::place).any(|copy| copy == place);
        let config = Config { copy, ..self.config.clone().with_repository(place) };
        Self { config, file: self.file.clone(), origins: self.origins.clone() }
    }

    /// Where the value at `key` came from, e.g. at `databases[0].jobs`.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.of_key(key)
    }
}

impl Config {
    /// Finds the config file, lays the environment of this process over it, and refuses
    /// what is unknown, mistyped or contradictory. `explicit` is the `--config` of the
    /// command line.
    ///
    /// # Errors
    /// [`Code::ConfigNotFound`] or [`Code::ConfigInvalid`]; the latter names every
    /// problem with its line, key and what would be accepted.
    pub fn load(explicit: Option<&Path>) -> Result<Loaded> {
        Self::load_from(explicit, &Environment::current())
    }

    /// As [`load`](Self::load), in an environment that is given.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(explicit: Option<&Path>, environment: &Environment) -> Result<Loaded> {
        let file = locate::find(explicit, environment)?;
        let (written, lines) = file.as_deref().map(read).transpose()?.unzip();

        let schema = schema();
        let mut problems = Problems::default();
        let figment = written.map(Figment::from).unwrap_or_default();
        let figment = overrides::merge(figment, &schema, environment, &mut problems);
        let figment = legacy::join(figment, &schema, environment, file.is_some(), &mut problems);
        if file.is_none() && !describes_a_stack(&figment) {
            problems.refuse(None)?;
            return Err(nothing_found(environment));
        }
        let root = values(&figment);
        let origins = Origins::of(&root, &figment, &lines.unwrap_or_default());
        check(&root, &schema, "", &origins, &mut problems);
        problems.refuse(file.as_deref())?;

        let mut config: Config = figment.extract().map_err(|error| {
            let subject = file.as_deref().unwrap_or(Path::new("from the environment")).display();
            Error::new(Code::ConfigInvalid, "accept config", subject).source(error)
        })?;

        let mut problems = Problems::default();
        resolve_paths(&mut config, &origins, environment, &mut problems);
        contradictions::find(&config, &origins, &mut problems);
        problems.refuse(file.as_deref())?;
        Ok(Loaded { config, file, origins })
    }
}

/// Whether the environment alone says what is backed up, and where to.
fn describes_a_stack(figment: &Figment) -> bool {
    (figment.contains("repository.path") || figment.contains("repository.url"))
        && (figment.contains("databases") || figment.contains("files"))
}

fn nothing_found(environment: &Environment) -> Error {
    let places: Vec<String> =
        locate::places(environment).iter().map(|place| place.display().to_string()).collect();
    Error::new(Code::ConfigNotFound, "find", "a config file").cause(format!(
        "none of {} exists, and the environment names no database (DATABASE_URL or DB_NAME) \
         together with a repository (BACKUP_DIR)",
        places.join(", ")
    ))
}

/// Makes every path absolute: against the directory of the file that names it, against
/// the working directory where a variable does.
fn resolve_paths(
    config: &mut Config,
    origins: &Origins,
    environment: &Environment,
    problems: &mut Problems,
) {
    let mut resolve = |key: &str, path: &mut PathBuf| {
        let origin = origins.of_key(key);
        if path.starts_with("~") {
            problems.add(origin, key, "`~` is not expanded; write the path in full");
        }
        *path = absolute(path, origin.base(&environment.directory));
    };
    if !config.repository.path.as_os_str().is_empty() {
        resolve("repository.path", &mut config.repository.path);
    }
    resolve_secrets("repository", &mut config.repository.credentials, &mut resolve);
    for (index, copy) in config.repository.copies.iter_mut().enumerate() {
        let key = format!("repository.copies[{index}]");
        if let Some(path) = &mut copy.path {
            resolve(&format!("{key}.path"), path);
        }
        resolve_secrets(&key, &mut copy.credentials, &mut resolve);
    }
    resolve("state.dir", &mut config.state.dir);
    if let Some(runbooks) = &mut config.runbooks {
        resolve("runbooks.dir", &mut runbooks.dir);
    }
    for (index, database) in config.databases.iter_mut().enumerate() {
        let paths =
            [("password_file", &mut database.password_file), ("bin_dir", &mut database.bin_dir)];
        for (key, path) in paths {
            if let Some(path) = path {
                resolve(&format!("databases[{index}].{key}"), path);
            }
        }
    }
    if let Some(encryption) = &mut config.encryption {
        let paths = [
            ("identity_file", &mut encryption.identity_file),
            ("passphrase_file", &mut encryption.passphrase_file),
        ];
        for (key, path) in paths {
            if let Some(path) = path {
                resolve(&format!("encryption.{key}"), path);
            }
        }
    }
    for (index, tree) in config.files.iter_mut().enumerate() {
        if let Some(path) = &mut tree.path {
            resolve(&format!("files[{index}].path"), path);
        }
    }
}

/// The same for the files of a store's credentials.
fn resolve_secrets(
    key: &str,
    credentials: &mut Credentials,
    resolve: &mut dyn FnMut(&str, &mut PathBuf),
) {
    let files = [
        ("key_id_file", &mut credentials.key_id_file),
        ("secret_file", &mut credentials.secret_file),
        ("token_file", &mut credentials.token_file),
    ];
    for (name, path) in files {
        if let Some(path) = path {
            resolve(&format!("{key}.credentials.{name}"), path);
        }
    }
}
