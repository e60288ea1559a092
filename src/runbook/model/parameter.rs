//! What may be given to a runbook.

use crate::config::Timeout;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// One parameter.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What kind of value it takes.
    #[serde(default, rename = "type")]
    pub kind: ParameterType,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it is where it is not given; it may be a template over other parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The run does not begin without it.
    #[serde(default)]
    pub required: bool,
    /// The values that `choice` takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Where its value lies. It is read whenever it is needed, never stored and never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
}

/// What kind of value a parameter takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A length of time such as `30s` or `1h 30m`.
    Duration,
    /// An instant such as `2026-11-21T03:00:00Z`, or `2026-11-21`, midnight in UTC.
    Time,
    /// One of `choices`.
    Choice,
    /// Texts, on the command line separated by commas.
    List,
    /// Queries of SQL, on the command line one each time the parameter is given: commas are theirs.
    Queries,
    /// Names of databases of the config; without a default all of them.
    Databases,
    /// Names of file trees of the config; without a default all of them.
    Files,
    /// Containers: names, `label=KEY[=VALUE]` and `compose=PROJECT`; without a default those that
    /// the config holds.
    Containers,
}

impl ParameterType {
    /// Whether it takes several values.
    pub fn is_list(self) -> bool {
        matches!(
            self,
            Self::List | Self::Queries | Self::Databases | Self::Files | Self::Containers
        )
    }
}

/// Where a secret lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// In this environment variable.
    Env(String),
    /// In this file, its last line break left aside.
    File(PathBuf),
}

impl Parameter {
    /// What a value that was written becomes in templates.
    ///
    /// # Errors
    /// What would be accepted, as the end of "expected …".
    pub fn accept(&self, written: &Value) -> Result<Value, String> {
        if self.kind.is_list() {
            return list(written, self.kind != ParameterType::Queries);
        }
        let text = match written {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return Err("one value".into()),
        };
        Ok(match self.kind {
            ParameterType::String
            | ParameterType::List
            | ParameterType::Queries
            | ParameterType::Databases
            | ParameterType::Files
            | ParameterType::Containers => text.into(),
            ParameterType::Integer => {
                text.parse::<i64>().map_err(|_| "a whole number".to_owned())?.into()
            }
            ParameterType::Boolean => match text.as_str() {
                "true" | "yes" => true.into(),
                "false" | "no" => false.into(),
                _ => return Err("`true` or `false`".into()),
            },
            ParameterType::Duration => {
                let length: Timeout =
                    text.parse().map_err(|_| "a length of time such as `30s`".to_owned())?;
                length.to_string().into()
            }
            ParameterType::Time => instant(&text)
                .ok_or_else(|| "a time such as `2026-11-21T03:00:00Z`".to_owned())?
                .to_string()
                .into(),
            ParameterType::Choice if self.choices.contains(&text) => text.into(),
            ParameterType::Choice => {
                let choices: Vec<String> =
                    self.choices.iter().map(|choice| format!("`{choice}`")).collect();
                return Err(format!("one of {}", choices.join(", ")));
            }
        })
    }
}

/// A list, or one text, `in_commas` with commas in between.
fn list(written: &Value, in_commas: bool) -> Result<Value, String> {
    let items: Vec<String> = match written {
        Value::Null => Vec::new(),
        Value::String(text) if !in_commas => vec![text.trim().to_owned()],
        Value::String(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(|text| text.trim().to_owned()))
            .collect::<Option<_>>()
            .ok_or_else(|| "a list of texts".to_owned())?,
        _ => return Err("a list such as `a,b`".into()),
    };
    Ok(items.into_iter().filter(|item| !item.is_empty()).collect::<Vec<_>>().into())
}

/// RFC 3339 with a zone, or a day or second in UTC.
fn instant(text: &str) -> Option<Timestamp> {
    use jiff::civil::{Date, DateTime};
    use jiff::tz::TimeZone;
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let moment = match text.contains(':') {
        true => text.parse::<DateTime>().ok()?,
        false => text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight()),
    };
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accept(kind: ParameterType, text: &str) -> Result<Value, String> {
        let choices = vec!["full".into(), "partial".into()];
        Parameter { kind, choices, ..Parameter::default() }.accept(&json!(text))
    }

    #[test]
    fn values_become_what_their_type_says() {
        use ParameterType as T;
        assert_eq!(accept(T::String, "a b"), Ok(json!("a b")));
        assert_eq!(accept(T::Integer, "12"), Ok(json!(12)));
        assert_eq!(accept(T::Boolean, "yes"), Ok(json!(true)));
        assert_eq!(accept(T::Duration, "90s"), Ok(json!("1m 30s")));
        assert_eq!(accept(T::Time, "2026-11-21"), Ok(json!("2026-11-21T00:00:00Z")));
        assert_eq!(accept(T::Choice, "full"), Ok(json!("full")));
        assert_eq!(accept(T::List, "a, b,,"), Ok(json!(["a", "b"])));
        assert_eq!(accept(T::Databases, ""), Ok(json!([])));
        assert_eq!(accept(T::Queries, "SELECT 1, 2"), Ok(json!(["SELECT 1, 2"])));
        assert_eq!(accept(T::Queries, " "), Ok(json!([])));
        for (kind, text) in [
            (T::Integer, "1.5"),
            (T::Boolean, "maybe"),
            (T::Duration, "soon"),
            (T::Time, "now"),
            (T::Choice, "none"),
        ] {
            assert!(accept(kind, text).is_err(), "{kind:?} {text}");
        }
    }
}
