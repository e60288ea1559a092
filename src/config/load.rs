//! From files and variables to a config: the steps in order.

use super::check::check;
use super::problem::Problems;
use super::schema::schema;
use super::tree::{Node, Origin, absolute};
use super::{Config, Environment, contradictions, legacy, locate, overrides, toml, yaml};
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A config together with where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The config; its paths are absolute.
    pub config: Config,
    /// The file it was read from, if there is one.
    pub file: Option<PathBuf>,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value at `key` came from, e.g. at `databases[0].jobs`.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
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
        let mut root = file.as_deref().map_or_else(|| Ok(Node::empty()), read)?;

        let schema = schema();
        let mut problems = Problems::default();
        overrides::apply(&mut root, &schema, environment, &mut problems);
        legacy::fill(&mut root, environment, file.is_some(), &mut problems);
        if file.is_none() && !describes_a_stack(&root) {
            problems.refuse(None)?;
            return Err(nothing_found(environment));
        }
        check(&mut root, &schema, "", &mut problems);
        problems.refuse(file.as_deref())?;

        let mut config: Config = serde_json::from_value(root.to_json()).map_err(|error| {
            let subject = file.as_deref().unwrap_or(Path::new("from the environment")).display();
            Error::new(Code::ConfigInvalid, "accept config", subject).source(error)
        })?;
        let origins = root.origins();

        let mut problems = Problems::default();
        resolve_paths(&mut config, &origins, environment, &mut problems);
        contradictions::find(&config, &origins, &mut problems);
        problems.refuse(file.as_deref())?;
        Ok(Loaded { config, file, origins })
    }
}

/// Reads a file in the format that its ending names.
fn read(file: &Path) -> Result<Node> {
    let invalid = || Error::new(Code::ConfigInvalid, "read config", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| {
        invalid().source(error).hint("the config has to be a readable UTF-8 text file")
    })?;
    let path: Arc<Path> = Arc::from(file);
    let parsed = match file.extension().and_then(std::ffi::OsStr::to_str) {
        Some("toml") => toml::parse(&text, &path),
        Some("yaml" | "yml") => yaml::parse(&text, &path),
        _ => {
            return Err(invalid()
                .cause("its ending says neither TOML nor YAML")
                .hint("name it .toml, .yaml or .yml"));
        }
    };
    parsed.map_err(|(line, message)| {
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        invalid().cause(format!("{place}{}", message.trim().replace('\n', ", ")))
    })
}

/// Whether the environment alone says what is backed up, and where to.
fn describes_a_stack(root: &Node) -> bool {
    let repository = root.get("repository").is_some_and(|section| section.get("path").is_some());
    repository && (root.get("databases").is_some() || root.get("files").is_some())
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
    origins: &BTreeMap<String, Origin>,
    environment: &Environment,
    problems: &mut Problems,
) {
    let mut resolve = |key: &str, path: &mut PathBuf| {
        let origin = origins.get(key).unwrap_or(&Origin::Default);
        if path.starts_with("~") {
            problems.add(origin, key, "`~` is not expanded; write the path in full");
        }
        *path = absolute(path, origin.base(&environment.directory));
    };
    resolve("repository.path", &mut config.repository.path);
    resolve("state.dir", &mut config.state.dir);
    for (index, database) in config.databases.iter_mut().enumerate() {
        let paths =
            [("password_file", &mut database.password_file), ("bin_dir", &mut database.bin_dir)];
        for (key, path) in paths {
            if let Some(path) = path {
                resolve(&format!("databases[{index}].{key}"), path);
            }
        }
    }
    for (index, tree) in config.files.iter_mut().enumerate() {
        if let Some(path) = &mut tree.path {
            resolve(&format!("files[{index}].path"), path);
        }
    }
}
