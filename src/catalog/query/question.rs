//! A question as a person writes it: one SELECT.

use super::{bare, in_memory, refused};
use crate::error::{Code, Error, Result};

/// The views and functions through which files are told of.
const OF_FILES: [&str; 5] = ["files", "entries", "indexes", "changes", "lineage"];
/// What reads tables that it names in a text.
const INDIRECT: [&str; 2] = ["query", "query_table"];

/// One SELECT, of which nothing but the grammar is known to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub(super) sql: String,
    is_about_files: bool,
}

impl Question {
    /// Refuses everything but one SELECT.
    ///
    /// # Errors
    /// `usage`, with DuckDB's own message.
    pub fn parse(sql: &str) -> Result<Self> {
        let refuse = |cause: String| {
            Error::new(Code::Usage, "ask", "the catalog").cause(cause).hint(
                "one SELECT over backups, components, files, events and runs; see docs/sql.md",
            )
        };
        let parsed: String = in_memory()
            .and_then(|it| {
                let sql = [sql];
                it.query_row("SELECT json_serialize_sql(?::VARCHAR)::VARCHAR", sql, |row| {
                    row.get(0)
                })
            })
            .map_err(refused)?;
        let parsed: serde_json::Value =
            serde_json::from_str(&parsed).map_err(|e| refuse(e.to_string()))?;
        if parsed["error"] == true {
            let message = parsed["error_message"].as_str().unwrap_or("it cannot be parsed");
            let is_other = message.contains("Only SELECT statements");
            let message = if is_other { "it is no SELECT" } else { message };
            return Err(refuse(message.to_owned()));
        }
        match parsed["statements"].as_array().map(Vec::len) {
            Some(1) => {
                Ok(Self { sql: bare(sql).to_owned(), is_about_files: tells_of_files(&parsed) })
            }
            count => Err(refuse(format!("{} statements stand there", count.unwrap_or(0)))),
        }
    }

    /// Whether the lists of files have to be read for it.
    pub fn is_about_files(&self) -> bool {
        self.is_about_files
    }
}

/// Whether a parsed statement reads one of the views of files anywhere.
fn tells_of_files(parsed: &serde_json::Value) -> bool {
    let is_one_of = |value: &serde_json::Value, names: &[&str]| {
        value.as_str().is_some_and(|name| names.iter().any(|it| name.eq_ignore_ascii_case(it)))
    };
    match parsed {
        serde_json::Value::Object(fields) => fields.iter().any(|(key, value)| {
            let is_named = match key.as_str() {
                "table_name" => is_one_of(value, &OF_FILES),
                "function_name" => is_one_of(value, &INDIRECT),
                _ => false,
            };
            is_named || tells_of_files(value)
        }),
        serde_json::Value::Array(values) => values.iter().any(tells_of_files),
        _ => false,
    }
}
