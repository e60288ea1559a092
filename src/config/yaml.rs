//! YAML into [`Node`]s, each with its line.

use super::tree::{Node, Origin, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Reads a YAML document.
///
/// # Errors
/// What is wrong with its syntax, and the line. The line's text is not repeated, since
/// it may hold a password.
pub(super) fn parse(text: &str, path: &Arc<Path>) -> Result<Node, (Option<usize>, String)> {
    let root: Spanned<Yaml> = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
        (line, UserMessageFormatter.format_message(error.without_snippet()).into_owned())
    })?;
    Ok(node(root, path).unwrap_or_else(Node::empty))
}

/// A YAML value; keys without a value count as not written.
enum Yaml {
    Nothing,
    Scalar(Value),
    Sequence(Vec<Spanned<Yaml>>),
    Mapping(BTreeMap<String, (Spanned<Yaml>, usize)>),
}

fn node(yaml: Spanned<Yaml>, path: &Arc<Path>) -> Option<Node> {
    let line = usize::try_from(yaml.referenced.line()).ok().filter(|line| *line > 0);
    let value = match yaml.value {
        Yaml::Nothing => return None,
        Yaml::Scalar(value) => value,
        Yaml::Sequence(entries) => {
            Value::List(entries.into_iter().filter_map(|entry| node(entry, path)).collect())
        }
        Yaml::Mapping(entries) => {
            let mut table = BTreeMap::new();
            for (key, (value, line)) in entries {
                if let Some(mut value) = node(value, path) {
                    value.origin = Origin::File { path: path.clone(), line: Some(line) };
                    table.insert(key, value);
                }
            }
            Value::Table(table)
        }
    };
    Some(Node::new(value, Origin::File { path: path.clone(), line }))
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
        Ok(Yaml::Scalar(Value::Boolean(flag)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Integer(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Yaml, E> {
        let number = i64::try_from(number).map_err(|_| E::custom("the number is too large"))?;
        self.visit_i64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Float(number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Text(text.to_owned())))
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
