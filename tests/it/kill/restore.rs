//! Deaths during a restore and a rollback, and a restore that makes the application sick.

use super::attempt::{Moment, Way};
use super::site::Site;
use super::{Tally, moments};
use serde_json::Value;
use std::process::Output;
use std::time::Duration;

const ROLLBACK: &[&str] = &["rollback", "--yes"];

/// A site with one backup, and the number of uploads in it.
struct Backed {
    site: Site,
    id: String,
    rows: u64,
}

impl Backed {
    fn up(more: &str) -> Option<Self> {
        let site = Site::start(more)?;
        let rows = site.audit().rows;
        let id = site.result(&["backup"])["id"].as_str().unwrap().to_string();
        Some(Self { site, id, rows })
    }

    fn restoring(&self) -> [&str; 4] {
        ["restore", &self.id, "--yes", "--no-safety"]
    }

    /// Makes the live state another one than that of the backup; its number of uploads.
    fn differ(&self) -> u64 {
        let live = self.site.audit().rows;
        if live != self.rows {
            return live;
        }
        self.site.upload(3);
        self.rows + 3
    }

    /// Files and database belong together, and are one of both states.
    fn assert_whole(&self, states: [u64; 2], what: &str) -> u64 {
        let audit = self.site.audit();
        assert!(audit.clean(), "{what}: {audit:?}");
        assert!(states.contains(&audit.rows), "{what}: {audit:?}, not {states:?}");
        audit.rows
    }

    /// After `recover`, only what ended restores keep is left, and that can be purged.
    fn assert_nothing_left(&self, what: &str) {
        self.site.result(&["recover"]);
        let records = self.site.result(&["rollback", "--list"]);
        for record in records.as_array().unwrap() {
            let stage = record["stage"].as_str().unwrap();
            let key = record["key"].as_str().unwrap();
            match stage {
                "swapped" | "rolled_back" => {
                    self.site.result(&["rollback", "--purge", key, "--yes"]);
                }
                "abandoned" | "purged" => {}
                _ => panic!("{what}: {record}"),
            }
        }
        assert_eq!(self.site.leftovers(), [""; 0], "{what}");
    }

    fn restore(&self, what: &str) {
        self.site.result(&self.restoring());
        assert_eq!(self.site.audit().rows, self.rows, "{what}");
    }

    /// Lets `arguments` die at every step in every way.
    fn kill(&self, arguments: &[&str], tally: &mut Tally, prepare: impl Fn() -> [u64; 2]) {
        prepare();
        let steps = self.site.steps(arguments);
        let all = [&Way::SURVIVED[..], &[Way::PowerCut]].concat();
        for (way, moment) in moments(steps.len(), &all) {
            let states = prepare();
            let what = format!("{} {way:?} {} {moment:?}", arguments[0], steps[moment.step]);
            let mut attempt = self.site.attempt(arguments);
            if !attempt.wait_for(moment) {
                continue;
            }
            let (death, _, output) = attempt.end(way);
            if way == Way::PowerCut {
                self.site.result(&["recover"]);
                self.site.assert_all_run(&what);
                tally.count(Duration::ZERO);
            } else {
                tally.count(self.site.await_resumed(death, &what));
            }
            let rows = self.assert_whole(states, &what);
            if way.is_graceful() {
                assert_ended_as_asked(&output, &what);
            }
            // Nothing is swapped before anything is stopped.
            if arguments[0] == "restore" && ["verify", "build"].contains(&&*steps[moment.step]) {
                let early = moment.later.is_zero();
                assert!(!early || rows == states[1], "{what}: {rows}");
            }
            self.assert_nothing_left(&what);
        }
    }
}

fn assert_ended_as_asked(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(130) => {
            let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
            assert_eq!(last["error"]["code"], "interrupted", "{what}: {said}");
        }
        Some(0) => {}
        _ => panic!("{what}: {}\n{said}", output.status),
    }
}

#[test]
fn whenever_a_restore_dies_the_application_runs_on_one_whole_state() {
    let Some(backed) = Backed::up("") else { return };
    let mut tally = Tally::default();
    let restoring = backed.restoring();
    backed.kill(&restoring, &mut tally, || [backed.rows, backed.differ()]);
    backed.differ();
    backed.restore("at last");

    // The safety backup is a backup as any other, inside a restore.
    for way in [Way::Kill, Way::Interrupt] {
        let live = backed.differ();
        let mut attempt = backed.site.attempt(&["restore", &backed.id, "--yes"]);
        assert!(attempt.wait_for(Moment::after(4)));
        let (death, steps, output) = attempt.end(way);
        let what = format!("{way:?} in the safety backup after {steps:?}");
        tally.count(backed.site.await_resumed(death, &what));
        backed.assert_whole([backed.rows, live], &what);
        backed.site.list(&what);
        if way.is_graceful() {
            assert_ended_as_asked(&output, &what);
        }
        backed.assert_nothing_left(&what);
    }
    tally.tell("restore");
}

#[test]
fn whenever_a_rollback_dies_the_application_runs_on_one_whole_state() {
    let Some(backed) = Backed::up("") else { return };
    let mut tally = Tally::default();
    backed.kill(ROLLBACK, &mut tally, || {
        let live = backed.differ();
        backed.restore("before a rollback");
        [backed.rows, live]
    });
    tally.tell("rollback");
}

#[test]
fn a_restore_after_which_the_application_is_sick_is_swapped_back() {
    let Some(backed) = Backed::up("health_timeout = \"15s\"\n") else { return };
    let (site, psql) = (&backed.site, "psql --quiet -d shop -c");
    // The application's health check reads the table: as this view it fails.
    let sick = "ALTER TABLE uploads RENAME TO aside; \
                CREATE VIEW uploads AS SELECT name FROM aside WHERE 1 / (random()::int * 0) = 1";
    let sound = "DROP VIEW uploads; ALTER TABLE aside RENAME TO uploads";
    site.stack.in_database(&format!("{psql} '{sick}'"));
    let app = site.stack.container("app");
    let health = || {
        crate::support::stack::docker(&["inspect", "--format", "{{.State.Health.Status}}", &app])
    };
    site.stack.wait_until("Docker knows", || health() == "unhealthy");

    // A backup does not wait for a health that was not there before.
    let sick_backup = site.result(&["backup", "--reason", "safety"]);
    let warnings = sick_backup["warnings"].to_string();
    assert!(!warnings.contains("unhealthy"), "{warnings}");

    site.stack.in_database(&format!("{psql} '{sound}'"));
    site.stack.wait_until("it is sound again", || health() == "healthy");
    let live = backed.differ();
    let id = sick_backup["id"].as_str().unwrap();
    let output = site.output(&["restore", id, "--yes", "--no-safety"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "restore_failed", "{said}");
    site.assert_all_run("swapped back");
    assert_eq!(backed.assert_whole([live, live], "swapped back"), live);
    site.stack.wait_until("it is healthy", || health() == "healthy");
    backed.assert_nothing_left("swapped back");
    backed.restore("after a sick one");
}
