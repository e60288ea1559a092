//! Which backups stay, rule by rule. `property` has what holds of any history and any rules.

mod property;

use super::choice::{Choice, choose};
use super::footprint::Footprints;
use super::policy::Policy;
use super::prune::plan_by;
use super::unreadable::Unreadable;
use crate::catalog::{BackupRecord, LastVerification, Status, VerifyLevel};
use crate::repository::manifest::{Component, Detail, Elsewhere, FilesDetail, Kind, Reason};
use crate::repository::{BackupId, Damage, Pin};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

fn id(sequence: u64) -> BackupId {
    BackupId::try_from(format!("{sequence:032x}")).unwrap()
}

/// A scheduled backup of the tree `uploads`, which needs those in `elsewhere`.
fn backup(sequence: u64, started_at: &str, elsewhere: &[u64]) -> BackupRecord {
    let (kind, reason) = (Kind::Full, Reason::Scheduled);
    let started_at = started_at.parse().unwrap();
    let name = format!("backup_{sequence}");
    let mut record =
        BackupRecord::in_progress(id(sequence), name, "shop", kind, reason, started_at);
    record.sequence = sequence;
    record.status = Status::Completed;
    record.components = vec![tree("uploads", elsewhere)];
    record
}

fn tree(name: &str, elsewhere: &[u64]) -> Component {
    let object = format!("files/{name}.tar.zst");
    let stored = |sequence: &u64| Elsewhere { backup: id(*sequence), object: object.clone() };
    let detail = Detail::Files(FilesDetail {
        path: None,
        volume: None,
        elsewhere: elsewhere.iter().map(stored).collect(),
        object: object.clone(),
        changes_since: None,
        capture: "archive".into(),
        exclude: Vec::new(),
        unreadable: Vec::new(),
    });
    Component { name: name.into(), source_bytes: 0, stored_bytes: 0, file_count: 0, detail }
}

fn damaged(mut record: BackupRecord) -> BackupRecord {
    let at = record.started_at;
    let damages = vec![Damage::new("files/uploads.tar.zst", "is missing")];
    record.last_verification =
        Some(LastVerification { at, level: VerifyLevel::Full, sampled: None, ok: false, damages });
    record
}

/// One backup every day at noon, oldest first, from the first of November on.
fn daily(count: u64) -> Vec<BackupRecord> {
    (1..=count).map(|day| backup(day, &format!("2026-11-{day:02}T12:00:00Z"), &[])).collect()
}

#[test]
fn what_a_backup_that_cannot_be_read_may_need_stays() {
    let unreadable = |kind: &str| {
        [Unreadable { name: format!("backup_{kind}_scheduled_v2_2026-11-03_12-00-00_abcd") }]
    };
    let stays = |unreadable: &[Unreadable]| {
        let choice = choose(&daily(5), &policy(json!({"keep_last": 1})), unreadable, None);
        choice.reasons.iter().map(|(stays, _)| *stays).collect::<Vec<_>>()
    };
    assert_eq!(stays(&unreadable("incremental")), [true; 5]);
    assert_eq!(stays(&unreadable("differential")), [true; 5]);
    assert_eq!(stays(&unreadable("full")), [false, false, false, false, true]);
    let nameless = [Unreadable { name: "lost".into() }];
    assert_eq!(stays(&nameless), [true; 5]);
}

fn policy(rules: Value) -> Policy {
    Policy {
        stack: "shop".into(),
        components: vec!["uploads".into()],
        retention: serde_json::from_value(rules).unwrap(),
        guarded: "7d".parse().unwrap(),
        zone: TimeZone::UTC,
        now: "2026-12-01T00:00:00Z".parse().unwrap(),
    }
}

fn places_that_stay(choice: &Choice) -> Vec<usize> {
    let places = choice.reasons.iter().enumerate();
    places.filter(|(_, (stays, _))| *stays).map(|(place, _)| place).collect()
}

/// The sequences of those that stay, in order.
#[track_caller]
fn staying(records: &[BackupRecord], rules: Value) -> Vec<u64> {
    let choice = choose(records, &policy(rules), &[], None);
    let verdicts = records.iter().zip(choice.reasons);
    let stay = verdicts.filter(|(_, (keep, _))| *keep).map(|(record, _)| record.sequence);
    let mut stay: Vec<u64> = stay.collect();
    stay.sort_unstable();
    stay
}

/// Why the backup of this sequence stays or goes.
fn reasons(records: &[BackupRecord], rules: Value, sequence: u64) -> String {
    let place = records.iter().position(|record| record.sequence == sequence).unwrap();
    choose(records, &policy(rules), &[], None).reasons[place].1.join("; ")
}

#[test]
fn each_rule_keeps_its_own_and_says_so() {
    let history = daily(30);
    assert_eq!(staying(&history, json!({"keep_last": 2})), [29, 30]);
    assert_eq!(staying(&history, json!({"keep_daily": 3})), [28, 29, 30]);
    // The Sundays of November 2026 end its weeks.
    assert_eq!(staying(&history, json!({"keep_weekly": 3})), [22, 29, 30]);
    assert_eq!(staying(&history, json!({"keep_monthly": 3})), [30]);
    assert_eq!(staying(&history, json!({"keep_within": "2d"})), [28, 29, 30]);
    let rules = || json!({"keep_last": 1, "keep_daily": 2, "keep_weekly": 2});
    assert_eq!(staying(&history, rules()), [29, 30]);
    assert_eq!(
        reasons(&history, rules(), 30),
        "newest good; last 1; daily 2026-11-30; weekly 2026-W49"
    );
    assert_eq!(reasons(&history, rules(), 29), "daily 2026-11-29; weekly 2026-W48");
    assert_eq!(reasons(&history, rules(), 28), "no rule keeps it");
    assert_eq!(staying(&history, json!({})).len(), 30, "no rule thins anything out");
}

#[test]
fn hours_and_years_are_counted_as_days_are() {
    let at = [
        "2024-03-01T10:00:00Z",
        "2025-07-01T10:00:00Z",
        "2026-11-30T08:10:00Z",
        "2026-11-30T08:50:00Z",
        "2026-11-30T09:10:00Z",
        "2026-11-30T10:10:00Z",
    ];
    let history: Vec<BackupRecord> = (1..).zip(at).map(|(n, at)| backup(n, at, &[])).collect();
    assert_eq!(staying(&history, json!({"keep_hourly": 3})), [4, 5, 6]);
    assert_eq!(staying(&history, json!({"keep_daily": 3})), [1, 2, 6]);
    assert_eq!(staying(&history, json!({"keep_yearly": 2})), [2, 6]);
    assert_eq!(staying(&history, json!({"keep_yearly": 3})), [1, 2, 6]);
}

#[test]
fn what_a_backup_needs_stays_with_it() {
    let history = vec![
        backup(1, "2026-11-01T12:00:00Z", &[]),
        backup(2, "2026-11-02T12:00:00Z", &[1]),
        backup(3, "2026-11-03T12:00:00Z", &[2]),
        backup(4, "2026-11-04T12:00:00Z", &[2]),
        backup(5, "2026-11-05T12:00:00Z", &[]),
    ];
    let rules = || json!({"keep_last": 2});
    assert_eq!(staying(&history, rules()), [1, 2, 4, 5]);
    assert_eq!(reasons(&history, rules(), 1), "needed by backup_2");
    assert_eq!(reasons(&history, rules(), 2), "needed by backup_4");
}

#[test]
fn dependents_go_before_what_they_need() {
    let history = vec![
        backup(1, "2026-11-01T12:00:00Z", &[]),
        backup(2, "2026-11-02T12:00:00Z", &[1]),
        backup(3, "2026-11-03T12:00:00Z", &[1, 2]),
        backup(4, "2026-11-04T12:00:00Z", &[]),
    ];
    let choice = choose(&history, &policy(json!({"keep_last": 1})), &[], None);
    let order: Vec<u64> = choice.going.into_iter().map(|place| history[place].sequence).collect();
    assert_eq!(order, [3, 2, 1]);
}

#[test]
fn a_clock_that_was_set_back_costs_no_backup() {
    // The fourth to the sixth were taken after the clock had been set back by three days.
    let mut history = daily(3);
    for (sequence, day) in [(4, 1), (5, 2), (6, 3)] {
        history.push(backup(sequence, &format!("2026-11-{day:02}T13:00:00Z"), &[]));
    }
    assert_eq!(staying(&history, json!({"keep_daily": 6})), [1, 2, 3, 4, 5, 6]);
    assert_eq!(staying(&history, json!({"keep_last": 2})), [5, 6]);
    assert_eq!(staying(&history, json!({"keep_within": "1d"})), [3, 5, 6]);
}

#[test]
fn where_backups_have_stopped_age_deletes_nothing() {
    let mut rules = policy(json!({"keep_within": "10d"}));
    rules.now = "2036-01-01T00:00:00Z".parse().unwrap();
    let history = daily(5);
    assert!(choose(&history, &rules, &[], None).going.is_empty());
}

#[test]
fn one_backup_of_a_clock_that_ran_ahead_costs_no_other() {
    let mut history = daily(4);
    history.push(backup(5, "2027-11-04T12:00:00Z", &[]));
    let rules = |now: &str| {
        let mut rules = policy(json!({"keep_within": "2d"}));
        rules.now = now.parse().unwrap();
        rules
    };
    // While the clock is ahead, and once it is right again.
    let stay = [("2027-11-04T12:00:01Z", &[1, 2, 3, 4][..]), ("2026-11-05T00:00:00Z", &[2, 3, 4])];
    for (now, stay) in stay {
        let choice = choose(&history, &rules(now), &[], None);
        assert_eq!(places_that_stay(&choice), stay);
    }
    // A second one there says that the time has passed.
    history.push(backup(6, "2027-11-05T12:00:00Z", &[]));
    let choice = choose(&history, &rules("2027-11-05T12:00:01Z"), &[], None);
    assert_eq!(places_that_stay(&choice), [4, 5]);
}

#[test]
fn reasons_have_their_own_tables_and_defaults() {
    let mut history = daily(10);
    history[0].reason = Reason::Safety;
    history[1].reason = Reason::Migration;
    history[2].reason = Reason::Archive;
    history[3].reason = Reason::PreUpgrade;
    history[8].reason = Reason::Safety;
    history[9].reason = Reason::Manual;
    let rules = || json!({"keep_last": 1});
    assert_eq!(staying(&history, rules()), [2, 3, 9, 10]);
    assert_eq!(reasons(&history, rules(), 2), "never_delete (migration)");
    assert_eq!(reasons(&history, rules(), 9), "within 7d");
    let with_table = json!({"keep_last": 1, "pre-upgrade": {"keep_last": 1},
                            "migration": {"keep_last": 1}, "scheduled": {"keep_last": 2}});
    assert_eq!(staying(&history, with_table), [2, 3, 4, 7, 8, 9, 10]);
}

#[test]
fn damaged_and_partial_backups_take_no_place_from_whole_ones() {
    let mut history = daily(8);
    history[7] = damaged(history[7].clone());
    history[6].omitted = vec!["shop".into()];
    history[5] = damaged(history[5].clone());
    let rules = || json!({"keep_last": 1});
    assert_eq!(staying(&history, rules()), [5, 7, 8]);
    let partial = "newest good; last 1 of those without all of shop";
    assert_eq!(reasons(&history, rules(), 7), partial);
    assert_eq!(reasons(&history, rules(), 5), "newest good that is whole; last 1");
    assert_eq!(reasons(&history, rules(), 8), "last 1 of the damaged");
    // One that could not read all of a tree is as good as one that leaves it out.
    let (mut component, mut unread) = (tree("uploads", &[]), daily(4));
    if let Detail::Files(files) = &mut component.detail {
        files.unreadable.push("secret".into());
    }
    unread[3].components = vec![component];
    assert_eq!(staying(&unread, rules()), [3, 4]);
    assert_eq!(reasons(&unread, rules(), 3), "newest good that is whole; last 1");
    // Were all called damaged, by a disk that is gone, as many would stay.
    let all: Vec<BackupRecord> = daily(8).into_iter().map(damaged).collect();
    assert_eq!(staying(&all, json!({"keep_daily": 3})), [6, 7, 8]);
    assert_eq!(
        reasons(&all, json!({"keep_daily": 1}), 8),
        "newest, and none is good; daily 2026-11-08 of the damaged"
    );
}

#[test]
fn backups_of_one_instant_count_once_and_the_full_one_stays() {
    let mut history = daily(4);
    history[2].kind = Kind::Incremental;
    let mut consolidated = history[2].clone();
    (consolidated.id, consolidated.kind) = (id(9), Kind::Full);
    history.push(consolidated);
    let stay = |history: &[BackupRecord], rules: Value| {
        let choice = choose(history, &policy(rules), &[], None);
        places_that_stay(&choice)
    };
    for rules in [json!({"keep_last": 3}), json!({"keep_daily": 3}), json!({"keep_within": "2d"})] {
        assert_eq!(stay(&history, rules), [1, 3, 4]);
    }
    assert_eq!(stay(&history, json!({"keep_last": 1, "min_backups": 2})), [3, 4]);
    assert_eq!(stay(&history, json!({"min_backups": 1})), [0, 1, 2, 3, 4]);
    let choice = choose(&history, &policy(json!({"keep_last": 3})), &[], None);
    assert_eq!(choice.reasons[2].1, ["backup_3 holds the same"]);
    history[4] = damaged(history[4].clone());
    assert_eq!(stay(&history, json!({"keep_last": 3})), [1, 2, 3, 4]);
}

#[test]
fn two_of_one_instant_are_one_of_min_backups_also_over_the_limit() {
    let mut history = daily(3);
    history[2].kind = Kind::Incremental;
    history[2].components = vec![tree("uploads", &[2])];
    history[2].pin = Some(Pin { at: None, host: None, reason: None, brought: false });
    let mut consolidated = history[2].clone();
    (consolidated.id, consolidated.kind, consolidated.pin) = (id(9), Kind::Full, None);
    consolidated.components = vec![tree("uploads", &[])];
    history.push(consolidated);
    let sizes = Footprints::of(&[10, 10, 10, 10], &[]);
    let rules =
        |least: u64| policy(json!({"keep_last": 1, "min_backups": least, "max_total_size": "1"}));
    let stay = |least| places_that_stay(&choose(&history, &rules(least), &[], Some(&sizes)));
    assert_eq!(stay(3), [0, 1, 2, 3], "three instants");
    assert_eq!(stay(2), [1, 2, 3]);
}

#[test]
fn what_needs_a_damaged_backup_is_not_the_last_good_one() {
    let history = vec![
        backup(1, "2026-11-01T12:00:00Z", &[]),
        damaged(backup(2, "2026-11-02T12:00:00Z", &[])),
        backup(3, "2026-11-03T12:00:00Z", &[2]),
    ];
    let rules = || json!({"keep_last": 1});
    assert_eq!(reasons(&history, rules(), 1), "newest good; last 1");
    assert_eq!(reasons(&history, rules(), 2), "needed by backup_3");
    // One of what is damaged stays too: parts of it may be all there is of its time.
    assert_eq!(reasons(&history, rules(), 3), "last 1 of the damaged");
}

#[test]
fn the_last_backup_that_holds_a_component_stays() {
    let mut history = daily(6);
    let mut rules = policy(json!({"keep_last": 1}));
    rules.components.push("mail".into());
    history[1].components.push(tree("mail", &[]));
    let choice = choose(&history, &rules, &[], None);
    assert_eq!(choice.reasons[1].1, ["newest good that holds mail"]);
    assert_eq!(choice.going.len(), 4);
}

#[test]
fn what_is_kept_by_hand_or_of_another_stack_stays() {
    let mut history = daily(6);
    history[0].pin =
        Some(Pin { at: None, host: None, reason: Some("audit".into()), brought: false });
    history[1].stack = "mail".into();
    let rules = || json!({"keep_last": 1});
    assert_eq!(staying(&history, rules()), [1, 2, 6]);
    assert_eq!(reasons(&history, rules(), 1), "kept by hand: audit");
    assert_eq!(reasons(&history, rules(), 2), "of another stack, mail");
}

#[test]
fn at_least_min_backups_stay() {
    let history = daily(6);
    let rules = || json!({"keep_monthly": 1, "min_backups": 3});
    assert_eq!(staying(&history, rules()), [4, 5, 6]);
    assert_eq!(reasons(&history, rules(), 4), "min_backups 3");
}

#[test]
fn over_the_limit_the_oldest_go_first_but_nothing_that_is_needed() {
    let history = vec![
        backup(1, "2026-11-01T12:00:00Z", &[]),
        backup(2, "2026-11-02T12:00:00Z", &[1]),
        backup(3, "2026-11-03T12:00:00Z", &[1]),
        backup(4, "2026-11-04T12:00:00Z", &[]),
        backup(5, "2026-11-05T12:00:00Z", &[4]),
    ];
    // The last two share a file of 20 bytes.
    let sizes = Footprints::of(&[50, 10, 10, 50, 10], &[(20, vec![3, 4])]);
    let left = |limit: u64, more: Value| {
        let mut rules = json!({"max_total_size": limit.to_string()});
        rules.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let choice = choose(&history, &policy(rules), &[], Some(&sizes));
        let stay: Vec<usize> = places_that_stay(&choice).into_iter().map(|p| p + 1).collect();
        (stay, choice.notes)
    };
    let none = || json!({});
    assert_eq!(left(150, none()), (vec![1, 2, 3, 4, 5], vec![]));
    assert_eq!(left(149, none()), (vec![1, 3, 4, 5], vec![]));
    assert_eq!(left(139, none()), (vec![1, 4, 5], vec![]));
    assert_eq!(left(129, none()), (vec![4, 5], vec![]));
    assert_eq!(left(139, json!({"min_backups": 4})).0, [1, 3, 4, 5]);
    let (stay, notes) = left(79, none());
    assert_eq!(stay, [4, 5], "the newest good one stays, and what it needs");
    assert_eq!(notes, ["what has to stay takes 80 B, more than max_total_size 79"]);
}

#[test]
fn a_limit_of_one_reason_concerns_its_backups_alone() {
    let mut history = daily(4);
    history[0].reason = Reason::Manual;
    let sizes = Footprints::of(&[10, 10, 10, 10], &[]);
    let policy = policy(json!({"scheduled": {"max_total_size": "20"}}));
    let choice = choose(&history, &policy, &[], Some(&sizes));
    assert_eq!(choice.going, [1]);
    assert_eq!(choice.reasons[1].1, ["over max_total_size 20"]);
}

#[test]
fn what_was_not_asked_about_stays_with_what_it_needs() {
    let history = vec![
        backup(1, "2026-11-01T12:00:00Z", &[]),
        backup(2, "2026-11-02T12:00:00Z", &[]),
        backup(3, "2026-11-03T12:00:00Z", &[1]),
        backup(4, "2026-11-04T12:00:00Z", &[]),
    ];
    let rules = policy(json!({"keep_last": 1}));
    let going = |asked: &[u64]| {
        let mut plan = plan_by(&rules, &history, &[]).unwrap();
        plan.restrict(&|record| asked.contains(&record.sequence));
        let stay = plan.verdicts.iter().filter(|verdict| verdict.keep).count();
        assert_eq!(stay + plan.going.len(), 4);
        plan.going.iter().map(|record| record.sequence).collect::<Vec<u64>>()
    };
    assert_eq!(going(&[1, 2, 3]), [3, 2, 1]);
    assert_eq!(going(&[1, 2]), [2]);
    assert_eq!(going(&[]), [0; 0]);
}
