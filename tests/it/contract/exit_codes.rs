//! Every exit code, as the help names them.

use crate::support::host::{Host, Ran};
use backstop::repository::{LockMode, Repository};
use std::process::Stdio;
use std::time::Duration;

#[test]
fn done_is_0_and_failed_is_1() {
    let host = Host::with_files();
    host.run(&["backup"]).ok();
    std::fs::remove_dir_all(host.live()).unwrap();
    host.run(&["backup"]).failed(1, "io");
}

#[test]
fn usage_and_config_are_2() {
    let host = Host::with_files();
    host.run(&["backup", "--no-such-flag"]).ended(2);
    host.run(&["no-such-command"]).ended(2);
    host.run(&["--config", "/does/not/exist.toml", "list"]).failed(2, "config_not_found");
    // For programs the same, as the one object of every failure.
    for arguments in
        [&["backup", "--no-such-flag", "--json"][..], &["--json", "no-such-command"], &["--json"]]
    {
        let ran = host.run(arguments).ended(2);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!(error["error"]["code"], "usage", "{arguments:?}");
        assert!(error["error"]["hint"].as_str().unwrap().contains("backstop help"), "{error}");
    }
    let ran = host.run(&["--quiet"]).failed(2, "usage");
    assert!(!ran.stderr.contains("guardian"), "{ran:?}");
    assert_eq!(host.run(&["--help", "--json"]).ok().stderr, "");
    host.configure("[backups]\nat = 3\n");
    let ran = host.run(&["list"]).failed(2, "config_invalid");
    assert!(ran.stderr.contains("backstop.toml") && ran.stderr.contains("backups"), "{ran:?}");
}

#[test]
fn less_than_asked_is_3_and_the_backup_is_kept() {
    let host = Host::with_database();
    // No container that writes is held, so it is a snapshot only.
    let ran = host.run(&["backup", "--require-consistency", "fenced"]).failed(3, "degraded");
    assert!(ran.stderr.contains("snapshot"), "{ran:?}");
    assert_eq!(host.json(&["show", "latest"])["status"], "completed");
    host.run(&["verify"]).ok();
    host.run(&["backup", "--require-consistency", "snapshot"]).ok();
    host.run(&["backup", "--only", "databases", "--require-consistency", "fenced"]).ok();
}

#[test]
fn a_held_lock_is_4_and_waiting_for_it_is_0() {
    let host = Host::with_files();
    host.run(&["backup"]).ok();
    let repository = Repository::open(&host.repository()).unwrap();
    let held = repository.lock(LockMode::Exclusive, Duration::ZERO).unwrap();
    let refused = host.run(&["backup", "--reason", "scheduled"]).failed(4, "locked");
    assert!(refused.stderr.contains(&std::process::id().to_string()), "it names who: {refused:?}");
    let listed = host.json(&["list"]);
    assert_eq!(
        (&listed[0]["status"], &listed[0]["error"]["code"]),
        (&"failed".into(), &"locked".into())
    );

    let mut waiting = host.command(&["backup", "--lock-wait", "60s"]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(held);
    Ran::of(&waiting.wait_with_output().unwrap()).ok();
}

#[test]
fn not_found_is_5() {
    let host = Host::with_files();
    host.run(&["verify"]).ended(5);
    host.run(&["backup"]).ok();
    for arguments in [&["show", "zz"][..], &["verify", "zz"], &["restore", "zz", "--yes"]] {
        host.run(arguments).failed(5, "backup_not_found");
    }
    host.run(&["delete", "zz", "--yes"]).failed(5, "backup_not_found");
    host.run(&["rollback", "--yes"]).failed(5, "nothing_to_roll_back");
    host.run(&["restore", "latest", "--only", "zz", "--yes"]).failed(5, "component_not_found");
}

#[test]
fn failed_verification_is_6() {
    let host = Host::with_files();
    let record = host.back_up();
    std::fs::remove_file(host.backup_dir(&record).join("files/uploads.tar.zst")).unwrap();
    let ran = host.run(&["verify"]).ended(6);
    assert!(ran.stdout.contains("files/uploads.tar.zst is missing"), "{ran:?}");
    host.run(&["restore", "latest", "--yes"]).failed(6, "backup_damaged");
}

#[test]
fn interrupted_is_130_and_leaves_nothing_but_a_failed_row() {
    let host = Host::with_files();
    host.run(&["backup"]).ok();
    // What does not compress takes the longest.
    let mut noise = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.to_be_bytes()
    })
    .flatten()
    .take(96 << 20)
    .collect();
    std::fs::write(host.live().join("big"), noise).unwrap();
    let mut command = host.command(&["backup", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"capture\"") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0);
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    std::io::Read::read_to_string(&mut said, &mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{line}");
    assert_eq!(host.backups_and_incoming(), (1, 0));
    let listed = host.json(&["list"]);
    assert_eq!(listed[0]["error"]["code"], "interrupted");
    assert_eq!(listed[1]["status"], "completed");
}
