//! The runner is killed in the middle of what recovers, and resumed: every effect is there once.

use super::{CONTENT, Place, runbook};
use crate::runbook::crash::attempt;
use crate::support::cluster::Cluster;
use backstop::runbook::{Ended, Outcome};
use serde_json::Value;
use std::fs;
use std::time::Duration;

/// Kills the runner at the points that `wanted` picks, resumes, and compares what is left.
fn kill_in_the_middle(
    steps: &str,
    harm: &str,
    look: fn(&Place) -> String,
    wanted: fn(&str) -> bool,
) {
    kill_until(Ended::Succeeded, steps, harm, look, wanted);
}

/// The same for a run that comes to this end.
fn kill_until(
    end: Ended,
    steps: &str,
    harm: &str,
    look: fn(&Place) -> String,
    wanted: fn(&str) -> bool,
) {
    let prepared = || {
        let place = Place::backed_up();
        fs::remove_dir_all(place.bench.state_dir().join("runs")).unwrap();
        place.sql(harm);
        fs::write(place.file("kept"), "changed").unwrap();
        fs::write(place.bench.dir.join("runbook.yaml"), runbook(steps)).unwrap();
        place
    };
    let ended = format!("{:?}", Outcome::Ended(end));
    let outcome = |place: &Place| fs::read_to_string(place.bench.dir.join("outcome")).unwrap();
    let reference = prepared();
    assert!(attempt(&reference.bench, None, 0));
    assert_eq!(outcome(&reference), ended, "{:#?}", reference.bench.view("latest"));
    let expected = look(&reference);
    let trace = fs::read_to_string(reference.bench.dir.join("points")).unwrap();
    let mut tried = 0;
    for (number, point) in trace.lines().enumerate().filter(|(_, point)| wanted(point)) {
        let place = prepared();
        assert!(!attempt(&place.bench, Some(number + 1), 0), "{point}");
        assert!(attempt(&place.bench, None, 0));
        assert_eq!(outcome(&place), ended, "{point}: {:#?}", place.bench.view("latest"));
        assert_eq!(look(&place), expected, "killed at {point}");
        tried += 1;
    }
    println!("{tried} kill points");
    assert!(tried > 3, "{trace}");
}

/// What kind of database a name is that of.
fn shape(name: &str) -> &'static str {
    ["_before_", "_restore_"].into_iter().find(|kind| name.contains(kind)).unwrap_or_default()
}

/// Everything that a run may leave behind, without what differs from run to run.
fn left(place: &Place) -> String {
    let run = place.bench.view("latest").id;
    let key = |backup: &Value| {
        backup["labels"]["runbook"].as_str().is_some_and(|it| it.starts_with(&run))
    };
    let backups: Vec<Value> = fs::read_dir(place.bench.dir.join("repository/backups"))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path().join("manifest.json")).unwrap())
        .map(|text| serde_json::from_slice(&text).unwrap())
        .filter(key)
        .collect();
    // Their keys differ from run to run.
    let kept = |name: String| match shape(&name) {
        "" => name,
        kind => name.split(kind).next().unwrap_or_default().to_owned() + kind,
    };
    let databases: Vec<String> = place.databases().into_iter().map(kept).collect();
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{0}' OR starts_with(datname, '{0}_')",
        place.database.name()
    );
    // A session takes a moment to end after its client.
    let ended = || Cluster::shared().psql("postgres", &sessions) == "0";
    let gone = (0..200).any(|_| {
        ended() || {
            std::thread::sleep(Duration::from_millis(50));
            false
        }
    });
    format!(
        "{} {databases:?} {:?} {} backups, sessions ended: {gone}, kept: {}",
        place.sql(CONTENT),
        place.beside(),
        backups.len(),
        fs::read_to_string(place.file("kept")).unwrap(),
    )
}

const LOSS: &str = "DELETE FROM item WHERE id <= 20; \
                    INSERT INTO item (id, customer, name) VALUES (500, 1, 'new')";

#[test]
fn a_database_comes_back_once_wherever_the_runner_is_killed() {
    kill_in_the_middle(
        "- {id: chosen, action: backup.select}\n\
         - {id: saved, action: backup.create, with: {reason: safety}}\n\
         - {id: data, action: database.restore, with: {database: shop, backup: '{{ steps.chosen.id }}'}}\n\
         - {id: swap, action: database.swap, with: {restore: '{{ steps.data.restore }}'}}\n",
        LOSS,
        left,
        |point| point.starts_with("MidEffect") || point.starts_with("AfterEffect"),
    );
}

#[test]
fn files_come_back_once_wherever_the_runner_is_killed() {
    kill_in_the_middle(
        "- {id: away, action: files.quarantine, with: {files: files, paths: [below]}}\n\
         - {id: files, action: files.restore, with: {files: files, backup: latest}}\n\
         - {id: swap, action: files.swap, with: {restore: '{{ steps.files.restore }}'}}\n",
        LOSS,
        left,
        |point| point.starts_with("MidEffect") || point.starts_with("AfterEffect"),
    );
}

#[test]
fn rows_come_back_once_wherever_the_runner_is_killed() {
    kill_in_the_middle(
        "- {id: data, action: database.restore, with: {database: shop, backup: latest}}\n\
         - {id: copied, action: database.copy_rows, with: {database: shop, restore: '{{ steps.data.restore }}', tables: [{table: item}]}}\n\
         - {id: gone, action: database.drop_scratch, with: {restore: '{{ steps.data.restore }}'}}\n",
        LOSS,
        left,
        |point| {
            let late = point.contains("copied") || point.contains("gone");
            late && (point.starts_with("MidEffect") || point.starts_with("After"))
        },
    );
}

#[test]
fn a_dump_and_a_new_database_are_made_once_wherever_the_runner_is_killed() {
    kill_in_the_middle(
        "- {id: dump, action: database.dump, with: {database: shop, to: EFFECTS/evidence.dump}}\n\
         - {id: new, action: database.create, with: {database: shop, dbname: 'recovery_made_{{ steps.dump.bytes * 0 }}'}}\n\
         - {id: gone, action: database.drop_scratch, with: {database: shop, dbname: '{{ steps.new.dbname }}'}}\n",
        LOSS,
        |place| {
            format!("{} {}", left(place), place.bench.effects().join("evidence.dump").is_file())
        },
        |point| point.starts_with("After"),
    );
}

#[test]
fn lost_files_come_back_once_wherever_the_runner_is_killed() {
    kill_in_the_middle(
        "- {id: away, action: files.quarantine, with: {files: files, paths: [below]}}\n\
         - {id: built, action: files.restore, with: {files: files, backup: latest}}\n\
         - {id: back, action: files.copy_missing, with: {files: files, restore: '{{ steps.built.restore }}'}}\n\
         - {id: gone, action: database.drop_scratch, with: {restore: '{{ steps.built.restore }}'}}\n",
        LOSS,
        |place| format!("{} {:?}", left(place), fs::read_to_string(place.file("below/lost"))),
        |point| {
            point.starts_with("After") && (point.contains("back") || point.contains("gone"))
                || point.starts_with("MidEffect")
        },
    );
}

#[test]
fn a_rollback_leads_back_wherever_the_runner_is_killed() {
    kill_until(
        Ended::Failed,
        "- {id: new, action: database.create, with: {database: shop, dbname: 'recovery_undone_{{ run.id }}'}}\n\
         - {id: data, action: database.restore, with: {database: shop, backup: latest}}\n\
         - {id: copied, action: database.copy_rows, with: {database: shop, restore: '{{ steps.data.restore }}'}}\n\
         - {id: swap, action: database.swap, with: {restore: '{{ steps.data.restore }}'}}\n\
         - {id: bad, action: shell, idempotent: true, with: {script: exit 1}, on_failure: rollback}\n",
        LOSS,
        |place| {
            let run = place.bench.view("latest").id;
            let made =
                format!("SELECT count(*) FROM pg_database WHERE datname = 'recovery_undone_{run}'");
            format!("{} {}", left(place), Cluster::shared().psql("postgres", &made))
        },
        |point| {
            let undone = point.contains(".compensate") && point.starts_with("After");
            undone || (point.starts_with("MidEffect") && point.contains("compensate"))
        },
    );
}

#[test]
fn a_step_that_began_with_the_latest_backup_goes_on_with_that_one() {
    for steps in [
        "- {id: data, action: database.restore, with: {database: shop, backup: latest}}\n",
        "- {id: data, action: files.restore, with: {files: files, backup: latest}}\n",
    ] {
        let prepared = || {
            let place = Place::backed_up();
            fs::remove_dir_all(place.bench.state_dir().join("runs")).unwrap();
            fs::write(place.bench.dir.join("runbook.yaml"), runbook(steps)).unwrap();
            place
        };
        let reference = prepared();
        assert!(attempt(&reference.bench, None, 0));
        let trace = fs::read_to_string(reference.bench.dir.join("points")).unwrap();
        let points = trace.lines().enumerate().filter(|(_, point)| *point == "MidEffect data");
        let mut tried = 0;
        for (number, _) in points {
            let place = prepared();
            let before = backups(&place);
            assert_eq!(before.len(), 1);
            assert!(!attempt(&place.bench, Some(number + 1), 0));
            let config = place.bench.config();
            let mut newer = std::process::Command::new(crate::runbook::bench::BACKSTOP);
            let newer = newer.args(["backup", "--config", config.to_str().unwrap()]).output();
            assert!(newer.as_ref().unwrap().status.success(), "{newer:?}");
            assert_eq!(backups(&place).len(), 2);
            assert!(attempt(&place.bench, None, 0));
            let view = place.bench.view("latest");
            assert_eq!(view.steps[0].attempts, 2, "{view:#?}");
            let outputs = place.outputs("latest");
            assert_eq!(outputs["data"]["backup"], before[0], "killed at point {number} of {trace}");
            tried += 1;
        }
        assert!(tried > 0, "{trace}");
    }
}

/// The ids of the backups in the repository.
fn backups(place: &Place) -> Vec<Value> {
    let entries = fs::read_dir(place.bench.dir.join("repository/backups")).unwrap();
    let manifests = entries.map(|entry| fs::read(entry.unwrap().path().join("manifest.json")));
    let read = |text: Vec<u8>| serde_json::from_slice::<Value>(&text).unwrap()["id"].clone();
    manifests.map(|text| read(text.unwrap())).collect()
}
