//! Values that are each acceptable and together are not.

mod encryption;
mod retention;
mod stores;

use super::origin::{Origins, child, entry};
use super::problem::Problems;
use super::{Config, Database, FileTree, real_path};
use ignore::gitignore::GitignoreBuilder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The longest name of a component; it becomes a file name with a suffix.
const LONGEST_NAME: usize = 100;

/// The name of the script beside the dumps that holds roles and tablespaces.
const GLOBALS: &str = "globals";

/// How the files of dumps end; a directory of such a name could be another's file.
const DUMP_ENDINGS: [&str; 4] = [".dump", ".sql", ".tar", ".zst"];

/// Reports everything in `config`, whose paths are absolute, that contradicts itself.
pub(super) fn find(config: &Config, origins: &Origins, problems: &mut Problems) {
    let mut search = Search { origins, problems };
    search.name("stack.name", &config.stack.name);
    if config.databases.is_empty() && config.files.is_empty() {
        search.report("", "there is nothing to back up: add [[databases]] or [[files]]");
    }
    for (index, database) in config.databases.iter().enumerate() {
        search.database(&entry("databases", index), database);
    }
    for (index, tree) in config.files.iter().enumerate() {
        search.tree(&entry("files", index), tree, config);
    }
    search.trees_are_apart(config);
    search.names_are_unique(config);
    search.selectors_are_unique(config);
    search.stores(config);
    search.retention(config);
    search.encryption(config);
}

struct Search<'a> {
    origins: &'a Origins,
    problems: &'a mut Problems,
}

impl Search<'_> {
    /// Reports at `key`, or at the nearest table around it that was written.
    fn report(&mut self, key: &str, message: impl Into<String>) {
        self.problems.add(self.origins.nearest(key), key, message);
    }

    fn name(&mut self, key: &str, name: &str) {
        let safe = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !safe || name.starts_with(['.', '-']) || name.is_empty() || name.len() > LONGEST_NAME {
            self.report(
                key,
                format!(
                    "`{name}` cannot be a file name: expected up to {LONGEST_NAME} of A-Z, a-z, \
                     0-9, `.`, `_` and `-`, not beginning with `.` or `-`"
                ),
            );
        }
    }

    fn database(&mut self, key: &str, database: &Database) {
        self.name(&child(key, "name"), &database.name);
        let name = &database.name;
        if name == GLOBALS {
            let message = "is where the repository keeps roles and tablespaces; choose another";
            self.report(&child(key, "name"), format!("`{name}` {message}"));
        }
        if DUMP_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            let message = "ends as the file of a dump does; choose another";
            self.report(&child(key, "name"), format!("`{name}` {message}"));
        }
        let password_keys = [
            ("a password in `url`", database.url.has_password()),
            ("`password_env`", database.password_env.is_some()),
            ("`password_file`", database.password_file.is_some()),
        ];
        let given: Vec<&str> =
            password_keys.iter().filter(|(_, given)| *given).map(|(what, _)| *what).collect();
        if given.len() > 1 {
            self.report(key, format!("{} contradict each other; keep one", given.join(" and ")));
        }
        if let Some(variable) = &database.password_env
            && !is_variable(variable)
        {
            let message = "expected the name of an environment variable, not the password itself";
            self.report(&child(key, "password_env"), message);
        }
        if database.bin_dir.is_some() && database.container.is_some() {
            let message = "`bin_dir` has no effect with `container`, whose own programs are used; \
                 keep one";
            self.report(key, message);
        }
    }

    fn tree(&mut self, key: &str, tree: &FileTree, config: &Config) {
        self.name(&child(key, "name"), &tree.name);
        match (&tree.path, &tree.volume) {
            (Some(_), Some(_)) => self.report(key, "has both `path` and `volume`; keep one"),
            (None, None) => self.report(key, "needs `path` or `volume`"),
            (Some(path), None) => self.apart(&child(key, "path"), path, config),
            (None, Some(_)) => {}
        }
        for (index, pattern) in tree.exclude.iter().enumerate() {
            if let Err(message) = check_pattern(pattern) {
                self.report(
                    &entry(&child(key, "exclude"), index),
                    format!("`{pattern}` {message}"),
                );
            }
        }
    }

    /// A backup must not back up itself.
    fn apart(&mut self, key: &str, path: &Path, config: &Config) {
        let tree = real_path(path);
        let own = [
            (
                "repository.path",
                &config.repository.path,
                "every backup would hold the ones before it",
            ),
            ("state.dir", &config.state.dir, "the catalog changes while it would be read"),
        ];
        for (name, directory, because) in own {
            if is_set(directory) && real_path(directory).starts_with(&tree) {
                let message = format!("{name} lies inside of {}: {because}", path.display());
                self.report(key, message);
            }
        }
        let repository = &config.repository.path;
        if is_set(repository)
            && tree != real_path(repository)
            && tree.starts_with(real_path(repository))
        {
            let message = format!("{} lies inside of repository.path", path.display());
            self.report(key, message);
        }
    }

    /// A tree inside another would be stored twice, and a restore of the outer one would
    /// take the inner one with it.
    fn trees_are_apart(&mut self, config: &Config) {
        let place = |tree: &FileTree| match (&tree.path, &tree.volume) {
            (Some(path), _) => Some(real_path(path)),
            (None, Some(volume)) => Some(Path::new("volume:").join(volume)),
            (None, None) => None,
        };
        let places: Vec<Option<PathBuf>> = config.files.iter().map(place).collect();
        for (inner, one) in places.iter().enumerate() {
            for (outer, other) in places.iter().enumerate() {
                let (Some(one), Some(other)) = (one, other) else { continue };
                if inner != outer && one.starts_with(other) && (one != other || inner > outer) {
                    let message = format!("lies inside of {}", entry("files", outer));
                    self.report(&entry("files", inner), message);
                }
            }
        }
    }

    fn names_are_unique(&mut self, config: &Config) {
        let databases = config.databases.iter().map(|database| &database.name).enumerate();
        let trees = config.files.iter().map(|tree| &tree.name).enumerate();
        let mut first: BTreeMap<&str, String> = BTreeMap::new();
        let all = databases
            .map(|(index, name)| (entry("databases", index), name))
            .chain(trees.map(|(index, name)| (entry("files", index), name)));
        for (key, name) in all {
            match first.get(name.as_str()) {
                Some(other) => {
                    let message = format!("`{name}` is already the name of {other}");
                    self.report(&child(&key, "name"), message);
                }
                None => {
                    first.insert(name, key);
                }
            }
        }
    }

    fn selectors_are_unique(&mut self, config: &Config) {
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for (index, selection) in config.containers.iter().enumerate() {
            let select = selection.select.to_string();
            match first.get(&select) {
                Some(other) => {
                    let message = format!("`{select}` is already selected by containers[{other}]");
                    self.report(&child(&entry("containers", index), "select"), message);
                }
                None => {
                    first.insert(select, index);
                }
            }
        }
    }
}

/// Whether an exclude pattern can be read, by the rules of gitignore.
fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.trim_matches(['/', '*', ' ']).is_empty() && !pattern.starts_with('*') {
        return Err("names nothing; expected a pattern such as `*.tmp`".into());
    }
    GitignoreBuilder::new("")
        .add_line(None, pattern)
        .map(drop)
        .map_err(|error| format!("is not a pattern: {error}"))
}

/// Whether there is a path at all; a repository on a store has none.
/// Whether a text can be the name of an environment variable, and is not what it should hold.
fn is_variable(name: &str) -> bool {
    !name.contains(|c: char| c == '=' || c.is_whitespace())
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}
