//! What holds of any history, any rules and any clock.

use super::*;
use crate::retention::failures;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One backup of a history, relative to those before it.
#[derive(Debug, Clone)]
struct Step {
    /// How far the clock went since the backup before, in minutes.
    minutes: i64,
    reason: usize,
    /// How far back the backups lie that this one needs.
    needs: Vec<u64>,
    omitted: bool,
    damaged: bool,
    pinned: bool,
    foreign: bool,
    bytes: u64,
    /// How far back the backup lies that it shares a file with.
    shares: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let clock = prop_oneof![
        10 => 1_i64..3000,
        1 => -100_000_i64..0,
        1 => 0_i64..1_000_000,
    ];
    let flags = (
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.05),
    );
    (clock, 0..7_usize, prop::collection::vec(1_u64..6, 0..3), flags, 0..1000_u64, 1..4_u64)
        .prop_map(|(minutes, reason, needs, (omitted, damaged, pinned, foreign), bytes, shares)| {
            Step { minutes, reason, needs, omitted, damaged, pinned, foreign, bytes, shares }
        })
}

const REASONS: [Reason; 7] = [
    Reason::Manual,
    Reason::Scheduled,
    Reason::PreUpgrade,
    Reason::Safety,
    Reason::Checkpoint,
    Reason::Migration,
    Reason::Archive,
];

fn history(steps: &[Step]) -> (Vec<BackupRecord>, Footprints) {
    let mut at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut records = Vec::new();
    let mut shared = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let sequence = place as u64 + 1;
        at = at.checked_add(SignedDuration::from_mins(step.minutes)).unwrap();
        let needs: Vec<u64> = step
            .needs
            .iter()
            .filter_map(|back| sequence.checked_sub(*back))
            .filter(|s| *s > 0)
            .collect();
        let mut record = backup(sequence, &at.to_string(), &needs);
        record.reason = REASONS[step.reason];
        if step.omitted {
            record.omitted = vec!["shop".into()];
        }
        if step.foreign {
            record.stack = "mail".into();
        }
        if step.pinned {
            record.pin = Some(Pin { at: None, host: None, reason: None, brought: false });
        }
        records.push(if step.damaged { damaged(record) } else { record });
        if let Some(other) = place.checked_sub(step.shares as usize) {
            shared.push((step.bytes, vec![other, place]));
        }
    }
    let own: Vec<u64> = steps.iter().map(|step| step.bytes).collect();
    (records, Footprints::of(&own, &shared))
}

/// A table of rules; `base` may have a limit too.
fn rules() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let count = || prop::option::weighted(0.3, 1_u32..6);
    let counts = (count(), count(), count(), count(), count(), count());
    let within = prop::option::weighted(0.3, 1_u32..60);
    let limit = prop::option::weighted(0.3, 1_u64..20_000);
    (counts, within, count(), limit, prop::bool::weighted(0.1)).prop_map(
        |((last, hourly, daily, weekly, monthly, yearly), within, least, limit, never)| {
            let mut rules = serde_json::Map::new();
            if never {
                rules.insert("never_delete".into(), true.into());
                return rules;
            }
            for (key, count) in [
                ("keep_last", last),
                ("keep_hourly", hourly),
                ("keep_daily", daily),
                ("keep_weekly", weekly),
                ("keep_monthly", monthly),
                ("keep_yearly", yearly),
                ("min_backups", least),
            ] {
                if let Some(count) = count {
                    rules.insert(key.into(), count.into());
                }
            }
            if let Some(days) = within {
                rules.insert("keep_within".into(), format!("{days}d").into());
            }
            if let Some(limit) = limit {
                rules.insert("max_total_size".into(), limit.to_string().into());
            }
            rules
        },
    )
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let tables = prop::collection::vec(prop::option::weighted(0.3, rules()), 7);
    let zones = prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns"]);
    (rules(), tables, zones, -100_000_i64..1_000_000).prop_map(|(base, tables, zone, minutes)| {
        let mut all = base;
        for (reason, table) in REASONS.iter().zip(tables) {
            if let Some(table) = table {
                all.insert(reason.as_str().into(), table.into());
            }
        }
        let mut policy = policy(all.into());
        policy.zone = TimeZone::get(zone).unwrap();
        policy.now = policy.now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        policy
    })
}

fn stay(records: &[BackupRecord], policy: &Policy, sizes: &Footprints) -> Vec<usize> {
    places_that_stay(&choose(records, policy, &[], Some(sizes)))
}

/// The sequences that a backup needs.
fn needs(record: &BackupRecord) -> impl Iterator<Item = &BackupId> {
    record.components.iter().flat_map(Component::elsewhere).map(|stored| &stored.backup)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nothing_that_matters_goes(
        steps in prop::collection::vec(step(), 0..60),
        policy in any_policy(),
    ) {
        let (records, sizes) = history(&steps);
        let stay: BTreeSet<usize> = stay(&records, &policy, &sizes).into_iter().collect();
        let ids: BTreeSet<&BackupId> = stay.iter().map(|place| &records[*place].id).collect();
        let existing: BTreeSet<&BackupId> = records.iter().map(|record| &record.id).collect();

        // All that stay can be restored.
        for place in &stay {
            for needed in needs(&records[*place]).filter(|needed| existing.contains(*needed)) {
                prop_assert!(ids.contains(needed), "{needed} is needed");
            }
        }
        let ours = |record: &&BackupRecord| record.stack == policy.stack;
        // Never everything, and never the last good one.
        prop_assert_eq!(records.iter().any(|r| ours(&r)), stay.iter().any(|p| ours(&&records[*p])));
        let bad: BTreeSet<&BackupId> =
            records.iter().filter(|record| record.is_damaged()).map(|record| &record.id).collect();
        let sound = |record: &BackupRecord| {
            !bad.contains(&record.id) && !needs(record).any(|needed| bad.contains(needed))
        };
        let good = |record: &&BackupRecord| ours(record) && sound(record);
        let regular = |record: &&BackupRecord| good(record) && record.reason != Reason::Safety;
        let whole = |record: &&BackupRecord| regular(record) && record.omitted.is_empty();
        for last in [
            records.iter().rfind(regular),
            records.iter().rfind(whole),
        ].into_iter().flatten() {
            prop_assert!(ids.contains(&last.id), "{} is the last good one", last.name);
        }
        prop_assert_eq!(
            records.iter().any(|r| good(&r)),
            stay.iter().any(|p| good(&&records[*p]))
        );
        for record in &records {
            let is_firm = record.pin.is_some() || !ours(&record) || policy.rules(record.reason).never_delete;
            prop_assert!(!is_firm || ids.contains(&record.id), "{} is firm", record.name);
        }
        // Every table keeps its minimum.
        for reason in REASONS {
            let rules = policy.rules(reason);
            let of_table = |record: &&BackupRecord| {
                ours(record)
                    && sound(record)
                    && record.omitted.is_empty()
                    && policy.group(record.reason) == policy.group(reason)
            };
            let there = records.iter().filter(of_table).count();
            let left = stay.iter().filter(|place| of_table(&&records[**place])).count();
            let least = rules.min_backups.unwrap_or_default() as usize;
            prop_assert!(left >= there.min(least), "{left} of {there}, at least {least}");
        }
    }

    #[test]
    fn every_moment_of_a_deletion_leaves_all_others_whole(
        steps in prop::collection::vec(step(), 0..60),
        policy in any_policy(),
    ) {
        let (records, sizes) = history(&steps);
        let choice = choose(&records, &policy, &[], Some(&sizes));
        let stay = places_that_stay(&choice).len();
        let order = choice.going;
        prop_assert_eq!(order.len() + stay, records.len());
        let mut left: BTreeSet<&BackupId> = records.iter().map(|record| &record.id).collect();
        let existing = left.clone();
        for place in order {
            left.remove(&records[place].id);
            for record in records.iter().filter(|record| left.contains(&record.id)) {
                let mut gone = needs(record).filter(|id| existing.contains(*id) && !left.contains(*id));
                prop_assert!(gone.next().is_none(), "{} lacks something", record.name);
            }
        }
    }

    #[test]
    fn a_second_prune_finds_nothing_more_to_do(
        steps in prop::collection::vec(step(), 0..60),
        policy in any_policy(),
    ) {
        let (records, sizes) = history(&steps);
        let first = stay(&records, &policy, &sizes);
        let left: Vec<BackupRecord> = first.iter().map(|place| records[*place].clone()).collect();
        let sizes = sizes.only(&first);
        let second = stay(&left, &policy, &sizes);
        prop_assert_eq!(second.len(), left.len());
    }

    #[test]
    fn every_backup_has_a_reason_to_stay_or_go(
        steps in prop::collection::vec(step(), 0..30),
        policy in any_policy(),
    ) {
        let (records, sizes) = history(&steps);
        let choice = choose(&records, &policy, &[], Some(&sizes));
        for (place, (keep, reasons)) in choice.reasons.iter().enumerate() {
            prop_assert_eq!(!keep, choice.going.contains(&place));
            prop_assert!(!reasons.is_empty());
        }
        prop_assert!(failures::judge(&records, &policy).iter().all(Option::is_none));
    }
}
