//! `max_total_size`: the oldest go until the rest fits.

use super::footprint::{Footprints, Tally};
use super::policy::Group;
use super::selection::Selection;
use crate::config::Size;
use crate::size;
use std::collections::BTreeMap;

/// Takes out what is too much, of each table with a limit first and then of the whole stack;
/// returns what cannot be made to fit.
pub(super) fn apply(selection: &mut Selection<'_>, footprints: &Footprints) -> Vec<String> {
    let mut notes = Vec::new();
    let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
    for place in &selection.history {
        groups.entry(selection.group(*place)).or_default().push(*place);
    }
    let base = selection.policy.retention.rules.max_total_size;
    for places in groups.values() {
        let Some(first) = places.first() else { continue };
        let reason = selection.records[*first].reason;
        let rules = selection.policy.rules(reason);
        let is_own = !std::ptr::eq(rules, &selection.policy.retention.rules);
        if let Some(limit) = rules.max_total_size.filter(|_| is_own) {
            let what = format!("the {} backups that have to stay take", reason.as_str());
            notes.extend(fit(selection, places, limit, footprints, &what));
        }
    }
    if let Some(limit) = base {
        let all = selection.history.clone();
        notes.extend(fit(selection, &all, limit, footprints, "what has to stay takes"));
    }
    notes
}

/// Makes the backups in `scope`, newest first, take at most `limit`. Damaged ones go first,
/// then the oldest; never one that another needs, nor one below `min_backups`.
fn fit(
    selection: &mut Selection<'_>,
    scope: &[usize],
    limit: Size,
    footprints: &Footprints,
    what: &str,
) -> Option<String> {
    let mut tally = Tally::new(footprints);
    scope.iter().filter(|place| selection.stays(**place)).for_each(|place| tally.add(*place));
    let mut order: Vec<usize> = scope.iter().rev().copied().collect();
    order.sort_by_key(|place| selection.is_sound(*place));
    while tally.bytes() > limit.bytes() {
        let next = order
            .iter()
            .copied()
            .find(|place| selection.may_be_evicted(*place) && !is_least(selection, *place));
        let Some(next) = next else {
            let taken = size::bytes(tally.bytes());
            return Some(format!("{what} {taken}, more than max_total_size {limit}"));
        };
        for gone in selection.evict(next, format!("over max_total_size {limit}")) {
            if scope.contains(&gone) {
                tally.remove(gone);
            }
        }
    }
    None
}

/// Whether a backup is one of the `min_backups` whole ones of its table. Of two that hold the same
/// one may go.
fn is_least(selection: &Selection<'_>, place: usize) -> bool {
    let rules = selection.policy.rules(selection.records[place].reason);
    let Some(least) = rules.min_backups.filter(|_| selection.is_whole(place)) else { return false };
    let group = selection.group(place);
    let counts = |other: &usize| {
        selection.has_reason(*other)
            && selection.is_whole(*other)
            && selection.group(*other) == group
    };
    let stay: Vec<usize> = selection.history.iter().copied().filter(counts).collect();
    let others: Vec<usize> = stay.iter().copied().filter(|other| *other != place).collect();
    let (stay, others) = (selection.instants(&stay).len(), selection.instants(&others).len());
    others < stay && others < least as usize
}
