//! The config as it is in effect, with each value's origin and without any secret.

use super::origin::{child, entry};
use super::{Loaded, Origin};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The effective config as TOML; a comment behind each value says where it came from.
pub fn show_toml(loaded: &Loaded) -> String {
    // Writing into a String cannot fail, here and below.
    let mut page = Page { loaded, text: String::new() };
    if let Some(file) = &loaded.file {
        let _ = writeln!(page.text, "# {}", file.display());
    }
    if let Value::Object(sections) = effective(loaded) {
        for (name, section) in &sections {
            match section {
                Value::Object(entries) => page.table(&format!("[{name}]"), name, entries),
                Value::Array(tables) => {
                    for (index, table) in tables.iter().enumerate() {
                        if let Value::Object(entries) = table {
                            page.table(&format!("[[{name}]]"), &entry(name, index), entries);
                        }
                    }
                }
                value => page.value(name, name, value),
            }
        }
    }
    page.text
}

/// The effective config as JSON: `file`, `config`, and `origins` by key.
pub fn to_json(loaded: &Loaded) -> Value {
    let config = effective(loaded);
    let mut origins = Map::new();
    collect_origins(loaded, &config, "", &mut origins);
    json!({ "file": loaded.file, "config": config, "origins": origins })
}

/// The config as serde writes it, passwords masked by [`DatabaseUrl`](super::DatabaseUrl).
fn effective(loaded: &Loaded) -> Value {
    serde_json::to_value(&loaded.config).unwrap_or_default()
}

fn collect_origins(loaded: &Loaded, value: &Value, key: &str, origins: &mut Map<String, Value>) {
    match value {
        Value::Object(entries) => entries
            .iter()
            .for_each(|(name, value)| collect_origins(loaded, value, &child(key, name), origins)),
        Value::Array(values) if values.iter().any(Value::is_object) => values
            .iter()
            .enumerate()
            .for_each(|(index, value)| collect_origins(loaded, value, &entry(key, index), origins)),
        _ => {
            origins.insert(key.to_owned(), loaded.origin(key).to_string().into());
        }
    }
}

struct Page<'a> {
    loaded: &'a Loaded,
    text: String,
}

impl Page<'_> {
    fn table(&mut self, header: &str, key: &str, entries: &Map<String, Value>) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let _ = writeln!(self.text, "{header}");
        let (tables, values): (Vec<_>, Vec<_>) =
            entries.iter().partition(|(_, value)| value.is_object() || is_list_of_tables(value));
        for (name, value) in values {
            self.value(name, &child(key, name), value);
        }
        // The header of a table in a list is without its index.
        let within = header.trim_matches(['[', ']']);
        for (name, table) in tables {
            let (inner, key) = (child(within, name), child(key, name));
            match table {
                Value::Object(entries) => self.table(&format!("[{inner}]"), &key, entries),
                Value::Array(tables) => {
                    for (index, table) in tables.iter().enumerate() {
                        if let Value::Object(entries) = table {
                            self.table(&format!("[[{inner}]]"), &entry(&key, index), entries);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

impl Page<'_> {
    /// One setting, with where it came from.
    fn value(&mut self, name: &str, key: &str, value: &Value) {
        let origin = match self.loaded.origin(key) {
            Origin::File { line: Some(line), .. } => format!("line {line}"),
            other => other.to_string(),
        };
        let setting = format!("{name} = {}", toml_value(value));
        let _ = writeln!(self.text, "{setting:<48}  # {origin}");
    }
}

fn is_list_of_tables(value: &Value) -> bool {
    value.as_array().is_some_and(|values| values.iter().any(Value::is_object))
}

fn toml_value(value: &Value) -> toml_edit::Value {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::Array(values) => values.iter().map(toml_value).collect::<toml_edit::Array>().into(),
        Value::Null | Value::Object(_) => toml_edit::InlineTable::new().into(),
    }
}
