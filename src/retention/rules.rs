//! What the rules keep.
//!
//! The rules look at one *series* after the other: backups that the same table is about, that
//! lack something of the same parts of the stack, and that are all sound or all damaged. So neither a
//! partial nor a damaged backup takes the place of a whole one, and where a verification calls
//! all of them damaged, as many stay as if none were. Of several of one instant the rules see
//! the full one alone.

use super::bucket::Bucket;
use super::policy::Group;
use super::selection::Selection;
use crate::config::Rules;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Says of every backup of the stack which rules keep it.
pub(super) fn apply(selection: &mut Selection<'_>) {
    let mut series: BTreeMap<(Group, Vec<&str>, bool), Vec<usize>> = BTreeMap::new();
    for place in &selection.history {
        let record = &selection.records[*place];
        let key = (selection.group(*place), record.lacking(), selection.is_sound(*place));
        series.entry(key).or_default().push(*place);
    }
    for ((_, lacking, is_sound), places) in series {
        let Some(reason) = places.first().map(|place| selection.records[*place].reason) else {
            continue;
        };
        let policy = selection.policy;
        let among = match (lacking.as_slice(), is_sound) {
            ([], true) => String::new(),
            ([], false) => " of the damaged".into(),
            (lacking, _) => format!(" of those without all of {}", lacking.join(", ")),
        };
        apply_to(selection, &places, &among, policy.rules(reason));
    }
    least(selection);
}

/// Applies rules to one series, newest first. `among` tells it from the usual one.
fn apply_to(selection: &mut Selection<'_>, series: &[usize], among: &str, rules: &Rules) {
    if rules.never_delete {
        for place in series {
            let reason = selection.records[*place].reason.as_str();
            selection.keep_firmly(*place, format!("never_delete ({reason})"));
        }
        return;
    }
    if !rules.thins_out() {
        for place in series {
            let reason = selection.records[*place].reason.as_str();
            selection.keep(*place, format!("no rule thins out {reason} backups"));
        }
        return;
    }
    let series = &selection.instants(series);
    let last = rules.keep_last.unwrap_or_default();
    for place in series.iter().take(last as usize) {
        selection.keep(*place, format!("last {last}{among}"));
    }
    within(selection, series, among, rules);
    for (bucket, count) in [
        (Bucket::Hour, rules.keep_hourly),
        (Bucket::Day, rules.keep_daily),
        (Bucket::Week, rules.keep_weekly),
        (Bucket::Month, rules.keep_monthly),
        (Bucket::Year, rules.keep_yearly),
    ] {
        newest_of_each(selection, series, among, (bucket, count.unwrap_or_default()));
    }
}

/// Keeps the newest of each of the last `count` buckets that have a backup. A bucket ends
/// where the next backup of the history lies in another one: after a clock that was set back
/// a day comes twice, and both stay.
fn newest_of_each(
    selection: &mut Selection<'_>,
    series: &[usize],
    among: &str,
    (bucket, count): (Bucket, u32),
) {
    let mut current = None;
    let mut left = count;
    for place in series {
        let name = bucket.of(selection.records[*place].started_at, &selection.policy.zone);
        if current.as_ref() == Some(&name) {
            continue;
        }
        let Some(fewer) = left.checked_sub(1) else { return };
        left = fewer;
        selection.keep(*place, format!("{} {name}{among}", bucket.word()));
        current = Some(name);
    }
}

/// Keeps what is young, measured from the stack's newest backup: where backups have stopped, age
/// alone deletes nothing. One that lies alone, further from the one before than all of the length,
/// may have a wrong time, and what is deleted does not come back: the one before counts.
fn within(selection: &mut Selection<'_>, series: &[usize], among: &str, rules: &Rules) {
    let Some(length) = rules.keep_within else { return };
    let now = selection.policy.now;
    let begin_of =
        |end: Timestamp| end.min(now).checked_sub(length.duration()).unwrap_or(Timestamp::MIN);
    let instants = selection.instants(&selection.history);
    let mut times = instants.iter().map(|place| selection.records[*place].started_at);
    let newest = times.next().unwrap_or(now);
    let begin = match times.next() {
        Some(before) if before < begin_of(newest) => begin_of(before),
        _ => begin_of(newest),
    };
    for place in series {
        if selection.records[*place].started_at >= begin {
            selection.keep(*place, format!("within {length}{among}"));
        }
    }
}

/// Keeps further backups, newest first, where a table's rules leave fewer than `min_backups`.
/// Only whole ones count, and none that stays for another one alone: it goes with that one.
fn least(selection: &mut Selection<'_>) {
    let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
    for place in selection.history.iter().filter(|place| selection.is_whole(**place)) {
        groups.entry(selection.group(*place)).or_default().push(*place);
    }
    for places in groups.into_values() {
        let Some(first) = places.first() else { continue };
        let rules = selection.policy.rules(selection.records[*first].reason);
        let Some(least) = rules.min_backups else { continue };
        let places = selection.instants(&places);
        let stay = places.iter().filter(|place| selection.has_reason(**place)).count();
        let missing = (least as usize).saturating_sub(stay);
        let others: Vec<usize> = places
            .into_iter()
            .filter(|place| !selection.has_reason(*place))
            .take(missing)
            .collect();
        for place in others {
            selection.keep(place, format!("min_backups {least}"));
        }
    }
}
