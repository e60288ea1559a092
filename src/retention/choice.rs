//! The choice as a whole: which backups stay and why, and the order in which the others go.

use super::footprint::Footprints;
use super::policy::Policy;
use super::selection::{Selection, needs};
use super::unreadable::Unreadable;
use super::{limit, protect, rules};
use crate::catalog::BackupRecord;
use std::collections::BTreeMap;

/// What was chosen. Backups are named by their places in the list they were chosen from.
pub(super) struct Choice {
    /// Of each, whether it stays and why, or why it goes.
    pub(super) reasons: Vec<(bool, Vec<String>)>,
    /// Those that go, each before all that it needs, newest first.
    pub(super) going: Vec<usize>,
    /// What does not fit a limit.
    pub(super) notes: Vec<String>,
}

/// Chooses among the published backups of the policy's stack. Sizes decide only where they
/// are given.
///
/// What has gone may change what the rules say of the rest, as where a limit took the newest
/// backup of a day. So the choice is repeated until nothing more goes, and a second one right
/// after it finds nothing to do.
pub(super) fn choose(
    records: &[BackupRecord],
    policy: &Policy,
    unreadable: &[Unreadable],
    footprints: Option<&Footprints>,
) -> Choice {
    let mut gone: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    loop {
        let mut selection = Selection::new(records, policy, &gone);
        protect::apply(&mut selection, unreadable);
        rules::apply(&mut selection);
        let notes = footprints.map_or_else(Vec::new, |sizes| limit::apply(&mut selection, sizes));
        let mut reasons = selection.reasons();
        let history = selection.history;
        let more: Vec<usize> = history.into_iter().filter(|place| !reasons[*place].0).collect();
        if more.is_empty() {
            for (place, because) in &gone {
                reasons[*place] = (false, because.clone());
            }
            let going = deletion_order(records, &gone);
            return Choice { reasons, going, notes };
        }
        gone.extend(more.into_iter().map(|place| (place, reasons[place].1.clone())));
    }
}

fn deletion_order(records: &[BackupRecord], gone: &BTreeMap<usize, Vec<String>>) -> Vec<usize> {
    let needs = needs(records, &|place| gone.contains_key(&place));
    let mut left: Vec<usize> = gone.keys().copied().collect();
    left.sort_by_key(|place| std::cmp::Reverse(records[*place].instant()));
    let mut dependents = vec![0_usize; records.len()];
    for place in &left {
        needs[*place].iter().for_each(|needed| dependents[*needed] += 1);
    }
    let mut order = Vec::with_capacity(left.len());
    while let Some(next) = left.iter().position(|place| dependents[*place] == 0) {
        let place = left.remove(next);
        needs[place].iter().for_each(|needed| dependents[*needed] -= 1);
        order.push(place);
    }
    order
}
