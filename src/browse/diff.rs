//! `diff`: what differs between the files of two backups.

use crate::catalog::{BackupRecord, Query, Value};
use crate::error::Result;
use crate::repository::manifest::Detail;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How a file of the second backup differs from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Content or type differ.
    Changed,
    /// Only mode, owner or time differ.
    Metadata,
    /// The second has the same content under another path; the first path is gone.
    Renamed,
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// How.
    pub change: Change,
    /// The file tree's name.
    pub component: String,
    /// Its path, in the second backup where it is there.
    pub path: String,
    /// Its former path, where it was renamed.
    pub renamed_from: Option<String>,
    /// `file`, `directory`, `symlink`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes in the first backup.
    pub size_before: Option<u64>,
    /// Bytes in the second.
    pub size_after: Option<u64>,
    #[serde(default, skip_serializing)]
    sha256: Option<String>,
}

/// How many files of one component differ, and by how much.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stat {
    /// The file tree's name.
    pub component: String,
    /// Files that only the second backup has.
    pub added: u64,
    /// Files that only the first has.
    pub removed: u64,
    /// Files whose content or type differ.
    pub changed: u64,
    /// Files of which only metadata differ.
    pub metadata: u64,
    /// Files with another path.
    pub renamed: u64,
    /// By how many bytes the second is larger.
    pub bytes: i64,
}

/// The file trees that only one of two backups holds, each with the one which does not, and
/// whether that one was taken without it by `--only`.
pub fn uncompared<'a>(
    first: &'a BackupRecord,
    second: &'a BackupRecord,
) -> Vec<(&'a str, &'a BackupRecord, bool)> {
    let (one, two) = (trees(first), trees(second));
    let lacks = |backup: &'a BackupRecord, held: &BTreeSet<&'a str>, here: &BTreeSet<&'a str>| {
        let lacking = held
            .difference(here)
            .map(|tree| (*tree, backup, backup.omitted.iter().any(|omitted| omitted == tree)));
        lacking.collect::<Vec<_>>()
    };
    [lacks(first, &two, &one), lacks(second, &one, &two)].concat()
}

fn trees(record: &BackupRecord) -> BTreeSet<&str> {
    let files = record.components.iter().filter(|it| matches!(it.detail, Detail::Files(_)));
    files.map(|it| it.name.as_str()).collect()
}

/// What differs from `first` to `second`, by path, in the file trees that both hold.
pub fn diff(query: &Query, first: &BackupRecord, second: &BackupRecord) -> Result<Vec<Difference>> {
    let sql = "WITH held AS (SELECT name FROM components WHERE backup = ? AND type = 'files' \
                       INTERSECT SELECT name FROM components WHERE backup = ? AND type = 'files'), \
                    a AS (SELECT * FROM files WHERE backup = ? AND component IN (FROM held)), \
                    b AS (SELECT * FROM files WHERE backup = ? AND component IN (FROM held)) \
        SELECT CASE WHEN a.path IS NULL THEN 'added' WHEN b.path IS NULL THEN 'removed' \
                    WHEN (a.type, a.size, a.sha256, a.link_target) IS DISTINCT FROM \
                         (b.type, b.size, b.sha256, b.link_target) THEN 'changed' \
                    ELSE 'metadata' END AS change, \
               coalesce(b.component, a.component) AS component, \
               coalesce(b.path, a.path) AS path, NULL AS renamed_from, \
               coalesce(b.type, a.type) AS type, a.size AS size_before, b.size AS size_after, \
               CASE WHEN a.path IS NULL THEN b.sha256 WHEN b.path IS NULL THEN a.sha256 END \
                    AS sha256 \
        FROM a FULL JOIN b ON a.component = b.component AND a.path = b.path \
        WHERE a.path IS NULL OR b.path IS NULL OR \
              (a.type, a.size, a.sha256, a.link_target, a.mode, a.uid, a.gid, a.mtime_ns) \
              IS DISTINCT FROM \
              (b.type, b.size, b.sha256, b.link_target, b.mode, b.uid, b.gid, b.mtime_ns) \
        ORDER BY 2, 3";
    let backups = [first, second, first, second];
    let values = backups.map(|backup| Value::Text(backup.id.to_string()));
    Ok(join_renames(query.objects(sql, &values)?))
}

/// Makes one line of a removed and an added file with the same content.
fn join_renames(differences: Vec<Difference>) -> Vec<Difference> {
    let mut removed: HashMap<(String, String), Vec<String>> = HashMap::new();
    for gone in differences.iter().rev().filter(|one| one.change == Change::Removed) {
        if let (Some(sha256), Some(1..)) = (&gone.sha256, gone.size_before) {
            let key = (gone.component.clone(), sha256.clone());
            removed.entry(key).or_default().push(gone.path.clone());
        }
    }
    let mut moved: Vec<(String, String)> = Vec::new();
    let mut joined: Vec<Difference> = differences
        .into_iter()
        .map(|mut one| {
            let key = one.sha256.clone().map(|sha256| (one.component.clone(), sha256));
            let from = match (one.change, key) {
                (Change::Added, Some(key)) => removed.get_mut(&key).and_then(Vec::pop),
                _ => None,
            };
            if let Some(from) = from {
                moved.push((one.component.clone(), from.clone()));
                one.change = Change::Renamed;
                one.size_before = one.size_after;
                one.renamed_from = Some(from);
            }
            one
        })
        .collect();
    moved.sort();
    joined.retain(|one| {
        let is_moved = || moved.binary_search(&(one.component.clone(), one.path.clone())).is_ok();
        one.change != Change::Removed || !is_moved()
    });
    joined
}

/// The differences, counted for each component.
pub fn stat(differences: &[Difference]) -> Vec<Stat> {
    let mut stats: BTreeMap<&str, Stat> = BTreeMap::new();
    for one in differences {
        let stat = stats.entry(&one.component).or_default();
        stat.component.clone_from(&one.component);
        *match one.change {
            Change::Added => &mut stat.added,
            Change::Removed => &mut stat.removed,
            Change::Changed => &mut stat.changed,
            Change::Metadata => &mut stat.metadata,
            Change::Renamed => &mut stat.renamed,
        } += 1;
        let bytes = |size: Option<u64>| size.unwrap_or(0).cast_signed();
        stat.bytes += bytes(one.size_after) - bytes(one.size_before);
    }
    stats.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(change: Change, path: &str, sha256: &str) -> Difference {
        Difference {
            change,
            component: "uploads".into(),
            path: path.into(),
            renamed_from: None,
            kind: "file".into(),
            size_before: (change != Change::Added).then_some(5),
            size_after: (change != Change::Removed).then_some(5),
            sha256: Some(sha256.into()),
        }
    }

    #[test]
    fn a_rename_is_one_difference_and_a_second_copy_is_an_addition() {
        let joined = join_renames(vec![
            one(Change::Added, "b", "x"),
            one(Change::Added, "c", "x"),
            one(Change::Removed, "d", "x"),
            one(Change::Removed, "e", "y"),
        ]);
        let told: Vec<_> = joined
            .iter()
            .map(|one| (one.change, one.path.as_str(), one.renamed_from.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                (Change::Renamed, "b", Some("d")),
                (Change::Added, "c", None),
                (Change::Removed, "e", None)
            ]
        );
        let stats = stat(&joined);
        let stat = &stats[0];
        assert_eq!((stat.renamed, stat.added, stat.removed, stat.bytes), (1, 1, 1, 0));
    }
}
