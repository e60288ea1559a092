//! Where the values of a config came from.

use figment::value::{Tag, Value};
use figment::{Figment, Source};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The line of every key of a file, from 1, where it is known.
pub(super) type Lines = BTreeMap<String, usize>;

/// Where a value of the config came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// backstop's own default.
    Default,
    /// The config file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where it is known.
        line: Option<usize>,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
}

impl Origin {
    /// The directory against which a relative path from here is resolved: that of the
    /// file, otherwise `working_directory`.
    pub(super) fn base<'a>(&'a self, working_directory: &'a Path) -> &'a Path {
        match self {
            Self::File { path, .. } => path.parent().unwrap_or(working_directory),
            Self::Default | Self::Environment { .. } => working_directory,
        }
    }

    pub(super) fn variable(name: &str) -> Self {
        Self::Environment { variable: name.to_owned() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment { variable } => write!(f, "${variable}"),
        }
    }
}

/// Where every key that was set came from, tables and list entries included.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Those of the values in `figment`, which are `root`: each carries the tag of its
    /// source, and `lines` knows where in the file a key stands.
    pub(super) fn of(root: &Value, figment: &Figment, lines: &Lines) -> Self {
        let mut origins = Self(BTreeMap::new());
        origins.collect(root, "", &|key, tag| match figment.get_metadata(tag)?.source.as_ref()? {
            Source::File(path) => {
                Some(Origin::File { path: path.clone(), line: lines.get(key).copied() })
            }
            Source::Custom(variable) => Some(Origin::variable(variable)),
            _ => None,
        });
        origins
    }

    fn collect(&mut self, value: &Value, key: &str, origin: &dyn Fn(&str, Tag) -> Option<Origin>) {
        if let Some(origin) = origin(key, value.tag()) {
            self.0.insert(key.to_owned(), origin);
        }
        match value {
            Value::Dict(_, entries) => entries
                .iter()
                .for_each(|(name, value)| self.collect(value, &child(key, name), origin)),
            Value::Array(_, values) => values
                .iter()
                .enumerate()
                .for_each(|(index, value)| self.collect(value, &entry(key, index), origin)),
            _ => {}
        }
    }

    /// That of the value at `key`.
    pub(super) fn of_key(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// That of the value at `key`, or of the nearest table around it that was written.
    pub(super) fn nearest(&self, key: &str) -> &Origin {
        let mut around = key;
        loop {
            match (self.0.get(around), around.rfind(['.', '['])) {
                (Some(origin), _) => return origin,
                (None, Some(end)) => around = &around[..end],
                (None, None) => return &Origin::Default,
            }
        }
    }
}

/// `table.name`, the path of a table's key. A name that looks like a path is quoted, so
/// that no two keys have the same one.
pub(super) fn child(table: &str, name: &str) -> String {
    let name = if name.contains(['.', '[']) { format!("{name:?}") } else { name.to_owned() };
    if table.is_empty() { name } else { format!("{table}.{name}") }
}

/// `list[index]`, the path of a list's entry.
pub(super) fn entry(list: &str, index: usize) -> String {
    format!("{list}[{index}]")
}

/// `path`, absolute, without `.` and doubled slashes.
pub(super) fn absolute(path: &Path, base: &Path) -> PathBuf {
    base.join(path).components().collect()
}
