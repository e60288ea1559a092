//! `BACKSTOP_SECTION__KEY`: every key can be set by an environment variable.
//!
//! `BACKSTOP_REPOSITORY__PATH`, `BACKSTOP_DATABASES__SHOP__URL` (the entry named `shop`),
//! `BACKSTOP_CONTAINERS__0__QUIESCE` (the first entry). Variables without `__`, such as
//! `BACKSTOP_CONFIG`, are no keys and pass.

use super::Environment;
use super::check::unknown_key;
use super::origin::{Origin, child, entry};
use super::problem::{Problems, quoted_list};
use super::schema::{Shape, keys, present};
use super::source::{Layer, values};
use super::toml;
use figment::Figment;
use figment::value::{Dict, Value};
use serde_json::Value as Schema;

const PREFIX: &str = "BACKSTOP_";

/// Merges every overriding variable over `figment`.
pub(super) fn merge(
    figment: Figment,
    schema: &Schema,
    environment: &Environment,
    problems: &mut Problems,
) -> Figment {
    let mut overrides: Vec<Override<'_>> = environment
        .variables
        .iter()
        .filter_map(|(name, value)| Override::read(name, value))
        .collect();
    // In the order of their indexes, so that entries can be appended one after the other.
    overrides.sort_by_key(Override::order);
    overrides.iter().fold(figment, |figment, over| over.merge(figment, schema, problems))
}

/// A variable that sets one key.
pub(super) struct Override<'a> {
    variable: &'a str,
    value: &'a str,
    segments: Vec<String>,
}

impl<'a> Override<'a> {
    /// `path` is written as `section__key`.
    pub(super) fn new(variable: &'a str, path: &str, value: &'a str) -> Self {
        let segments = path.split("__").map(str::to_lowercase).collect();
        Self { variable, value, segments }
    }

    fn read(variable: &'a str, value: &'a str) -> Option<Self> {
        let over = Self::new(variable, variable.strip_prefix(PREFIX)?, value);
        (over.segments.len() > 1).then_some(over)
    }

    fn order(&self) -> Vec<String> {
        self.segments.iter().map(|segment| format!("{segment:0>8}")).collect()
    }

    /// Merges this variable over `figment`.
    ///
    /// Merging replaces lists, and this may reach into one. So what is merged is the
    /// section as it is with one key changed; what does not change keeps its tag, and
    /// with it its origin.
    pub(super) fn merge(
        &self,
        figment: Figment,
        schema: &Schema,
        problems: &mut Problems,
    ) -> Figment {
        let mut root = values(&figment);
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        if let Err((key, message)) = self.set(&mut root, schema, &segments, "") {
            problems.add(&Origin::variable(self.variable), &key, message);
        }
        let mut values = root.into_dict().unwrap_or_default();
        values.retain(|section, _| segments.first() == Some(&section.as_str()));
        figment.merge(Layer::new(self.variable, values))
    }

    /// Sets what `segments` lead to, starting at `value`.
    fn set(
        &self,
        value: &mut Value,
        schema: &Schema,
        segments: &[&str],
        key: &str,
    ) -> Result<(), (String, String)> {
        let schema = present(schema);
        let Some((segment, rest)) = segments.split_first() else {
            *value = typed(self.value, schema);
            return Ok(());
        };
        match (Shape::of(schema), value) {
            (Shape::Table, Value::Dict(_, entries)) => {
                let Some(name) = keys(schema).find(|name| folded(name) == folded(segment)) else {
                    return Err((child(key, segment), unknown_key(segment, schema)));
                };
                let inner = &schema["properties"][name];
                let next = entries.entry(name.to_owned()).or_insert_with(|| blank(inner));
                self.set(next, inner, rest, &child(key, name))
            }
            (Shape::List, Value::Array(_, entries))
                if Shape::of(&schema["items"]) == Shape::Table =>
            {
                let index = self.index(entries, segment, key)?;
                if index == entries.len() {
                    entries.push(Dict::new().into());
                }
                match entries.get_mut(index) {
                    Some(next) => self.set(next, &schema["items"], rest, &entry(key, index)),
                    None => Ok(()),
                }
            }
            // A wrong type in the file; the check of types reports it there.
            (Shape::Table, _) => Ok(()),
            (Shape::List, value) if value.as_array().is_none() => Ok(()),
            _ => Err((key.to_owned(), format!("has nothing named `{segment}` inside"))),
        }
    }

    /// The entry that `segment` names: by its name, else by its index.
    fn index(
        &self,
        entries: &[Value],
        segment: &str,
        key: &str,
    ) -> Result<usize, (String, String)> {
        let names: Vec<Option<&str>> =
            entries.iter().map(|entry| entry.find_ref("name")?.as_str()).collect();
        let named = |name: &Option<&str>| name.is_some_and(|name| folded(name) == folded(segment));
        let fitting: Vec<usize> =
            (0..names.len()).filter(|index| names.get(*index).is_some_and(named)).collect();
        match (fitting.as_slice(), segment.parse::<usize>()) {
            ([index], _) => Ok(*index),
            ([], Ok(index)) if index <= entries.len() => Ok(index),
            ([], Ok(_)) => {
                let message = format!("the next index is {}", entries.len());
                Err((format!("{key}[{segment}]"), message))
            }
            ([], Err(_)) => {
                let names = quoted_list(names.iter().copied().flatten());
                let known = if names.is_empty() { "an index".into() } else { names };
                let message = format!("no entry has this name; expected {known}");
                Err((child(key, segment), message))
            }
            _ => Err((child(key, segment), "several entries have this name; use the index".into())),
        }
    }
}

/// How names are compared: variables have no case and no `-` or `.`.
fn folded(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}

/// The beginning of a section that the file does not have.
fn blank(schema: &Schema) -> Value {
    match Shape::of(present(schema)) {
        Shape::List => Vec::<Value>::new().into(),
        _ => Dict::new().into(),
    }
}

/// The text of a variable as what the schema asks for; as it stands where it cannot be
/// that.
fn typed(text: &str, schema: &Schema) -> Value {
    let parsed = if Shape::of(schema) == Shape::Text { None } else { toml::parse_value(text) };
    parsed.unwrap_or_else(|| text.into())
}
