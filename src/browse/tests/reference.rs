//! The same questions, asked of the index of each backup, row by row.

use crate::browse::history::{Sight, State, fold};
use crate::browse::{Criteria, Found, Version};
use crate::catalog::{Query, Value};
use crate::repository::BackupId;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Asks every row of every index.
pub(super) fn find_in_all(query: &Query, criteria: &Criteria) -> Vec<Found> {
    let Criteria { pattern, since, until, reason, min_size, max_size, sha256, limit } = criteria;
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut clauses = vec!["f.path <> '.'".to_owned()];
    if !pattern.is_empty() {
        let subject = match pattern.contains('/') {
            true => "(f.component || '/' || f.path)",
            false => "regexp_extract(f.path, '[^/]*$')",
        };
        clauses.push(match pattern.contains('*') {
            true => format!("{subject} GLOB {}", text(pattern)),
            false => format!("contains({subject}, {})", text(pattern)),
        });
    }
    let mut require = |clause: &str, value: Option<String>| {
        clauses.extend(value.map(|value| format!("{clause} {value}")));
    };
    let time = |at: &Timestamp| format!("'{}'::TIMESTAMP", at.strftime("%Y-%m-%d %H:%M:%S.%6f"));
    require("f.backed_up_at >=", since.as_ref().map(time));
    require("f.backed_up_at <=", until.as_ref().map(time));
    require("b.reason =", reason.map(|reason| text(reason.as_str())));
    require("f.size >=", min_size.map(|size| size.to_string()));
    require("f.size <=", max_size.map(|size| size.to_string()));
    require("f.sha256 ^@", sha256.as_ref().map(|digits| text(&digits.to_lowercase())));
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
    query.objects(&sql, &[]).unwrap()
}

#[derive(Deserialize)]
struct Seen {
    backup: String,
    backed_up_at: String,
    #[serde(flatten)]
    state: State,
}

/// Looks into every index.
pub(super) fn history_in_all(query: &Query, component: &str, path: &str) -> Vec<Version> {
    let sql = "SELECT b.id AS backup, b.started_at AS backed_up_at, f.type, f.size, \
                      f.modified_at, f.sha256, \
                      f.mode || ' ' || f.uid || ':' || f.gid || ' ' || \
                      coalesce(hex(f.link_target), '') AS rest \
               FROM indexes i JOIN backups b ON b.id = i.backup \
               JOIN components c ON c.backup = b.id AND c.type = 'files' AND c.name = ? \
               LEFT JOIN (SELECT * FROM files WHERE component = ? AND path = ?) f \
                      ON f.backup = b.id \
               ORDER BY b.sequence";
    let component = Value::Text(component.into());
    let seen: Vec<Seen> =
        query.objects(sql, &[component.clone(), component, Value::Text(path.into())]).unwrap();
    let sight = |Seen { backup, backed_up_at, state }| Sight { backup, backed_up_at, state };
    fold(seen.into_iter().map(sight).collect())
}

#[derive(Deserialize)]
struct Holder {
    backup: BackupId,
}

/// Looks into every index.
pub(super) fn containing_in_all(query: &Query, path: &str) -> BTreeSet<BackupId> {
    let clause = match path.contains('*') {
        true => "(f.component || '/' || f.path) GLOB ?",
        false => "(f.component || '/' || f.path) = ?",
    };
    let sql = format!("SELECT DISTINCT f.backup FROM files f WHERE {clause}");
    let rows: Vec<Holder> = query.objects(&sql, &[Value::Text(path.into())]).unwrap();
    rows.into_iter().map(|row| row.backup).collect()
}
