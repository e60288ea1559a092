//! `history`: the versions of one file, and when it came and went.

use super::FilePath;
use super::lineage::{Backup, Forest, Lineage, Told};
use crate::catalog::{Query, Value};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What happened to a file between two backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It is there and was not in the backup before, or there was none.
    Created,
    /// Its content or type is another one.
    Changed,
    /// Only its mode, owner or time is another one.
    Metadata,
    /// It is not there any more.
    Deleted,
}

/// One version of a file: what it was from one backup on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The first backup that has it so, or has it no more.
    pub backup: String,
    /// When that was started, UTC.
    pub backed_up_at: String,
    /// What happened since the backup before.
    pub event: Event,
    /// `file`, `directory`, `symlink`, …; none where it was deleted.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Bytes of a file.
    pub size: Option<u64>,
    /// Last change of the content, UTC.
    pub modified_at: Option<String>,
    /// SHA-256 of a file's content.
    pub sha256: Option<String>,
    /// How many backups in a row have it so.
    pub backups: u64,
}

/// What some lists tell of the file; all but the numbers are none where it was not there.
#[derive(Deserialize)]
struct Row {
    /// The path's bytes in hex, where they are not UTF-8.
    raw: Option<String>,
    #[serde(flatten)]
    state: State,
    /// The numbers of the lists.
    numbers: Vec<u32>,
}

/// What a file was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct State {
    #[serde(rename = "type")]
    kind: Option<String>,
    size: Option<u64>,
    modified_at: Option<String>,
    sha256: Option<String>,
    rest: Option<String>,
}

/// The file in one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) backup: String,
    pub(super) backed_up_at: String,
    pub(super) state: State,
}

/// The versions of `path`, oldest first; none where no backup has it. Backups without its
/// component say nothing about it.
pub fn history(query: &Query, path: &FilePath) -> Result<Vec<Version>> {
    let lineage = Lineage::load(query)?;
    let sql = "SELECT hex(path_raw) AS raw, type, size, modified_at, sha256, \
                      mode || ' ' || uid || ':' || gid || ' ' || \
                      coalesce(hex(link_target), '') AS rest, list(number) AS numbers \
               FROM entries WHERE component = ? AND path = ? GROUP BY ALL ORDER BY 1";
    let values = [Value::Text(path.component.clone()), Value::Text(path.indexed())];
    let rows: Vec<Row> = query.objects(sql, &values)?;
    let forest = lineage.forest(&path.component);
    Ok(forest.map(|forest| fold(sights(&lineage, forest, &rows))).unwrap_or_default())
}

/// The file in each backup that has its component, oldest first.
fn sights(lineage: &Lineage, forest: &Forest, rows: &[Row]) -> Vec<Sight> {
    let mut states: Vec<(usize, &State)> = Vec::new();
    // Two paths that are not both UTF-8 may look the same.
    for rows in rows.chunk_by(|one, other| one.raw == other.raw) {
        let told = rows.iter().flat_map(|Row { state, numbers, .. }| {
            let what = state.kind.is_some().then_some(state);
            numbers.iter().map(move |number| Told { number: *number, what })
        });
        for (stretch, what) in forest.stretches(told) {
            let backups = forest.order[stretch].iter();
            states.extend(backups.filter_map(|backup| Some((*backup, what?))));
        }
    }
    let absent = State::default();
    let seen: BTreeSet<usize> = states.iter().map(|(backup, _)| *backup).collect();
    let others = forest.order.iter().filter(|backup| !seen.contains(backup));
    states.extend(others.map(|backup| (*backup, &absent)));
    states.sort_by_key(|(backup, _)| *backup);
    let sight = |(backup, state): (usize, &State)| {
        let Backup { id, started_at, .. } = &lineage.backups[backup];
        Sight { backup: id.clone(), backed_up_at: started_at.clone(), state: state.clone() }
    };
    states.into_iter().map(sight).collect()
}

/// Joins the sights in a row that tell the same.
pub(super) fn fold(sights: Vec<Sight>) -> Vec<Version> {
    let mut versions: Vec<Version> = Vec::new();
    let mut before: Option<Sight> = None;
    for sight in sights {
        let known = before.as_ref().filter(|sight| sight.state.kind.is_some());
        let event = match (known, &sight.state.kind) {
            (None, None) => None,
            (None, Some(_)) => Some(Event::Created),
            (Some(_), None) => Some(Event::Deleted),
            (Some(last), Some(_)) => last.state.change_to(&sight.state),
        };
        match (event, versions.last_mut()) {
            (None, Some(version)) => version.backups += 1,
            (None, None) => {}
            (Some(event), _) => versions.push(sight.clone().version(event)),
        }
        before = Some(sight);
    }
    versions
}

impl State {
    fn change_to(&self, next: &Self) -> Option<Event> {
        let content = |state: &Self| (state.kind.clone(), state.size, state.sha256.clone());
        if content(self) != content(next) {
            return Some(Event::Changed);
        }
        let is_same = self.modified_at == next.modified_at && self.rest == next.rest;
        (!is_same).then_some(Event::Metadata)
    }
}

impl Sight {
    fn version(self, event: Event) -> Version {
        let Self { backup, backed_up_at, state } = self;
        let State { kind, size, modified_at, sha256, .. } = state;
        Version { backup, backed_up_at, event, kind, size, modified_at, sha256, backups: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(backup: &str, sha256: Option<&str>, rest: &str) -> Sight {
        Sight {
            backup: backup.into(),
            backed_up_at: String::new(),
            state: State {
                kind: sha256.map(|_| "file".into()),
                size: sha256.map(|_| 1),
                modified_at: None,
                sha256: sha256.map(str::to_owned),
                rest: sha256.map(|_| rest.to_owned()),
            },
        }
    }

    #[test]
    fn equal_sights_are_one_version_and_gaps_are_deletions() {
        let versions = fold(vec![
            sight("0", None, ""),
            sight("1", Some("a"), "x"),
            sight("2", Some("a"), "x"),
            sight("3", Some("a"), "y"),
            sight("4", None, ""),
            sight("5", None, ""),
            sight("6", Some("b"), "y"),
            sight("7", Some("c"), "y"),
        ]);
        let told: Vec<(&str, Event, u64)> = versions
            .iter()
            .map(|version| (version.backup.as_str(), version.event, version.backups))
            .collect();
        assert_eq!(
            told,
            [
                ("1", Event::Created, 2),
                ("3", Event::Metadata, 1),
                ("4", Event::Deleted, 2),
                ("6", Event::Created, 1),
                ("7", Event::Changed, 1),
            ]
        );
    }
}
