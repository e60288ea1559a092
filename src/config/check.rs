//! Keys, types and allowed values: the config against its own schema.
//!
//! Deserializing would stop at the first fault; this finds them all, and the schema that
//! users see cannot drift from what is accepted.

use super::problem::{Problems, did_you_mean, quoted_list};
use super::schema::{Shape, choices, expected, keys, present};
use super::tree::{Node, Origin, Value, child, entry};
use super::{DatabaseUrl, Selector, Timeout, toml};
use serde_json::Value as Schema;
use std::collections::BTreeMap;

/// Checks `node`, which lies at `key`, and gives values from the environment their type.
pub(super) fn check(node: &mut Node, schema: &Schema, key: &str, problems: &mut Problems) {
    let schema = present(schema);
    if let Value::Raw(text) = &node.value {
        node.value = typed(text, schema, &node.origin);
    }
    let origin = node.origin.clone();
    match (&mut node.value, Shape::of(schema)) {
        (Value::Table(entries), Shape::Table) => table(entries, schema, key, &origin, problems),
        (Value::List(nodes), Shape::List) => {
            for (index, node) in nodes.iter_mut().enumerate() {
                check(node, &schema["items"], &entry(key, index), problems);
            }
        }
        (Value::Text(text), Shape::Text) => {
            if let Err(message) = accept(text, schema) {
                problems.add(&origin, key, message);
            }
        }
        (Value::Integer(number), Shape::Integer) => {
            let below = schema["minimum"].as_i64().is_some_and(|minimum| *number < minimum);
            let above = schema["maximum"].as_i64().is_some_and(|maximum| *number > maximum);
            if below || above {
                problems.add(
                    &origin,
                    key,
                    format!("expected {}, found {number}", expected(schema)),
                );
            }
        }
        (Value::Boolean(_), Shape::Boolean) => {}
        (other, _) => {
            let message = format!("expected {}, found {}", expected(schema), other.kind());
            problems.add(&origin, key, message);
        }
    }
}

fn table(
    entries: &mut BTreeMap<String, Node>,
    schema: &Schema,
    key: &str,
    origin: &Origin,
    problems: &mut Problems,
) {
    for (name, node) in &mut *entries {
        let path = child(key, name);
        match schema["properties"].get(name) {
            Some(schema) => check(node, schema, &path, problems),
            None => problems.add(&node.origin, &path, unknown_key(name, schema)),
        }
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Schema::as_str);
    for name in required.filter(|name| !entries.contains_key(*name)) {
        let expected = expected(present(&schema["properties"][name]));
        problems.add(origin, &child(key, name), format!("is missing; expected {expected}"));
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
        Some("selector") => text.parse::<Selector>().map(drop),
        Some("timeout") => text.parse::<Timeout>().map(drop),
        _ => Ok(()),
    }
}

/// The text of an environment variable as what the schema asks for; as it stands where
/// it cannot be that.
fn typed(text: &str, schema: &Schema, origin: &Origin) -> Value {
    let shape = Shape::of(schema);
    let parsed = if shape == Shape::Text { None } else { toml::parse_value(text, origin) };
    parsed.map_or_else(|| Value::Text(text.to_owned()), |node| node.value)
}
