//! Which backups hold a file.

use super::FilePath;
use super::find::pattern_part;
use crate::catalog::{Query, Value};
use crate::error::{Code, Error, Result};
use crate::repository::BackupId;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;

#[derive(Deserialize)]
struct Row {
    backup: BackupId,
}

/// The backups, among those that `query` was opened with, which hold a file or directory of
/// this `COMPONENT/path`; with `*`, `?` or `[` in it a glob, whose `*` stands for `/` too.
///
/// # Errors
/// `usage` for a path that cannot be one.
pub fn containing(query: &Query, path: &str) -> Result<BTreeSet<BackupId>> {
    let (clause, values) = match path.contains(['*', '?', '[']) {
        true => (
            "contains(f.path, ?) AND (f.component || '/' || f.path) GLOB ?",
            vec![
                Value::Text(pattern_part(path).unwrap_or_default().into()),
                Value::Text(path.into()),
            ],
        ),
        false => {
            let file = FilePath::parse(OsStr::new(path))
                .map_err(|cause| Error::new(Code::Usage, "read the path", path).cause(cause))?;
            let values = vec![Value::Text(file.component.clone()), Value::Text(file.indexed())];
            ("f.component = ? AND f.path = ?", values)
        }
    };
    let sql = format!("SELECT DISTINCT f.backup AS backup FROM files f WHERE {clause}");
    let rows: Vec<Row> = query.objects(&sql, &values)?;
    Ok(rows.into_iter().map(|row| row.backup).collect())
}
