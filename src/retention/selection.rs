//! The choice while it is being made: of each backup why it stays.

use super::policy::{Group, Policy};
use crate::catalog::BackupRecord;
use crate::repository::BackupId;
use crate::repository::manifest::{Component, Kind};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How many of the backups that need another one its reasons name.
const NAMED: usize = 3;

/// What is said of each of some backups. They are named by their places in `records`.
pub(super) struct Selection<'a> {
    pub(super) records: &'a [BackupRecord],
    pub(super) policy: &'a Policy,
    /// The published backups of the stack, newest first, by their place in the history: a
    /// clock that was set back changes nothing. Of those of one instant, the full one is first.
    pub(super) history: Vec<usize>,
    stays: Vec<Stay>,
    /// The published backups that each one has contents in.
    needs: Vec<Vec<usize>>,
    /// How many that stay have contents in this one.
    needed: Vec<usize>,
    sound: Vec<bool>,
}

#[derive(Default, Clone)]
struct Stay {
    reasons: Vec<String>,
    /// Whether not even `max_total_size` may take it.
    firm: bool,
    /// Why it goes although a rule keeps it.
    evicted: Option<String>,
}

impl<'a> Selection<'a> {
    /// Among the published backups that are not `gone`.
    pub(super) fn new(
        records: &'a [BackupRecord],
        policy: &'a Policy,
        gone: &BTreeMap<usize, Vec<String>>,
    ) -> Self {
        let is_there = |place: usize| records[place].is_published() && !gone.contains_key(&place);
        let mut history: Vec<usize> = (0..records.len())
            .filter(|place| is_there(*place) && policy.concerns(&records[*place]))
            .collect();
        history.sort_by_key(|place| {
            let record = &records[*place];
            let is_full = record.kind == Kind::Full;
            std::cmp::Reverse((record.instant(), is_full, &record.id))
        });
        Self {
            records,
            policy,
            history,
            stays: vec![Stay::default(); records.len()],
            needs: needs(records, &is_there),
            needed: vec![0; records.len()],
            sound: sound(records),
        }
    }

    /// Says why a backup stays. A backup may have several reasons.
    pub(super) fn keep(&mut self, place: usize, reason: impl Into<String>) {
        let stay = &mut self.stays[place];
        let is_first = stay.reasons.is_empty();
        stay.reasons.push(reason.into());
        if is_first && self.needed[place] == 0 {
            self.count_needs(place);
        }
    }

    /// The same, and that nothing outweighs it.
    pub(super) fn keep_firmly(&mut self, place: usize, reason: impl Into<String>) {
        self.keep(place, reason);
        self.stays[place].firm = true;
    }

    /// What has just become a backup that stays needs others, and those yet others.
    fn count_needs(&mut self, place: usize) {
        let mut stack = vec![place];
        while let Some(place) = stack.pop() {
            for needed in self.needs[place].clone() {
                let stayed = self.stays(needed);
                self.needed[needed] += 1;
                if !stayed {
                    stack.push(needed);
                }
            }
        }
    }

    /// Takes a backup that nothing needs out again, and what stays for it alone.
    pub(super) fn evict(&mut self, place: usize, because: String) -> Vec<usize> {
        self.stays[place].reasons.clear();
        self.stays[place].evicted = Some(because);
        let mut gone = vec![place];
        let mut next = 0;
        while let Some(place) = gone.get(next).copied() {
            next += 1;
            for needed in self.needs[place].clone() {
                self.needed[needed] -= 1;
                if !self.stays(needed) {
                    gone.push(needed);
                }
            }
        }
        gone
    }

    /// Whether a backup stays so far.
    pub(super) fn stays(&self, place: usize) -> bool {
        !self.stays[place].reasons.is_empty() || self.needed[place] > 0
    }

    /// Whether a backup stays for its own sake, not only for those that need it.
    pub(super) fn has_reason(&self, place: usize) -> bool {
        !self.stays[place].reasons.is_empty()
    }

    /// Whether a backup stays for reasons that a limit outweighs, and nothing needs it.
    pub(super) fn may_be_evicted(&self, place: usize) -> bool {
        let stay = &self.stays[place];
        !stay.reasons.is_empty() && !stay.firm && self.needed[place] == 0
    }

    /// Whether nothing is known to be damaged or missing, neither in a backup nor in those
    /// that it needs.
    pub(super) fn is_sound(&self, place: usize) -> bool {
        self.sound[place]
    }

    /// Whether a backup is what a restore would want: sound, nothing left out or not read.
    pub(super) fn is_whole(&self, place: usize) -> bool {
        self.sound[place] && self.records[place].lacking().is_empty()
    }

    /// Only the first of the backups of each instant: a consolidated one holds the same as the
    /// one that it was made of. `places` are newest first.
    pub(super) fn instants(&self, places: &[usize]) -> Vec<usize> {
        let mut instants = places.to_vec();
        instants.dedup_by_key(|place| self.records[*place].instant());
        instants
    }

    /// Why a backup is not needed beside another one of its instant.
    fn twin(&self, place: usize) -> Option<String> {
        let instant = self.records[place].instant();
        let is_twin =
            |other: &&usize| **other != place && self.records[**other].instant() == instant;
        let twin = self.history.iter().filter(|other| self.stays(**other)).find(is_twin)?;
        let is_there = self.history.contains(&place);
        is_there.then(|| format!("{} holds the same", self.records[*twin].name))
    }

    pub(super) fn group(&self, place: usize) -> Group {
        self.policy.group(self.records[place].reason)
    }

    /// Why each backup stays, or goes.
    pub(super) fn reasons(&self) -> Vec<(bool, Vec<String>)> {
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); self.records.len()];
        for place in (0..self.records.len()).filter(|place| self.stays(*place)) {
            for needed in &self.needs[place] {
                dependents[*needed].push(place);
            }
        }
        let explain = |(place, stay): (usize, &Stay)| {
            let mut reasons = stay.reasons.clone();
            let dependents = &dependents[place];
            let names = dependents.iter().take(NAMED).map(|place| &self.records[*place].name);
            reasons.extend(names.map(|name| format!("needed by {name}")));
            if let Some(more) = dependents.len().checked_sub(NAMED).filter(|more| *more > 0) {
                reasons.push(format!("needed by {more} more"));
            }
            let keep = !reasons.is_empty();
            if !keep {
                let because = stay.evicted.clone().or_else(|| self.twin(place));
                reasons.push(because.unwrap_or_else(|| "no rule keeps it".into()));
            }
            (keep, reasons)
        };
        self.stays.iter().enumerate().map(explain).collect()
    }
}

/// The places of those backups that each one has contents in, among those that are there.
pub(super) fn needs(records: &[BackupRecord], is_there: &dyn Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let there = (0..records.len()).filter(|place| is_there(*place));
    let places: HashMap<&BackupId, usize> =
        there.map(|place| (&records[place].id, place)).collect();
    let needs = |(place, record): (usize, &BackupRecord)| {
        let elsewhere = record.components.iter().flat_map(Component::elsewhere);
        let needed: BTreeSet<usize> = elsewhere
            .filter_map(|stored| places.get(&stored.backup).copied())
            .filter(|other| *other != place && is_there(place))
            .collect();
        needed.into_iter().collect()
    };
    records.iter().enumerate().map(needs).collect()
}

/// Of each published backup whether it and all that it needs are there and not damaged.
fn sound(records: &[BackupRecord]) -> Vec<bool> {
    let good: HashSet<&BackupId> = records
        .iter()
        .filter(|record| record.is_published() && !record.is_damaged())
        .map(|record| &record.id)
        .collect();
    let is_sound = |record: &BackupRecord| {
        let mut elsewhere = record.components.iter().flat_map(Component::elsewhere);
        good.contains(&record.id) && elsewhere.all(|stored| good.contains(&stored.backup))
    };
    records.iter().map(is_sound).collect()
}
