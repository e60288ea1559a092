//! TOML into figment's values, and the line of each.

use super::origin::{Lines, child, entry};
use figment::value::{Dict, Empty, Tag, Value};
use std::ops::Range;
use toml_edit::{Document, Item, Key, TableLike};

/// Reads a TOML document.
///
/// # Errors
/// What is wrong with its syntax, and the line. The line's text is not repeated, since
/// it may hold a password.
pub(super) fn parse(text: &str) -> Result<(Dict, Lines), (Option<usize>, String)> {
    let document = Document::parse(text).map_err(|error| {
        (error.span().map(|span| line(text, span.start)), error.message().to_owned())
    })?;
    let mut reader = Reader { text, lines: Lines::new() };
    let values = reader.table(document.as_table(), "");
    Ok((values, reader.lines))
}

/// One TOML value on its own, as an environment variable holds it.
pub(super) fn parse_value(text: &str) -> Option<Value> {
    let value: toml_edit::Value = text.trim().parse().ok()?;
    Some(Reader { text, lines: Lines::new() }.value(&value, ""))
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

struct Reader<'a> {
    text: &'a str,
    lines: Lines,
}

impl Reader<'_> {
    fn mark(&mut self, key: &str, span: Option<Range<usize>>) {
        if let Some(span) = span {
            self.lines.insert(key.to_owned(), line(self.text, span.start));
        }
    }

    fn table(&mut self, table: &dyn TableLike, key: &str) -> Dict {
        let mut entries = Dict::new();
        for (name, item) in table.iter() {
            let key = child(key, name);
            let Some(value) = self.item(item, &key) else { continue };
            self.mark(&key, table.key(name).and_then(Key::span).or_else(|| item.span()));
            entries.insert(name.to_owned(), value);
        }
        entries
    }

    fn item(&mut self, item: &Item, key: &str) -> Option<Value> {
        match item {
            Item::None => None,
            Item::Value(value) => Some(self.value(value, key)),
            Item::Table(table) => Some(self.table(table, key).into()),
            Item::ArrayOfTables(tables) => {
                let entries = tables.iter().enumerate().map(|(index, table)| {
                    let key = entry(key, index);
                    self.mark(&key, table.span());
                    self.table(table, &key)
                });
                Some(entries.collect::<Vec<_>>().into())
            }
        }
    }

    fn value(&mut self, value: &toml_edit::Value, key: &str) -> Value {
        match value {
            toml_edit::Value::String(text) => text.value().as_str().into(),
            toml_edit::Value::Integer(number) => (*number.value()).into(),
            toml_edit::Value::Float(number) => (*number.value()).into(),
            toml_edit::Value::Boolean(flag) => (*flag.value()).into(),
            toml_edit::Value::Datetime(_) => Value::Empty(Tag::Default, Empty::Unit),
            toml_edit::Value::Array(array) => {
                let entries = array.iter().enumerate().map(|(index, value)| {
                    let key = entry(key, index);
                    self.mark(&key, value.span());
                    self.value(value, &key)
                });
                entries.collect::<Vec<_>>().into()
            }
            toml_edit::Value::InlineTable(table) => self.table(table, key).into(),
        }
    }
}
