//! `history`: the versions of one file, and when it came and went.

use super::FilePath;
use crate::catalog::{Query, Value};
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

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

/// The file in one backup; all but the first two are none where it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Sight {
    backup: String,
    backed_up_at: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    size: Option<u64>,
    modified_at: Option<String>,
    sha256: Option<String>,
    rest: Option<String>,
}

/// The versions of `path`, oldest first. Backups without its component say nothing about it.
///
/// # Errors
/// `file_not_found` where no backup has it.
pub fn history(query: &Query, path: &FilePath) -> Result<Vec<Version>> {
    let sql = "SELECT b.id AS backup, b.started_at AS backed_up_at, f.type, f.size, \
                      f.modified_at, f.sha256, \
                      f.mode || ' ' || f.uid || ':' || f.gid || ' ' || \
                      coalesce(hex(f.link_target), '') AS rest \
               FROM indexes i JOIN backups b ON b.id = i.backup \
               JOIN components c ON c.backup = b.id AND c.type = 'files' AND c.name = ? \
               LEFT JOIN (SELECT * FROM files WHERE component = ? AND path = ?) f \
                      ON f.backup = b.id \
               ORDER BY b.sequence";
    let component = Value::Text(path.component.clone());
    let values = [component.clone(), component, Value::Text(path.indexed())];
    let sights: Vec<Sight> = query.objects(sql, &values)?;
    let versions = fold(sights);
    if versions.is_empty() {
        return Err(Error::new(Code::FileNotFound, "show the history of", path.to_string())
            .cause("no backup has it")
            .hint("`backstop find` searches by a part of the name"));
    }
    Ok(versions)
}

fn fold(sights: Vec<Sight>) -> Vec<Version> {
    let mut versions: Vec<Version> = Vec::new();
    let mut before: Option<Sight> = None;
    for sight in sights {
        let event = match (before.as_ref().filter(|sight| sight.kind.is_some()), &sight.kind) {
            (None, None) => None,
            (None, Some(_)) => Some(Event::Created),
            (Some(_), None) => Some(Event::Deleted),
            (Some(last), Some(_)) => last.change_to(&sight),
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

impl Sight {
    fn change_to(&self, next: &Self) -> Option<Event> {
        let content = |sight: &Self| (sight.kind.clone(), sight.size, sight.sha256.clone());
        if content(self) != content(next) {
            return Some(Event::Changed);
        }
        let is_same = self.modified_at == next.modified_at && self.rest == next.rest;
        (!is_same).then_some(Event::Metadata)
    }

    fn version(self, event: Event) -> Version {
        let Self { backup, backed_up_at, kind, size, modified_at, sha256, .. } = self;
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
            kind: sha256.map(|_| "file".into()),
            size: sha256.map(|_| 1),
            modified_at: None,
            sha256: sha256.map(str::to_owned),
            rest: sha256.map(|_| rest.to_owned()),
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
