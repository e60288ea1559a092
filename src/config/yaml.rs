//! YAML into figment's values, and the line of each.

use super::origin::{Lines, child, entry};
use super::source::kind;
use figment::value::{Dict, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};
use std::collections::BTreeMap;
use std::fmt;

/// Reads a YAML document.
///
/// # Errors
/// What is wrong with its syntax, and the line. The line's text is not repeated, since
/// it may hold a password.
pub(super) fn parse(text: &str) -> Result<(Dict, Lines), (Option<usize>, String)> {
    let root: Spanned<Yaml> = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
        (line, UserMessageFormatter.format_message(error.without_snippet()).into_owned())
    })?;
    let mut lines = Lines::new();
    match value(root, "", &mut lines) {
        None => Ok((Dict::new(), lines)),
        Some(Value::Dict(_, values)) => Ok((values, lines)),
        Some(other) => {
            Err((lines.get("").copied(), format!("expected a table, found {}", kind(&other))))
        }
    }
}

/// A YAML value; keys without a value count as not written.
enum Yaml {
    Nothing,
    Scalar(Value),
    Sequence(Vec<Spanned<Yaml>>),
    Mapping(BTreeMap<String, (Spanned<Yaml>, usize)>),
}

/// The value at `key`, and its line into `lines`.
fn value(yaml: Spanned<Yaml>, key: &str, lines: &mut Lines) -> Option<Value> {
    if let Some(line) = usize::try_from(yaml.referenced.line()).ok().filter(|line| *line > 0) {
        lines.insert(key.to_owned(), line);
    }
    match yaml.value {
        Yaml::Nothing => None,
        Yaml::Scalar(value) => Some(value),
        Yaml::Sequence(entries) => {
            let mut values: Vec<Value> = Vec::new();
            for yaml in entries {
                values.extend(value(yaml, &entry(key, values.len()), lines));
            }
            Some(values.into())
        }
        Yaml::Mapping(entries) => {
            let mut table = Dict::new();
            for (name, (yaml, line)) in entries {
                let key = child(key, &name);
                if let Some(value) = value(yaml, &key, lines) {
                    lines.insert(key, line);
                    table.insert(name, value);
                }
            }
            Some(table.into())
        }
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyYaml)
    }
}

struct AnyYaml;

impl<'de> Visitor<'de> for AnyYaml {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Yaml, E> {
        Ok(Yaml::Nothing)
    }

    fn visit_none<E: Error>(self) -> Result<Yaml, E> {
        Ok(Yaml::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(flag.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Yaml, E> {
        let number = i64::try_from(number).map_err(|_| E::custom("the number is too large"))?;
        self.visit_i64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = sequence.next_element()? {
            entries.push(entry);
        }
        Ok(Yaml::Sequence(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let line = usize::try_from(key.referenced.line()).unwrap_or(0);
            entries.insert(key.value, (map.next_value()?, line));
        }
        Ok(Yaml::Mapping(entries))
    }
}
