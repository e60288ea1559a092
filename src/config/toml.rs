//! TOML into [`Node`]s, each with its line.

use super::tree::{Node, Origin, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use toml_edit::{Document, Item, Key, TableLike};

/// Reads a TOML document.
///
/// # Errors
/// What is wrong with its syntax, and the line. The line's text is not repeated, since
/// it may hold a password.
pub(super) fn parse(text: &str, path: &Arc<Path>) -> Result<Node, (Option<usize>, String)> {
    let source = Source { text, path };
    let document = Document::parse(text).map_err(|error| {
        (error.span().map(|span| source.line(span.start)), error.message().to_owned())
    })?;
    let mut root = source.table(document.as_table());
    root.origin = Origin::File { path: path.clone(), line: None };
    Ok(root)
}

/// One TOML value on its own, as an environment variable holds it.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let value: toml_edit::Value = text.trim().parse().ok()?;
    let anywhere: Arc<Path> = Arc::from(Path::new(""));
    let mut node = Source { text, path: &anywhere }.value(&value);
    node.origin = origin.clone();
    if let Value::List(entries) = &mut node.value {
        entries.iter_mut().for_each(|entry| entry.origin = origin.clone());
    }
    Some(node)
}

struct Source<'a> {
    text: &'a str,
    path: &'a Arc<Path>,
}

impl Source<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn origin(&self, span: Option<std::ops::Range<usize>>) -> Origin {
        Origin::File { path: self.path.clone(), line: span.map(|span| self.line(span.start)) }
    }

    fn table(&self, table: &dyn TableLike) -> Node {
        let mut entries = BTreeMap::new();
        for (name, item) in table.iter() {
            let Some(mut node) = self.item(item) else { continue };
            let span = table.key(name).and_then(Key::span).or_else(|| item.span());
            node.origin = self.origin(span);
            entries.insert(name.to_owned(), node);
        }
        Node::new(Value::Table(entries), Origin::Default)
    }

    fn item(&self, item: &Item) -> Option<Node> {
        match item {
            Item::None => None,
            Item::Value(value) => Some(self.value(value)),
            Item::Table(table) => Some(self.table(table)),
            Item::ArrayOfTables(tables) => {
                let entries = tables.iter().map(|table| {
                    let mut node = self.table(table);
                    node.origin = self.origin(table.span());
                    node
                });
                Some(Node::new(Value::List(entries.collect()), Origin::Default))
            }
        }
    }

    fn value(&self, value: &toml_edit::Value) -> Node {
        let content = match value {
            toml_edit::Value::String(text) => Value::Text(text.value().clone()),
            toml_edit::Value::Integer(number) => Value::Integer(*number.value()),
            toml_edit::Value::Float(number) => Value::Float(*number.value()),
            toml_edit::Value::Boolean(flag) => Value::Boolean(*flag.value()),
            toml_edit::Value::Datetime(_) => Value::Date,
            toml_edit::Value::Array(array) => {
                Value::List(array.iter().map(|entry| self.value(entry)).collect())
            }
            toml_edit::Value::InlineTable(table) => self.table(table).value,
        };
        Node::new(content, self.origin(value.span()))
    }
}
