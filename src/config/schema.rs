//! The schema of the config: what `backstop config schema` prints is what is enforced.

use super::Config;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The JSON Schema (draft 2020-12) of the config, without references.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    settings.into_generator().into_root_schema_for::<Config>().to_value()
}

/// The schema of what an optional key holds when it is there.
pub(super) fn present(schema: &Value) -> &Value {
    schema["anyOf"]
        .as_array()
        .and_then(|options| options.iter().find(|option| option["type"] != "null"))
        .unwrap_or(schema)
}

/// What a value of this schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Table,
    List,
    Text,
    Integer,
    Boolean,
}

impl Shape {
    pub(super) fn of(schema: &Value) -> Self {
        let name = match &schema["type"] {
            Value::String(name) => Some(name.as_str()),
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).find(|name| *name != "null")
            }
            _ => None,
        };
        match name {
            Some("object") => Self::Table,
            Some("array") => Self::List,
            Some("integer") => Self::Integer,
            Some("boolean") => Self::Boolean,
            _ => Self::Text,
        }
    }
}

/// The words that a key takes, where it takes only certain ones.
pub(super) fn choices(schema: &Value) -> Vec<&str> {
    let alternatives = schema["oneOf"].as_array().into_iter().flatten();
    let constants = alternatives.filter_map(|alternative| alternative["const"].as_str());
    let words = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    constants.chain(words).collect()
}

/// The keys that a table takes.
pub(super) fn keys(schema: &Value) -> impl Iterator<Item = &str> {
    schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str())
}

/// What would be accepted, as the end of "expected …".
pub(super) fn expected(schema: &Value) -> String {
    match Shape::of(schema) {
        Shape::Table => "a table".into(),
        Shape::List if Shape::of(&schema["items"]) == Shape::Table => "a list of tables".into(),
        Shape::List => "a list of text, such as [\"one\", \"two\"]".into(),
        Shape::Boolean => "true or false".into(),
        Shape::Integer => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (Some(minimum), Some(maximum)) => {
                format!("a whole number from {minimum} to {maximum}")
            }
            _ => "a whole number".into(),
        },
        Shape::Text => {
            let choices = choices(schema);
            let examples: Vec<&str> = schema["examples"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            if !choices.is_empty() {
                format!("one of {}", super::problem::quoted_list(choices))
            } else if examples.is_empty() {
                "text".into()
            } else {
                format!("text such as {}", super::problem::quoted_list(examples))
            }
        }
    }
}
