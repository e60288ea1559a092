//! What a config is layered from. figment lays the layers over each other and remembers
//! of every value which one it came from.

use super::origin::Lines;
use super::{toml, yaml};
use crate::error::{Code, Error, Result};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};
use std::path::Path;

/// What is accepted where a file is not TOML or not YAML at all.
const TOML: &str = "write it as TOML: `key = \"text\"`, `key = 2`, tables as `[stack]` and \
    `[[databases]]`; config/backstop.example.toml shows every key";
const YAML: &str = "write it as YAML: `key: text`, lists as `- name: shop`; \
    config/backstop.example.yaml shows every key";

/// What a text says, or what is wrong with it.
pub(super) type Parsed = Result<(Dict, Lines), (Option<usize>, String)>;

/// What one file or one variable says.
pub(super) struct Layer {
    source: Source,
    values: Dict,
}

impl Layer {
    /// What the file at a `Path`, or the environment variable of this name, says.
    pub(super) fn new(source: impl Into<Source>, values: Dict) -> Self {
        Self { source: source.into(), values }
    }

    /// An environment variable that says `section.key`.
    pub(super) fn of_key(variable: &str, section: &str, key: &str, value: Value) -> Self {
        let entries = Dict::from([(key.to_owned(), value)]);
        Self::new(variable, Dict::from([(section.to_owned(), entries.into())]))
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::default().source(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Reads a file in the format that its ending names; with it the line of each key.
pub(super) fn read(path: &Path) -> Result<(Layer, Lines)> {
    let invalid = || Error::new(Code::ConfigInvalid, "read config", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| {
        invalid().source(error).hint("the config has to be a readable UTF-8 text file")
    })?;
    let (Some(parsed), Some(form)) = (parse(path, &text), form(path)) else {
        return Err(invalid()
            .cause("its ending says neither TOML nor YAML")
            .hint("name it .toml, .yaml or .yml"));
    };
    let (values, lines) = parsed.map_err(|(line, message)| {
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        invalid().cause(format!("{place}{}", message.trim().replace('\n', ", "))).hint(form)
    })?;
    Ok((Layer::new(path, values), lines))
}

/// The values of a text in the format that the ending of `path` names, with the line of each
/// key, or the line and the reason of a fault. None for another ending.
pub(super) fn parse(path: &Path, text: &str) -> Option<Parsed> {
    match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("toml") => Some(toml::parse(text)),
        Some("yaml" | "yml") => Some(yaml::parse(text)),
        _ => None,
    }
}

/// What is accepted in the format that the ending of `path` names.
fn form(path: &Path) -> Option<&'static str> {
    match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("toml") => Some(TOML),
        Some("yaml" | "yml") => Some(YAML),
        _ => None,
    }
}

/// All values of `figment`. They may be secrets, and their `Debug` shows them.
pub(super) fn values(figment: &Figment) -> Value {
    // Were there an error, extracting would report it.
    figment.find_value("").unwrap_or_else(|_| Dict::new().into())
}

/// What a value is, in the words of an error message. The content itself is never shown:
/// it may be a secret in the wrong place.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
        Value::String(..) | Value::Char(..) => "text",
        Value::Num(_, number) if number.to_f64().is_some() => "a number with a fraction",
        Value::Num(..) => "a whole number",
        Value::Bool(..) => "true or false",
        // Keys without a value are left out, so this is what TOML alone has.
        Value::Empty(..) => "a date",
    }
}
