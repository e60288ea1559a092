//! `BACKSTOP_SECTION__KEY`: every key can be set by an environment variable.
//!
//! `BACKSTOP_REPOSITORY__PATH`, `BACKSTOP_DATABASES__SHOP__URL` (the entry named `shop`),
//! `BACKSTOP_CONTAINERS__0__QUIESCE` (the first entry). Variables without `__`, such as
//! `BACKSTOP_CONFIG`, are no keys and pass.

use super::Environment;
use super::check::unknown_key;
use super::problem::{Problems, quoted_list};
use super::schema::{Shape, present};
use super::tree::{Node, Origin, Value, child, entry};
use serde_json::Value as Schema;
use std::collections::BTreeMap;

const PREFIX: &str = "BACKSTOP_";

/// Lays every overriding variable over `root`.
pub(super) fn apply(
    root: &mut Node,
    schema: &Schema,
    environment: &Environment,
    problems: &mut Problems,
) {
    let mut overrides: Vec<Override<'_>> = environment
        .variables
        .iter()
        .filter_map(|(name, value)| Override::read(name, value))
        .collect();
    // In the order of their indexes, so that entries can be appended one after the other.
    overrides.sort_by_key(Override::order);
    for over in overrides {
        let segments: Vec<&str> = over.segments.iter().map(String::as_str).collect();
        if let Err((key, message)) = over.set(root, schema, &segments, "") {
            problems.add(&over.origin(), &key, message);
        }
    }
}

struct Override<'a> {
    variable: &'a str,
    value: &'a str,
    segments: Vec<String>,
}

impl<'a> Override<'a> {
    fn read(variable: &'a str, value: &'a str) -> Option<Self> {
        let path = variable.strip_prefix(PREFIX)?;
        let segments: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        (segments.len() > 1).then_some(Self { variable, value, segments })
    }

    fn order(&self) -> Vec<String> {
        self.segments.iter().map(|segment| format!("{segment:0>8}")).collect()
    }

    fn origin(&self) -> Origin {
        Origin::variable(self.variable)
    }

    /// Sets what `segments` lead to, starting at `node`.
    fn set(
        &self,
        node: &mut Node,
        schema: &Schema,
        segments: &[&str],
        key: &str,
    ) -> Result<(), (String, String)> {
        let schema = present(schema);
        let Some((segment, rest)) = segments.split_first() else {
            *node = Node::new(Value::Raw(self.value.to_owned()), self.origin());
            return Ok(());
        };
        match (Shape::of(schema), &mut node.value) {
            (Shape::Table, Value::Table(entries)) => {
                let Some(inner) = schema["properties"].get(*segment) else {
                    return Err((child(key, segment), unknown_key(segment, schema)));
                };
                let next = entries
                    .entry((*segment).to_owned())
                    .or_insert_with(|| Node::new(blank(inner), self.origin()));
                self.set(next, inner, rest, &child(key, segment))
            }
            (Shape::List, Value::List(nodes)) if Shape::of(&schema["items"]) == Shape::Table => {
                let index = self.index(nodes, segment, key)?;
                if index == nodes.len() {
                    nodes.push(Node::new(Value::Table(BTreeMap::new()), self.origin()));
                }
                match nodes.get_mut(index) {
                    Some(next) => self.set(next, &schema["items"], rest, &entry(key, index)),
                    None => Ok(()),
                }
            }
            // A wrong type in the file; the check of types reports it there.
            (Shape::Table, _) => Ok(()),
            (Shape::List, value) if !matches!(value, Value::List(_)) => Ok(()),
            _ => Err((key.to_owned(), format!("has nothing named `{segment}` inside"))),
        }
    }

    /// The entry that `segment` names: by its name, else by its index.
    fn index(&self, nodes: &[Node], segment: &str, key: &str) -> Result<usize, (String, String)> {
        let named = |node: &Node| {
            node.get("name")
                .and_then(Node::text)
                .is_some_and(|name| folded(name) == folded(segment))
        };
        let fitting: Vec<usize> =
            (0..nodes.len()).filter(|index| nodes.get(*index).is_some_and(named)).collect();
        match (fitting.as_slice(), segment.parse::<usize>()) {
            ([index], _) => Ok(*index),
            ([], Ok(index)) if index <= nodes.len() => Ok(index),
            ([], Ok(_)) => {
                let message = format!("the next index is {}", nodes.len());
                Err((format!("{key}[{segment}]"), message))
            }
            ([], Err(_)) => {
                let names = nodes.iter().filter_map(|node| node.get("name")?.text());
                let names = quoted_list(names);
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
        Shape::List => Value::List(Vec::new()),
        _ => Value::Table(BTreeMap::new()),
    }
}
