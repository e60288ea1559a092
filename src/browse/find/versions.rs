//! Puts the versions of each file together of what the backups' lists tell of it.

use super::{Criteria, Found};
use crate::browse::lineage::{Lineage, Told};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// What some lists tell of one file.
#[derive(Deserialize)]
pub(super) struct Row {
    component: String,
    path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    raw: Option<String>,
    #[serde(flatten)]
    version: Version,
    /// The numbers of the lists.
    numbers: Vec<u32>,
}

/// What a file was.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Version {
    /// None where it was not there.
    #[serde(rename = "type")]
    kind: Option<String>,
    size: Option<u64>,
    modified_at: Option<String>,
    sha256: Option<String>,
}

/// In which backups something was: how many, and places in [`Lineage::backups`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    count: u64,
    first: usize,
    last: usize,
    earliest: usize,
    latest: usize,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    id: String,
}

/// Collects rows, those of one path after those of another.
pub(super) struct Versions<'a> {
    criteria: &'a Criteria,
    lineage: Lineage,
    /// Of each backup whether it counts.
    counts: Vec<bool>,
    /// What was counted of whole stretches, by component and beginning.
    seen: HashMap<String, HashMap<usize, Option<Seen>>>,
    rows: Vec<Row>,
    found: Vec<Found>,
}

impl<'a> Versions<'a> {
    pub(super) fn new(criteria: &'a Criteria, lineage: Lineage, wanted: &[Wanted]) -> Self {
        let wanted: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.id.as_str()).collect();
        let counts = lineage.backups.iter().map(|backup| wanted.contains(backup.id.as_str()));
        let counts = counts.collect();
        let (seen, rows, found) = (HashMap::new(), Vec::new(), Vec::new());
        Self { criteria, lineage, counts, seen, rows, found }
    }

    /// Adds a row; false when no more are wanted.
    pub(super) fn add(&mut self, row: Row) -> bool {
        let is_other = |last: &Row| (&last.component, &last.path) != (&row.component, &row.path);
        if self.rows.last().is_some_and(is_other) {
            self.end_path();
        }
        self.rows.push(row);
        !self.is_full()
    }

    pub(super) fn finish(mut self) -> Vec<Found> {
        self.end_path();
        if let Some(limit) = self.criteria.limit {
            self.found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        self.found
    }

    fn is_full(&self) -> bool {
        self.criteria.limit.is_some_and(|limit| self.found.len() as u64 >= limit)
    }

    fn end_path(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let Some(first) = rows.first() else { return };
        let Some(forest) = self.lineage.forest(&first.component) else { return };
        if !self.seen.contains_key(&first.component) {
            self.seen.insert(first.component.clone(), HashMap::new());
        }
        let Some(counted) = self.seen.get_mut(&first.component) else { return };
        let mut versions: Vec<(&Version, Seen)> = Vec::new();
        // Two paths that are not both UTF-8 may look the same.
        for rows in rows.chunk_by(|one, other| one.raw == other.raw) {
            let told = rows.iter().enumerate().flat_map(|(place, row)| {
                let what = row.version.kind.is_some().then_some(place);
                row.numbers.iter().map(move |number| Told { number: *number, what })
            });
            for (stretch, what) in forest.stretches(told) {
                let Some(version) = what.map(|place| &rows[place].version) else { continue };
                let count = |stretch: Range<usize>| {
                    let backups = forest.order[stretch].iter().copied();
                    let once = backups.filter(|backup| self.counts[*backup]).map(Seen::once);
                    once.reduce(|one, other| one.and(&other, &self.lineage))
                };
                let seen = match forest.is_whole(&stretch) {
                    true => *counted.entry(stretch.start).or_insert_with(|| count(stretch)),
                    false => count(stretch),
                };
                let Some(seen) = seen else { continue };
                match versions.iter_mut().find(|(known, _)| *known == version) {
                    Some((_, known)) => *known = known.and(&seen, &self.lineage),
                    None => versions.push((version, seen)),
                }
            }
        }
        versions.retain(|(version, _)| version.fits(self.criteria));
        versions.sort_by_key(|(_, seen)| seen.first);
        let lineage = &self.lineage;
        let found =
            versions.into_iter().map(|(version, seen)| found(first, version, seen, lineage));
        self.found.extend(found);
    }
}

impl Version {
    fn fits(&self, criteria: &Criteria) -> bool {
        let Criteria { min_size, max_size, sha256, .. } = criteria;
        let size = |fits: &dyn Fn(u64) -> bool| self.size.is_some_and(fits);
        min_size.is_none_or(|least| size(&|size| size >= least))
            && max_size.is_none_or(|most| size(&|size| size <= most))
            && sha256.as_ref().is_none_or(|digits| {
                let digits = digits.to_lowercase();
                self.sha256.as_ref().is_some_and(|sha256| sha256.starts_with(&digits))
            })
    }
}

impl Seen {
    fn once(backup: usize) -> Self {
        Self { count: 1, first: backup, last: backup, earliest: backup, latest: backup }
    }

    fn and(&self, other: &Self, lineage: &Lineage) -> Self {
        let at = |backup: usize| lineage.backups[backup].started_us;
        let (one, two) = (self, other);
        Self {
            count: one.count + two.count,
            first: one.first.min(two.first),
            last: one.last.max(two.last),
            earliest: if at(two.earliest) < at(one.earliest) { two } else { one }.earliest,
            latest: if at(two.latest) > at(one.latest) { two } else { one }.latest,
        }
    }
}

fn found(row: &Row, version: &Version, seen: Seen, lineage: &Lineage) -> Found {
    let backup = |place: usize| &lineage.backups[place];
    let Version { kind, size, modified_at, sha256 } = version.clone();
    Found {
        component: row.component.clone(),
        path: row.path.clone(),
        kind: kind.unwrap_or_default(),
        size: size.unwrap_or_default(),
        modified_at,
        sha256,
        first_backup: backup(seen.first).id.clone(),
        first_seen: backup(seen.earliest).started_at.clone(),
        last_backup: backup(seen.last).id.clone(),
        last_seen: backup(seen.latest).started_at.clone(),
        backups: seen.count,
    }
}
