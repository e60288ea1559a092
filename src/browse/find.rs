//! `find`: where and when a file existed.

use crate::catalog::{Query, Value};
use crate::error::Result;
use crate::repository::manifest::Reason;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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

/// The versions of all files that meet the criteria, by path and age.
pub fn find(query: &Query, criteria: &Criteria) -> Result<Vec<Found>> {
    let mut clauses = vec!["f.path <> '.'".to_owned()];
    let mut values = Vec::new();
    let mut require = |clause: &str, value: Value| {
        clauses.push(clause.to_owned());
        values.push(value);
    };
    let Criteria { pattern, since, until, reason, min_size, max_size, sha256, limit } = criteria;
    if let Some(part) = pattern_part(pattern) {
        // Reading the paths alone is enough to leave out almost all rows.
        require("contains(f.path, ?)", Value::Text(part.to_owned()));
    }
    if !pattern.is_empty() {
        let subject = match pattern.contains('/') {
            true => "(f.component || '/' || f.path)",
            false => "regexp_extract(f.path, '[^/]*$')",
        };
        let is_glob = pattern.contains(GLOB);
        let clause = match is_glob {
            true => format!("{subject} GLOB ?"),
            false => format!("contains({subject}, ?)"),
        };
        require(&clause, Value::Text(pattern.clone()));
    }
    let time = |at: &Timestamp| Value::Text(at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string());
    if let Some(since) = since {
        require("f.backed_up_at >= ?::TIMESTAMP", time(since));
    }
    if let Some(until) = until {
        require("f.backed_up_at <= ?::TIMESTAMP", time(until));
    }
    if let Some(reason) = reason {
        require("b.reason = ?", Value::Text(reason.as_str().into()));
    }
    if let Some(size) = min_size {
        require("f.size >= ?", Value::Unsigned(*size));
    }
    if let Some(size) = max_size {
        require("f.size <= ?", Value::Unsigned(*size));
    }
    if let Some(sha256) = sha256 {
        require("starts_with(f.sha256, ?)", Value::Text(sha256.to_lowercase()));
    }
    let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
    let sql = format!(
        "SELECT f.component, f.path, f.type, f.size, f.modified_at, f.sha256, \
                arg_min(f.backup, f.sequence) AS first_backup, min(f.backed_up_at) AS first_seen, \
                arg_max(f.backup, f.sequence) AS last_backup, max(f.backed_up_at) AS last_seen, \
                count(*) AS backups \
         FROM files f JOIN backups b ON b.id = f.backup WHERE {} \
         GROUP BY f.component, f.path, f.type, f.size, f.modified_at, f.sha256 \
         ORDER BY f.component, f.path, min(f.sequence){limit}",
        clauses.join(" AND ")
    );
    query.objects(&sql, &values)
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
