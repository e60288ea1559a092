//! YAML values with their places.

use super::fault::Place;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::runbook) struct Node {
    pub(in crate::runbook) place: Place,
    pub(in crate::runbook) content: Content,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::runbook) enum Content {
    Nothing,
    Flag(bool),
    Integer(i64),
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value, in the order of the text.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::runbook) struct Entry {
    pub(in crate::runbook) key: String,
    pub(in crate::runbook) place: Place,
    pub(in crate::runbook) value: Node,
}

impl Node {
    pub(super) fn at(mut self, location: &Location) -> Self {
        self.place = place(location);
        self
    }

    /// The entries of a map; none of another value.
    pub(in crate::runbook) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of another value.
    pub(in crate::runbook) fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a key.
    pub(in crate::runbook) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(in crate::runbook) fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// JSON as a value that stands at `place`.
    pub(in crate::runbook) fn from_json(place: Place, value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let content = match value {
            Json::Null => Content::Nothing,
            Json::Bool(flag) => Content::Flag(flag),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Content::Integer(number),
                None => Content::Fraction(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Content::Text(text),
            Json::Array(items) => {
                Content::List(items.into_iter().map(|item| Self::from_json(place, item)).collect())
            }
            Json::Object(entries) => Content::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry { key, place, value: Self::from_json(place, value) })
                    .collect(),
            ),
        };
        Self { place, content }
    }

    /// Shows `see` every text, with the keys that lead to it.
    pub(in crate::runbook) fn each_text(&self, see: &mut impl FnMut(&[&str], &Node, &str)) {
        fn walk<'a>(
            node: &'a Node,
            path: &mut Vec<&'a str>,
            see: &mut impl FnMut(&[&str], &Node, &str),
        ) {
            match &node.content {
                Content::Text(text) => see(path, node, text),
                Content::List(items) => items.iter().for_each(|item| walk(item, path, see)),
                Content::Map(entries) => {
                    for entry in entries {
                        path.push(&entry.key);
                        walk(&entry.value, path, see);
                        path.pop();
                    }
                }
                _ => {}
            }
        }
        walk(self, &mut Vec::new(), see);
    }
}

fn place(location: &Location) -> Place {
    Place { line: location.line(), column: location.column() }
}

impl From<Content> for Node {
    fn from(content: Content) -> Self {
        Self { place: Place::default(), content }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Content::Nothing.into())
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Content::Nothing.into())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Node, E> {
        Ok(Content::Flag(flag).into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(Content::Integer(number).into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        let number = i64::try_from(number).map_err(|_| E::custom("the number is too large"))?;
        self.visit_i64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        Ok(Content::Fraction(number).into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Content::Text(text.into()).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element::<Spanned<Node>>()? {
            items.push(item.value.at(&item.referenced));
        }
        Ok(Content::List(items).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value: Spanned<Node> = map.next_value()?;
            entries.push(Entry {
                place: place(&key.referenced),
                key: key.value,
                value: value.value.at(&value.referenced),
            });
        }
        Ok(Content::Map(entries).into())
    }
}
