//! What nobody may delete, whatever the rules say.

use super::selection::Selection;
use super::unreadable::Unreadable;
use crate::repository::manifest::Reason;

/// Says of every backup of the stack whether it may be deleted at all.
pub(super) fn apply(selection: &mut Selection<'_>, unreadable: &[Unreadable]) {
    for place in 0..selection.records.len() {
        let record = &selection.records[place];
        if !record.is_published() {
            continue;
        }
        if !selection.policy.concerns(record) {
            selection.keep_firmly(place, format!("of another stack, {}", record.stack));
        }
        if let Some(pin) = &record.pin {
            let reason = pin.reason.as_ref().map(|reason| format!(": {reason}"));
            selection.keep_firmly(place, format!("kept by hand{}", reason.unwrap_or_default()));
        }
        if selection.policy.guards(record) {
            let keep = selection.policy.guarded;
            selection.keep_firmly(place, format!("taken before an upgrade, guard.keep is {keep}"));
        }
        if let Some(other) = unreadable.iter().find(|other| other.may_need(record)) {
            selection.keep_firmly(place, format!("{} cannot be read and may need it", other.name));
        }
    }
    newest_good(selection);
}

/// The newest sound backup stays, the newest of those that nothing was left out
/// of, and of every database and file tree of the stack the newest that holds it, as a whole where
/// one does. What a
/// restore had replaced counts only where there is nothing else.
fn newest_good(selection: &mut Selection<'_>) {
    let Some(newest) = selection.history.first().copied() else { return };
    let good: Vec<usize> =
        selection.history.iter().copied().filter(|place| selection.is_sound(*place)).collect();
    let records = selection.records;
    let wanted = |fits: &dyn Fn(usize) -> bool| {
        let fitting = || good.iter().copied().filter(|place| fits(*place));
        let mut regular = fitting().filter(|place| records[*place].reason != Reason::Safety);
        regular.next().or_else(|| fitting().next())
    };
    let Some(last) = wanted(&|_| true) else {
        return selection.keep_firmly(newest, "newest, and none is good");
    };
    let mut protected = vec![(last, "newest good".to_owned())];
    if let Some(place) = wanted(&|place| selection.is_whole(place)) {
        protected.push((place, "newest good that is whole".into()));
    }
    for component in &selection.policy.components {
        let holds = |place: usize| records[place].components.iter().any(|c| c.name == *component);
        let holds_all =
            |place: usize| holds(place) && !records[place].lacking().contains(&component.as_str());
        if let Some(place) = wanted(&holds_all).or_else(|| wanted(&holds)) {
            protected.push((place, format!("newest good that holds {component}")));
        }
    }
    let mut said = Vec::new();
    for (place, reason) in protected {
        // One that is protected already needs no second reason.
        if !said.contains(&place) {
            said.push(place);
            selection.keep_firmly(place, reason);
        }
    }
}
