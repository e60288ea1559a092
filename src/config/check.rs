//! Keys, types and allowed values: the config against its own schema.
//!
//! Deserializing would stop at the first fault; this finds them all, and the schema that
//! users see cannot drift from what is accepted.

use super::origin::{Origins, child, entry};
use super::problem::{Problems, did_you_mean, meant, quoted_list};
use super::schema::{Shape, choices, expected, keys, present};
use super::source::kind;
use super::{DatabaseUrl, Recipient, Selector, Size, StoreUrl, Timeout};
use figment::value::{Dict, Value};
use serde_json::Value as Schema;

/// Checks `value`, which lies at `key`.
pub(super) fn check(
    value: &Value,
    schema: &Schema,
    key: &str,
    origins: &Origins,
    problems: &mut Problems,
) {
    let schema = present(schema);
    let problem = match (value, Shape::of(schema)) {
        (Value::Dict(_, entries), Shape::Table) => {
            return table(entries, schema, key, origins, problems);
        }
        (Value::Array(_, values), Shape::List) => {
            for (index, value) in values.iter().enumerate() {
                check(value, &schema["items"], &entry(key, index), origins, problems);
            }
            return;
        }
        (Value::String(_, text), Shape::Text) => accept(text, schema).err(),
        (Value::Num(_, number), Shape::Integer) if number.to_f64().is_none() => {
            let number = number.to_i128().unwrap_or(i128::MAX);
            let below = schema["minimum"].as_i64().is_some_and(|least| number < least.into());
            let above = schema["maximum"].as_i64().is_some_and(|most| number > most.into());
            (below || above).then(|| format!("expected {}, found {number}", expected(schema)))
        }
        (Value::Bool(..), Shape::Boolean) => None,
        (other, _) => Some(format!("expected {}, found {}", expected(schema), kind(other))),
    };
    if let Some(message) = problem {
        let remedy = format!("set {key} to {}", expected(schema));
        problems.add_with_remedy(origins.nearest(key), key, message, remedy);
    }
}

fn table(entries: &Dict, schema: &Schema, key: &str, origins: &Origins, problems: &mut Problems) {
    for (name, value) in entries {
        let path = child(key, name);
        match schema["properties"].get(name) {
            Some(schema) => check(value, schema, &path, origins, problems),
            None => {
                let (message, remedy) = (unknown_key(name, schema), known_key(name, &path, schema));
                problems.add_with_remedy(origins.nearest(&path), &path, message, remedy);
            }
        }
    }
    for name in required_keys(schema).filter(|name| !entries.contains_key(*name)) {
        let (path, schema) = (child(key, name), present(&schema["properties"][name]));
        let message = format!("is missing; expected {}", expected(schema));
        let remedy = match Shape::of(schema) {
            Shape::Table => {
                // Where none is required, the first is what most need.
                let first = required_keys(schema).next().is_none().then(|| keys(schema).next());
                let named = required_keys(schema).chain(first.flatten());
                format!("add [{path}] with {}", quoted_list(named))
            }
            _ => format!("add {path} ({})", expected(schema)),
        };
        problems.add_with_remedy(origins.nearest(key), &path, message, remedy);
    }
}

fn required_keys(schema: &Schema) -> impl Iterator<Item = &str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Schema::as_str)
}

/// What to write instead of the unknown key `name`, which lies at `path`.
fn known_key(name: &str, path: &str, schema: &Schema) -> String {
    match meant(name, keys(schema)) {
        Some(meant) => format!("write `{meant}` instead of `{name}`"),
        None => format!("remove {path}, or write one of {}", quoted_list(keys(schema))),
    }
}

/// Why `name` is refused in a table of this schema.
pub(super) fn unknown_key(name: &str, schema: &Schema) -> String {
    let guess = did_you_mean(name, keys(schema));
    format!("unknown key; accepted are {}{guess}", quoted_list(keys(schema)))
}

/// Whether `text` may stand where the schema says so. The message never repeats an
/// address, which may hold a password.
fn accept(text: &str, schema: &Schema) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not be empty".into());
    }
    if text.contains('\0') {
        return Err("must not contain a NUL character".into());
    }
    let choices = choices(schema);
    if !choices.is_empty() && !choices.contains(&text) {
        let guess = did_you_mean(text, choices.iter().copied());
        return Err(format!("expected {}, found `{text}`{guess}", expected(schema)));
    }
    match schema["format"].as_str() {
        Some("database-url") => text.parse::<DatabaseUrl>().map(drop),
        Some("store-url") => text.parse::<StoreUrl>().map(drop),
        Some("selector") => text.parse::<Selector>().map(drop),
        Some("timeout") => text.parse::<Timeout>().map(drop),
        Some("age-recipient") => text.parse::<Recipient>().map(drop),
        Some("size") => text.parse::<Size>().map(drop),
        _ => Ok(()),
    }
}
