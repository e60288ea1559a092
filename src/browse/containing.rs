//! Which backups hold a file.

use super::FilePath;
use super::find::pattern_part;
use super::lineage::{Lineage, Told};
use crate::catalog::{Query, Value};
use crate::error::{Code, Error, Result};
use crate::repository::BackupId;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;

/// A list that has such files, none of which is gone in any other.
#[derive(Deserialize)]
struct Holder {
    component: String,
    number: u32,
}

/// What some lists tell of a file that is gone in one of them.
#[derive(Deserialize)]
struct Row {
    component: String,
    path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    raw: Option<String>,
    gone: bool,
    /// The numbers of the lists.
    numbers: Vec<u32>,
}

impl Row {
    fn file(&self) -> (&str, &str, Option<&str>) {
        (&self.component, &self.path, self.raw.as_deref())
    }
}

/// The backups, among those that `query` was opened with, which hold a file or directory of
/// this `COMPONENT/path`; with `*`, `?` or `[` in it a glob, whose `*` stands for `/` too.
///
/// # Errors
/// `usage` for a path that cannot be one.
pub fn containing(query: &Query, path: &str) -> Result<BTreeSet<BackupId>> {
    let (clause, values) = match path.contains(['*', '?', '[']) {
        true => (
            "contains(e.path, ?) AND (e.component || '/' || e.path) GLOB ?",
            vec![
                Value::Text(pattern_part(path).unwrap_or_default().into()),
                Value::Text(path.into()),
            ],
        ),
        false => {
            let file = FilePath::parse(OsStr::new(path))
                .map_err(|cause| Error::new(Code::Usage, "read the path", path).cause(cause))?;
            let values = vec![Value::Text(file.component.clone()), Value::Text(file.indexed())];
            ("e.component = ? AND e.path = ?", values)
        }
    };
    let values = [values.clone(), values].concat();
    let gone = format!("SELECT e.component, e.path FROM entries e WHERE {clause} AND e.gone");
    let lineage = Lineage::load(query)?;
    let mut holding = BTreeSet::new();
    // What is nowhere gone is in all backups that build upon one which has it, and need not be
    // looked at file by file.
    let sql = format!(
        "SELECT DISTINCT e.component, e.number FROM entries e \
         WHERE {clause} AND NOT e.gone AND (e.component, e.path) NOT IN ({gone})"
    );
    query.each(&sql, &values, |Holder { component, number }| {
        let forest = lineage.forest(&component);
        holding.extend(forest.iter().flat_map(|it| it.holders([Told { number, what: Some(()) }])));
        Ok(true)
    })?;
    let sql = format!(
        "SELECT e.component, e.path, hex(e.path_raw) AS raw, e.gone, list(e.number) AS numbers \
         FROM entries e WHERE {clause} AND (e.component, e.path) IN ({gone}) \
         GROUP BY ALL ORDER BY 1, 2, 3"
    );
    let rows: Vec<Row> = query.objects(&sql, &values)?;
    for rows in rows.chunk_by(|one, other| one.file() == other.file()) {
        let told = rows.iter().flat_map(|row| {
            let what = (!row.gone).then_some(());
            row.numbers.iter().map(move |number| Told { number: *number, what })
        });
        holding.extend(
            lineage.forest(&rows[0].component).iter().flat_map(|it| it.holders(told.clone())),
        );
    }
    holding
        .into_iter()
        .map(|place: usize| BackupId::try_from(lineage.backups[place].id.clone()))
        .collect()
}
