//! Deaths during a backup.

use super::attempt::{Moment, Way, processes_with};
use super::site::Site;
use super::{Tally, moments};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::process::Output;
use std::time::{Duration, Instant};

const BACKUP: &[&str] = &["backup"];

#[test]
fn whenever_a_backup_dies_the_application_runs_and_the_next_backup_succeeds() {
    let Some(site) = Site::start("") else { return };
    let steps = site.steps(BACKUP);
    let mut tally = Tally::default();
    for (way, moment) in moments(steps.len(), &Way::SURVIVED) {
        let what = format!("{way:?} {} {moment:?}", steps[moment.step]);
        let mut attempt = site.attempt(BACKUP);
        if !attempt.wait_for(moment) {
            continue;
        }
        let (death, _, output) = attempt.end(way);
        tally.count(site.await_resumed(death, &what));
        let listed = site.list(&what);
        if way.is_graceful() {
            assert_ended_as_asked(&output, &listed[0], &what);
        }
        if moment.step + 1 == steps.len() || way == Way::Terminate {
            assert_next_succeeds(&site, &what);
        }
    }
    for (step, name) in steps.iter().enumerate() {
        let what = format!("power cut at {name}");
        let mut attempt = site.attempt(BACKUP);
        if !attempt.wait_for(if step % 2 == 0 { Moment::at(step) } else { Moment::after(step) }) {
            continue;
        }
        attempt.end(Way::PowerCut);
        // The next command, whatever it is, brings the containers back first.
        if step % 2 == 0 {
            site.result(&["recover"]);
            tally.count(Duration::ZERO);
            site.assert_all_run(&what);
            assert_eq!(incoming(&site), 0, "{what}");
            site.list(&what);
        } else {
            assert_next_succeeds(&site, &what);
            tally.count(Duration::ZERO);
            site.assert_all_run(&what);
        }
    }
    assert_next_succeeds(&site, "at last");
    site.result(&["verify", "--all"]);
    assert!(site.audit().clean());
    tally.tell("backup");
}

/// Either it was in time to end the backup, and the backup is one that failed, or the
/// backup was done.
fn assert_ended_as_asked(output: &Output, newest: &Value, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(130) => {
            assert_eq!(newest["status"], "failed", "{what}: {newest}");
            assert_eq!(newest["error"]["code"], "interrupted", "{what}: {newest}");
            let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
            assert_eq!(last["error"]["code"], "interrupted", "{what}: {said}");
        }
        Some(0) => assert_eq!(newest["status"], "completed", "{what}: {newest}"),
        _ => panic!("{what}: {}\n{said}", output.status),
    }
}

fn assert_next_succeeds(site: &Site, what: &str) {
    let backup = site.result(BACKUP);
    assert_eq!(backup["consistency"]["level"], "fenced", "{what}: {}", backup["consistency"]);
    assert_eq!(incoming(site), 0, "{what}");
    assert_eq!(site.list(what)[0]["id"], backup["id"], "{what}");
}

fn incoming(site: &Site) -> usize {
    std::fs::read_dir(site.repository().join("incoming")).map_or(0, Iterator::count)
}

#[test]
fn a_killed_backup_leaves_no_pg_dump_and_no_worker_of_one() {
    let Some(site) = Site::start("") else { return };
    site.stack.in_database(
        "psql --quiet -d shop -c 'CREATE TABLE large AS SELECT i, md5(i::text) AS text \
         FROM generate_series(1, 400000) i'",
    );
    let attempt = site.attempt(BACKUP);
    let incoming = site.repository().join("incoming").to_string_lossy().into_owned();
    let dumping = || -> Vec<_> {
        let found = processes_with(&incoming).into_iter();
        found.filter(|(_, a)| a.contains("pg_dump") && !a.contains("exec-child")).collect()
    };
    // Frozen, none of them can end by itself: neither because it is done, nor because it
    // notices that its leader is gone.
    let start = Instant::now();
    while dumping().len() < 2 {
        assert!(start.elapsed() < Duration::from_secs(60), "no worker was seen");
    }
    for (pid, _) in dumping() {
        let _ = kill_process(pid, Signal::STOP);
    }
    let (death, ..) = attempt.end(Way::Kill);
    while !dumping().is_empty() {
        assert!(death.elapsed() < Duration::from_secs(30), "left: {:?}", dumping());
        std::thread::sleep(Duration::from_millis(20));
    }
    site.await_resumed(death, "pg_dump");
    assert_next_succeeds(&site, "pg_dump");
}
