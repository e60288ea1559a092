//! How backups build upon each other, and what that makes of what is told of one file.
//!
//! What a backup's list tells of a file holds in it and in all that build upon it, until one of
//! these tells something else. So the backups of each file tree are put into an order in which
//! every backup is followed by all that build upon it, step by step: then what is told holds for
//! one stretch of backups, less the shorter stretches in it for which something newer is told.

use crate::catalog::Query;
use crate::error::Result;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// The backups that are read, oldest first, and their file trees.
pub(super) struct Lineage {
    pub(super) backups: Vec<Backup>,
    forests: BTreeMap<String, Forest>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Backup {
    /// The number of its list.
    number: u32,
    pub(super) id: String,
    pub(super) sequence: u64,
    pub(super) started_at: String,
    /// The same, in microseconds since 1970.
    pub(super) started_us: i64,
}

/// The backups that have one file tree.
#[derive(Default)]
pub(super) struct Forest {
    /// Each followed by those that build upon it; numbers of [`Lineage::backups`].
    pub(super) order: Vec<usize>,
    /// Where the stretch of each place in the order ends.
    ends: Vec<usize>,
    /// For the number of each list the stretch of that order for which it is told.
    stretches: HashMap<u32, Range<usize>>,
}

/// What the list of this number tells of a file: that it is something, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told<T> {
    pub(super) number: u32,
    pub(super) what: Option<T>,
}

#[derive(Deserialize)]
struct Tree {
    backup: String,
    component: String,
    parent: Option<String>,
}

impl Lineage {
    /// Reads it of what `query` was opened with.
    pub(super) fn load(query: &Query) -> Result<Self> {
        let sql = "SELECT r.number, b.id, b.sequence, b.started_at, \
                          epoch_us(b.started_at) AS started_us \
                   FROM (SELECT number, backup FROM indexes \
                         UNION ALL SELECT number, backup FROM changes) r \
                   JOIN backups b ON b.id = r.backup ORDER BY b.sequence, b.id";
        let backups: Vec<Backup> = query.objects(sql, &[])?;
        let sql = "SELECT c.backup, c.name AS component, l.parent FROM components c \
                   LEFT JOIN lineage l ON l.backup = c.backup AND l.component = c.name \
                   WHERE c.type = 'files'";
        let trees: Vec<Tree> = query.objects(sql, &[])?;
        Ok(Self::of(backups, &trees))
    }

    fn of(backups: Vec<Backup>, trees: &[Tree]) -> Self {
        let places: HashMap<&str, usize> =
            backups.iter().enumerate().map(|(place, backup)| (backup.id.as_str(), place)).collect();
        let place = |id: &String| places.get(id.as_str()).copied();
        let mut components: BTreeMap<&str, BTreeMap<usize, Option<usize>>> = BTreeMap::new();
        for tree in trees {
            if let Some(backup) = place(&tree.backup) {
                let parent = tree.parent.as_ref().and_then(place);
                components.entry(&tree.component).or_default().insert(backup, parent);
            }
        }
        let forest =
            |(component, parents)| (str::to_owned(component), Forest::of(&parents, &backups));
        let forests = components.into_iter().map(forest).collect();
        Self { backups, forests }
    }

    /// The backups that have the file tree.
    pub(super) fn forest(&self, component: &str) -> Option<&Forest> {
        self.forests.get(component)
    }
}

impl Forest {
    fn of(parents: &BTreeMap<usize, Option<usize>>, backups: &[Backup]) -> Self {
        let mut children: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for (backup, parent) in parents {
            let parent = parent.filter(|parent| parents.contains_key(parent) && parent < backup);
            children.entry(parent).or_default().push(*backup);
        }
        let mut forest = Self::default();
        // Every backup comes twice: before and after those that build upon it.
        let mut next: Vec<(usize, Option<usize>)> = Vec::new();
        let push = |next: &mut Vec<_>, parent| {
            let found: &[usize] = children.get(&parent).map_or(&[], Vec::as_slice);
            next.extend(found.iter().rev().map(|child| (*child, None)));
        };
        push(&mut next, None);
        while let Some((backup, begun)) = next.pop() {
            if let Some(start) = begun {
                let end = forest.order.len();
                forest.ends[start] = end;
                forest.stretches.insert(backups[backup].number, start..end);
                continue;
            }
            next.push((backup, Some(forest.order.len())));
            forest.order.push(backup);
            forest.ends.push(0);
            push(&mut next, Some(backup));
        }
        forest
    }

    /// Whether the stretch is all that builds upon its first backup.
    pub(super) fn is_whole(&self, stretch: &Range<usize>) -> bool {
        self.ends.get(stretch.start) == Some(&stretch.end)
    }

    /// For which stretches of the order what is told of a file holds. They do not overlap.
    pub(super) fn stretches<T: Copy>(
        &self,
        told: impl IntoIterator<Item = Told<T>>,
    ) -> Vec<(Range<usize>, Option<T>)> {
        let told = told.into_iter();
        let mut told: Vec<(Range<usize>, Option<T>)> = told
            .filter_map(|Told { number, what }| Some((self.stretches.get(&number)?.clone(), what)))
            .collect();
        // Of what one list tells twice, that it is there comes first and counts.
        told.sort_by_key(|(stretch, what)| (stretch.start, what.is_none()));
        told.dedup_by_key(|(stretch, _)| stretch.start);
        let mut open: Vec<(usize, Option<T>)> = Vec::new();
        let mut found: Vec<(Range<usize>, Option<T>)> = Vec::new();
        let mut at = 0;
        let mut add = |range: Range<usize>, what| {
            if !range.is_empty() {
                found.push((range, what));
            }
        };
        for (stretch, what) in told {
            while let Some((end, above)) = open.pop_if(|(end, _)| *end <= stretch.start) {
                add(at..end, above);
                at = end;
            }
            if let Some((_, above)) = open.last() {
                add(at..stretch.start, *above);
            }
            at = stretch.start;
            open.push((stretch.end, what));
        }
        while let Some((end, above)) = open.pop() {
            add(at..end, above);
            at = end;
        }
        found
    }

    /// The places in [`Lineage::backups`] of the backups in which a file is there.
    pub(super) fn holders(&self, told: impl IntoIterator<Item = Told<()>>) -> BTreeSet<usize> {
        let stretches = self.stretches(told).into_iter().filter(|(_, what)| what.is_some());
        stretches.flat_map(|(stretch, _)| self.order[stretch].iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests;
