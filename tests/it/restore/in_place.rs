//! The live restore, and the way back from it.

use crate::support::cluster::{Cluster, PASSWORD, bin_dir};
use crate::support::host::{Host, listing};
use std::fs;
use std::io::Write;
use std::process::Stdio;

const COUNT: &str = "SELECT count(*) FROM item";

#[test]
fn what_was_changed_comes_back_is_kept_and_can_be_rolled_back() {
    let host = Host::with_database();
    let record = host.back_up();
    let original = listing(&host.live());
    host.write("later.txt", "written after the backup");
    fs::remove_file(host.live().join("one.txt")).unwrap();
    host.database().sql("DELETE FROM item WHERE id > 10");
    let changed = listing(&host.live());

    let restored = host.json(&["restore", "latest", "--yes"]);
    assert_eq!(restored["backup"], record["id"]);
    assert_eq!(listing(&host.live()), original);
    assert_eq!(host.database().sql(COUNT), "1000");
    let key = restored["key"].as_str().unwrap();
    for place in restored["places"].as_array().unwrap() {
        assert!(place["kept"].as_str().unwrap().contains(key), "{place}");
    }

    // The safety backup holds what was replaced.
    let listed = host.json(&["list"]);
    assert_eq!(listed[0]["id"], restored["safety_backup"]);
    assert_eq!(
        (&listed[0]["reason"], &listed[0]["labels"]["restore"]),
        (&"safety".into(), &key.into())
    );
    let to = host.path().join("safety");
    let safety = listed[0]["id"].as_str().unwrap();
    host.run(&["restore", safety, "--to", to.to_str().unwrap()]).ok();
    assert_eq!(listing(&to.join("files/uploads")), changed);

    let restores = host.json(&["rollback", "--list"]);
    assert_eq!((&restores[0]["key"], &restores[0]["stage"]), (&key.into(), &"swapped".into()));
    let listed = host.run(&["rollback", "--list"]).ok().stdout;
    assert!(listed.contains(key), "{listed}");
    let kept = restores[0]["kept"].as_array().unwrap();
    assert_eq!(kept.len(), 2, "{restores}");
    for part in kept {
        assert!(part["bytes"].as_u64().unwrap() > 20_000, "{part}");
        assert!(listed.contains(part["place"].as_str().unwrap()), "{listed}");
    }
    host.run(&["rollback", "--dry-run"]).ok();
    host.run(&["rollback", "--yes"]).ok();
    assert_eq!(listing(&host.live()), changed);
    assert_eq!(host.database().sql(COUNT), "10");
    host.run(&["rollback", "--yes"]).failed(5, "nothing_to_roll_back");
    let kept = host.json(&["rollback", "--list"])[0]["kept"].clone();
    assert!(kept[0]["bytes"].as_u64().unwrap() > 0, "what the restore had brought: {kept}");

    host.run(&["rollback", key, "--purge", "--yes"]).ok();
    assert_eq!(fs::read_dir(host.live().parent().unwrap()).unwrap().count(), 1, "nothing is kept");
    let state = host.live_state();
    assert!(!state.contains(key), "{state}");
    let restores = host.json(&["rollback", "--list"]);
    assert_eq!(
        (&restores[0]["stage"], &restores[0]["kept"]),
        (&"purged".into(), &serde_json::json!([]))
    );
    host.run(&["rollback", key, "--purge", "--yes"]).failed(5, "nothing_to_roll_back");
}

#[test]
fn what_was_destroyed_comes_back() {
    let host = Host::with_database();
    let listed = host.run(&["rollback", "--list"]).ok().stdout;
    assert_eq!(listed.lines().count(), 1, "no header over nothing: {listed}");
    host.back_up();
    let original = listing(&host.live());
    fs::remove_dir_all(host.live()).unwrap();
    let name = host.database().name();
    Cluster::shared().psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
    let restored = host.json(&["restore", "latest", "--yes"]);
    assert!(restored["safety_backup"].is_null(), "there was nothing to save: {restored}");
    assert_eq!(listing(&host.live()), original);
    assert_eq!(host.database().sql(COUNT), "1000");
}

#[test]
fn one_component_comes_back_and_the_other_stays() {
    let host = Host::with_database();
    host.back_up();
    host.database().sql("DELETE FROM item WHERE id > 10");
    host.write("one.txt", "changed");
    host.run(&["restore", "latest", "--only", "uploads", "--yes", "--no-safety"]).ok();
    assert_eq!(fs::read_to_string(host.live().join("one.txt")).unwrap(), "one");
    assert_eq!(host.database().sql(COUNT), "10");
    assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 1, "--no-safety took none");
    host.write("one.txt", "changed again");
    host.run(&["restore", "latest", "--only", "databases", "--yes", "--no-safety"]).ok();
    assert_eq!(fs::read_to_string(host.live().join("one.txt")).unwrap(), "changed again");
    assert_eq!(host.database().sql(COUNT), "1000");
    for restore in host.json(&["rollback", "--list"]).as_array().unwrap() {
        host.run(&["rollback", restore["key"].as_str().unwrap(), "--purge", "--yes"]).ok();
    }
}

#[test]
fn sessions_that_are_in_the_way_are_ended() {
    let host = Host::with_database();
    host.back_up();
    host.database().sql("DELETE FROM item");
    let mut session = std::process::Command::new(bin_dir().join("psql"))
        .args(["--no-psqlrc", "--quiet", &host.url("postgres", host.database().name())])
        .env("PGPASSWORD", PASSWORD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut typed = session.stdin.take().unwrap();
    writeln!(typed, "BEGIN; LOCK item;\n\\echo here").unwrap();
    let mut answer = [0; 5];
    std::io::Read::read_exact(session.stdout.as_mut().unwrap(), &mut answer).unwrap();
    // A safety backup would wait for the lock that the session holds.
    let restored = host.json(&["restore", "latest", "--yes", "--no-safety"]);
    assert_eq!(host.database().sql(COUNT), "1000");
    drop(typed);
    session.wait().unwrap();
    let key = restored["key"].as_str().unwrap();
    host.run(&["rollback", key, "--purge", "--yes"]).ok();
}

#[test]
fn whoever_waits_for_the_lock_can_be_interrupted() {
    use backstop::repository::{LockMode, Repository};
    use rustix::process::{Pid, Signal, kill_process};
    let host = Host::with_files();
    host.back_up();
    let repository = Repository::open(&host.repository()).unwrap();
    let held = repository.lock(LockMode::Exclusive, std::time::Duration::ZERO).unwrap();
    for arguments in
        [&["verify", "--lock-wait", "1h"][..], &["verify", "--all", "--lock-wait", "1h"]]
    {
        let mut command = host.command(arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // Bit 1 of the caught signals is SIGINT: from then on it ends as it should.
        let status = format!("/proc/{}/status", child.id());
        let catches = || {
            let status = fs::read_to_string(&status).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(mask.trim(), 16).unwrap() & 0b10 != 0
        };
        while !catches() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{arguments:?}: {said}");
    }
    drop(held);
}

#[test]
fn a_restore_waits_for_the_lock_and_says_who_holds_it() {
    use backstop::repository::{LockMode, Repository};
    let host = Host::with_files();
    host.back_up();
    let repository = Repository::open(&host.repository()).unwrap();
    let held = repository.lock(LockMode::Exclusive, std::time::Duration::ZERO).unwrap();
    let before = host.live_state();
    host.run(&["restore", "latest", "--yes"]).failed(4, "locked");
    drop(held);
    assert_eq!(host.live_state(), before);
}
