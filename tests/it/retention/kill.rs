//! Whenever `prune` is killed, all that was to stay can be restored, and so can everything that
//! is still listed; running it again finishes the work.

use super::{id, verdicts};
use crate::support::host::{Host, listing};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many moments of a run are tried.
const POINTS: u32 = 24;

/// The tree of each backup, by id.
type Trees = BTreeMap<String, String>;

/// A host with three chains of backups, of which most go, and the tree of each.
fn chains() -> (Host, Trees) {
    let host = Host::with_files();
    let mut trees = Trees::new();
    let mut middle = None;
    for (number, kind) in
        ["full", "incremental", "incremental", "differential"].repeat(3).into_iter().enumerate()
    {
        host.write(&format!("many/{number:03}"), &format!("{number} ").repeat(500));
        let record: Value = host.json(&["backup", "--kind", kind]);
        trees.insert(id(&record).to_owned(), listing(&host.live()));
        if number == 6 {
            middle = Some(record);
        }
    }
    host.run(&["keep", id(&middle.unwrap())]).ok();
    host.configure("[retention]\nkeep_last = 1\n");
    (host, trees)
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[track_caller]
fn assert_restorable(host: &Host, backup: &str, trees: &Trees) {
    let to = host.path().join("restored");
    host.run(&["restore", backup, "--to", to.to_str().unwrap()]).ok();
    assert_eq!(listing(&to.join("files/uploads")), trees[backup], "{backup}");
    std::fs::remove_dir_all(to).unwrap();
}

#[test]
fn a_prune_that_is_killed_at_any_moment_harms_no_backup() {
    let (host, trees) = chains();
    let (repository, state) = (host.path().join("repository.full"), host.path().join("state.full"));
    copy(&host.repository(), &repository);
    copy(&host.state(), &state);
    let planned = verdicts(&host.json(&["prune", "--dry-run"]));
    let stay: Vec<&str> =
        planned.iter().filter(|(_, (keep, _))| *keep).map(|(id, _)| id.as_str()).collect();
    assert!(stay.len() >= 4 && stay.len() + 5 <= planned.len(), "{planned:?}");

    let begin = Instant::now();
    host.run(&["prune", "--yes"]).ok();
    let length = begin.elapsed();

    let (mut killed, mut left_behind) = (0, [0_u32; 13]);
    for point in 0..POINTS {
        copy(&repository, &host.repository());
        copy(&state, &host.state());
        let mut command = host.command(&["prune", "--yes", "--quiet"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(length * point / POINTS + Duration::from_millis(u64::from(point % 5)));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        left_behind[host.backups_and_incoming().0] += 1;

        // Whatever is still listed is whole, with all that it needs.
        host.run(&["verify", "--all"]).ok();
        let listed = host.json(&["list"]);
        let oldest = listed.as_array().unwrap().iter().rev().find(|one| one["status"] != "failed");
        assert_restorable(&host, id(oldest.unwrap()), &trees);

        host.run(&["prune", "--yes"]).ok();
        let listed = host.json(&["list"]);
        let mut left: Vec<&str> = listed.as_array().unwrap().iter().map(id).collect();
        left.sort_unstable();
        assert_eq!(left, stay, "the next run finishes the work");
        assert_eq!(host.backups_and_incoming().0, stay.len());
        assert_eq!(std::fs::read_dir(host.repository().join("trash")).unwrap().count(), 0);
        for backup in &stay {
            assert_restorable(&host, backup, &trees);
        }
    }
    println!(
        "prune: {POINTS} kill points over {} ms, {killed} of them before its end; backups left \
         after the kill: {:?}",
        length.as_millis(),
        left_behind.iter().enumerate().filter(|(_, times)| **times > 0).collect::<Vec<_>>()
    );
    assert!(killed > POINTS / 3, "{killed}");
}
