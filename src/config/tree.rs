//! What was configured, before it has types: values, each with the place it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value of the config came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// backstop's own default.
    Default,
    /// The config file.
    File {
        /// The file.
        path: Arc<Path>,
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

/// A value and where it came from. It may be a secret, so it has no `Debug`.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A value without a type of its own.
#[derive(Clone)]
pub(super) enum Value {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A TOML date; no key takes one.
    Date,
    /// The text of an environment variable; the schema says what it has to become.
    Raw(String),
}

impl Node {
    pub(super) fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// A table without entries, from nowhere.
    pub(super) fn empty() -> Self {
        Self::new(Value::Table(BTreeMap::new()), Origin::Default)
    }

    /// The entry `key` of a table.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.get(key),
            _ => None,
        }
    }

    /// The text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Raw(text) => Some(text),
            _ => None,
        }
    }

    /// Sets `section.key` unless it is set already; `section` is created where missing.
    pub(super) fn fill(&mut self, section: &str, key: &str, node: Node) {
        let Value::Table(sections) = &mut self.value else { return };
        let section = sections
            .entry(section.to_owned())
            .or_insert_with(|| Node::new(Value::Table(BTreeMap::new()), node.origin.clone()));
        if let Value::Table(entries) = &mut section.value {
            entries.entry(key.to_owned()).or_insert(node);
        }
    }

    /// The value alone, as serde reads it.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Table(entries) => {
                entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect()
            }
            Value::List(nodes) => nodes.iter().map(Node::to_json).collect(),
            Value::Text(text) | Value::Raw(text) => text.clone().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Boolean(flag) => (*flag).into(),
            Value::Date => serde_json::Value::Null,
        }
    }

    /// Where each key came from, tables and list entries included.
    pub(super) fn origins(&self) -> BTreeMap<String, Origin> {
        let mut origins = BTreeMap::new();
        self.collect_origins("", &mut origins);
        origins
    }

    fn collect_origins(&self, key: &str, origins: &mut BTreeMap<String, Origin>) {
        origins.insert(key.to_owned(), self.origin.clone());
        match &self.value {
            Value::Table(entries) => entries
                .iter()
                .for_each(|(name, node)| node.collect_origins(&child(key, name), origins)),
            Value::List(nodes) => nodes
                .iter()
                .enumerate()
                .for_each(|(index, node)| node.collect_origins(&entry(key, index), origins)),
            _ => {}
        }
    }
}

impl Value {
    /// What it is, in the words of an error message. The content itself is never shown:
    /// it may be a secret in the wrong place.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::Text(_) | Self::Raw(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::Date => "a date",
        }
    }
}

/// `table.name`, the path of a table's key.
pub(super) fn child(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

/// `list[index]`, the path of a list's entry.
pub(super) fn entry(list: &str, index: usize) -> String {
    format!("{list}[{index}]")
}

/// `path`, absolute, without `.` and doubled slashes.
pub(super) fn absolute(path: &Path, base: &Path) -> PathBuf {
    base.join(path).components().collect()
}
