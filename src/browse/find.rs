//! `find`: where and when a file existed.

mod versions;

use super::lineage::Lineage;
use crate::catalog::{Query, Value};
use crate::error::Result;
use crate::repository::manifest::Reason;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use versions::Versions;

/// Which files are looked for. All must hold.
#[derive(Debug, Clone, Default)]
pub struct Criteria {
    /// With `*`, `?` or `[` a glob, else a part: of the file's name, or, with a slash in it, of
    /// `COMPONENT/path`.
    pub pattern: String,
    /// In backups that were started then or later.
    pub since: Option<Timestamp>,
    /// In backups that were started then or earlier.
    pub until: Option<Timestamp>,
    /// In backups taken for this reason.
    pub reason: Option<Reason>,
    /// Of at least so many bytes.
    pub min_size: Option<u64>,
    /// Of at most so many bytes.
    pub max_size: Option<u64>,
    /// With this content; the first digits are enough.
    pub sha256: Option<String>,
    /// At most so many versions.
    pub limit: Option<u64>,
}

/// One version of a file, and the backups that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The file tree's name.
    pub component: String,
    /// Relative to the tree.
    pub path: String,
    /// `file`, `directory`, `symlink`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes of a file.
    pub size: u64,
    /// Last change of the content, UTC.
    pub modified_at: Option<String>,
    /// SHA-256 of a file's content.
    pub sha256: Option<String>,
    /// The oldest backup that has this version.
    pub first_backup: String,
    /// When that was started, UTC.
    pub first_seen: String,
    /// The newest backup that has it.
    pub last_backup: String,
    /// When that was started, UTC.
    pub last_seen: String,
    /// How many backups have it.
    pub backups: u64,
}

/// What makes a pattern a glob.
const GLOB: [char; 3] = ['*', '?', '['];

/// The longest text that every path must have in it which the pattern fits; none where there
/// is none that is sure. In `COMPONENT/path` the first slash ends the component, which holds
/// none: so what stands behind a slash of the pattern is always part of the path.
pub(super) fn pattern_part(pattern: &str) -> Option<&str> {
    let path = match pattern.split_once('/') {
        Some((_, path)) => path,
        None => pattern,
    };
    let is_glob = pattern.contains(GLOB);
    // In a class a character may stand for others, and behind a backslash for itself.
    if is_glob && pattern.contains(['[', '\\']) {
        return None;
    }
    let parts = path.split(|c| is_glob && GLOB.contains(&c));
    parts.max_by_key(|part| part.len()).filter(|part| !part.is_empty())
}

/// Which of the rows a query may be about, as SQL with its values.
#[derive(Default)]
struct Clauses {
    clauses: Vec<String>,
    values: Vec<Value>,
}

impl Clauses {
    fn require(&mut self, clause: &str, value: Value) {
        self.clauses.push(clause.to_owned());
        self.values.push(value);
    }

    /// Those of the name. The table is `e`.
    fn of_name(pattern: &str) -> Self {
        let mut name = Self { clauses: vec!["e.path <> '.'".into()], values: Vec::new() };
        if let Some(part) = pattern_part(pattern) {
            // Reading the paths alone is enough to leave out almost all rows.
            name.require("contains(e.path, ?)", Value::Text(part.to_owned()));
        }
        if !pattern.is_empty() {
            let subject = match pattern.contains('/') {
                true => "(e.component || '/' || e.path)",
                false => "regexp_extract(e.path, '[^/]*$')",
            };
            let clause = match pattern.contains(GLOB) {
                true => format!("{subject} GLOB ?"),
                false => format!("contains({subject}, ?)"),
            };
            name.require(&clause, Value::Text(pattern.to_owned()));
        }
        name
    }

    /// Those of what a version is.
    fn of_version(criteria: &Criteria) -> Self {
        let mut version = Self::default();
        if let Some(size) = criteria.min_size {
            version.require("e.size >= ?", Value::Unsigned(size));
        }
        if let Some(size) = criteria.max_size {
            version.require("e.size <= ?", Value::Unsigned(size));
        }
        if let Some(sha256) = &criteria.sha256 {
            version.require("starts_with(e.sha256, ?)", Value::Text(sha256.to_lowercase()));
        }
        version
    }

    /// Those of the backup. The table is `b`.
    fn of_backup(criteria: &Criteria) -> Self {
        let mut backup = Self { clauses: vec!["true".into()], values: Vec::new() };
        let time = |at: &Timestamp| Value::Text(at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string());
        if let Some(since) = &criteria.since {
            backup.require("b.started_at >= ?::TIMESTAMP", time(since));
        }
        if let Some(until) = &criteria.until {
            backup.require("b.started_at <= ?::TIMESTAMP", time(until));
        }
        if let Some(reason) = criteria.reason {
            backup.require("b.reason = ?", Value::Text(reason.as_str().into()));
        }
        backup
    }

    fn sql(&self) -> String {
        self.clauses.join(" AND ")
    }
}

/// The versions of all files that meet the criteria, by path and age.
pub fn find(query: &Query, criteria: &Criteria) -> Result<Vec<Found>> {
    let lineage = Lineage::load(query)?;
    let wanted = Clauses::of_backup(criteria);
    let sql = format!("SELECT b.id FROM backups b WHERE {}", wanted.sql());
    let mut versions = Versions::new(criteria, lineage, &query.objects(&sql, &wanted.values)?);
    let name = Clauses::of_name(&criteria.pattern);
    let version = Clauses::of_version(criteria);
    let mut clauses = name.sql();
    let mut values = name.values.clone();
    if !version.clauses.is_empty() {
        // Of a file with such a version all others are read too: they say until when it was so.
        clauses += &format!(
            " AND (e.component, e.path) IN \
              (SELECT e.component, e.path FROM entries e WHERE {} AND {})",
            name.sql(),
            version.sql()
        );
        values.extend(name.values.into_iter().chain(version.values));
    }
    let sql = format!(
        "SELECT e.component, e.path, hex(e.path_raw) AS raw, e.type, e.size, e.modified_at, \
                e.sha256, list(e.number) AS numbers \
         FROM entries e WHERE {clauses} GROUP BY ALL ORDER BY 1, 2, 3"
    );
    query.each(&sql, &values, |row| Ok(versions.add(row)))?;
    Ok(versions.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sure_part_of_a_pattern_lies_in_the_path() {
        for (pattern, part) in [
            ("photo.jpg", Some("photo.jpg")),
            ("*.jpg", Some(".jpg")),
            ("2024-??-*.jpeg", Some(".jpeg")),
            ("uploads/2024/a.jpg", Some("2024/a.jpg")),
            ("up*/2024/*", Some("2024/")),
            ("/a", Some("a")),
            ("uploads/", None),
            ("*", None),
            ("uploads/*", None),
            ("[ab]cd.jpg", None),
            (r"a\*b*", None),
            (r"a\b", Some(r"a\b")),
            ("", None),
        ] {
            assert_eq!(pattern_part(pattern), part, "{pattern}");
        }
    }
}
