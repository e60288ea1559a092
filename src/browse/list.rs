//! `ls`: what lies in a directory of a backup.

use super::FilePath;
use crate::catalog::{BackupRecord, Query, Value};
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The file tree's name.
    pub component: String,
    /// Relative to the tree; `.` for its own directory.
    pub path: String,
    /// `file`, `directory`, `symlink`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes of a file.
    pub size: u64,
    /// Permissions, e.g. 420 for `0644`.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Last change of the content, UTC.
    pub modified_at: Option<String>,
    /// SHA-256 of a file's content.
    pub sha256: Option<String>,
    /// Where a symlink or hard link leads.
    pub link_target: Option<String>,
    /// The backup that holds the bytes.
    pub stored_in: String,
}

const COLUMNS: &str = "component, path, type, size, mode, uid, gid, modified_at, sha256, \
                       TRY(decode(link_target)) AS link_target, stored_in";

/// The files right below `path`, or all below it; `path` itself where it is no directory.
/// Without a path, the file trees of the backup.
///
/// # Errors
/// `file_not_found` where the backup has nothing of this name.
pub fn list(
    query: &Query,
    record: &BackupRecord,
    path: Option<&FilePath>,
    recursive: bool,
) -> Result<Vec<Listed>> {
    let id = || Value::Text(record.id.to_string());
    let Some(path) = path else {
        let below = if recursive { "" } else { " AND path = '.'" };
        let sql = format!("SELECT {COLUMNS} FROM files WHERE backup = ?{below}");
        return query.objects(&sql, &[id()]);
    };
    let (component, indexed) = (Value::Text(path.component.clone()), path.indexed());
    let sql =
        format!("SELECT {COLUMNS} FROM files WHERE backup = ? AND component = ? AND path = ?");
    let itself: Vec<Listed> =
        query.objects(&sql, &[id(), component.clone(), Value::Text(indexed.clone())])?;
    match itself.first() {
        None => Err(Error::new(Code::FileNotFound, "list", path.to_string()).cause(path.absence(
            &record.name,
            &record.components,
            &record.omitted,
        ))),
        Some(found) if found.kind != "directory" => Ok(itself),
        Some(_) => {
            let above = if indexed == "." { String::new() } else { format!("{indexed}/") };
            let deeper = if recursive { "" } else { " AND NOT contains(substr(path, ?), '/')" };
            let sql = format!(
                "SELECT {COLUMNS} FROM files WHERE backup = ? AND component = ? AND path <> '.' \
                 AND starts_with(path, ?){deeper}"
            );
            let start = above.chars().count() as i64 + 1;
            let mut values = vec![id(), component, Value::Text(above)];
            if !recursive {
                values.push(Value::Integer(start));
            }
            query.objects(&sql, &values)
        }
    }
}
