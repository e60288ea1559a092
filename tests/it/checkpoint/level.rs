//! Levels: found at once, shown by `doctor`, recorded in each backup.

use super::{auto, told};
use crate::support::hanging::HangingMount;
use crate::support::host::Host;
use serde_json::{Value, json};
use std::fs;

/// The level that `doctor` shows.
fn level(host: &Host) -> Value {
    let found = host.run(&["doctor", "--json"]).json();
    assert_eq!(found[0]["subject"], "level");
    found[0]["detail"].clone()
}

fn copy(host: &Host, name: &str) -> String {
    let path = host.path().join(name);
    format!("[[repository.copies]]\nname = {name:?}\npath = {path:?}\n")
}

#[test]
fn full_is_when_all_is_there() {
    let host = Host::with_database();
    host.configure(&copy(&host, "disk"));
    assert_eq!(level(&host), "full");
    assert!(host.run(&["doctor"]).ok().stdout.starts_with("ok    level"));
    let (_, attempt) = auto(&host, "post-setup");
    assert_eq!(told(&attempt), ("created", "full", vec![]));
    let record = host.json(&["show"]);
    assert_eq!(
        (&record["id"], &record["readiness"]["level"]),
        (&attempt["backup"], &json!("full"))
    );
    assert_eq!(record["copies"], json!(["disk"]), "it was sent there");
    let text = fs::read_to_string(host.backup_dir(&record).join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["readiness"], json!({ "level": "full", "lacking": [] }));
    assert!(host.run(&["show"]).ok().stdout.contains("level        full"));
}

#[test]
fn local_only_is_when_a_copy_cannot_be_reached_and_a_sync_catches_up() {
    let host = Host::with_files();
    host.configure(&copy(&host, "disk"));
    host.back_up();
    let away = host.path().join("unmounted");
    fs::rename(host.path().join("disk"), &away).unwrap();
    fs::create_dir(host.path().join("disk")).unwrap();
    assert_eq!(level(&host), "local-only");
    let (ran, attempt) = auto(&host, "pre-ansible");
    assert_eq!(told(&attempt), ("created", "local-only", vec!["copy disk"]));
    assert!(ran.stderr.contains("mount its file system") || ran.stderr.contains("is gone"));
    host.run(&["checkpoint", "auto", "pre-ansible", "--strict"]).ended(3);
    assert_eq!(host.json(&["show"])["readiness"]["level"], "local-only");
    // An ordinary backup records it as well.
    assert_eq!(host.back_up()["readiness"]["lacking"][0]["subject"], "copy disk");

    fs::remove_dir(host.path().join("disk")).unwrap();
    fs::rename(away, host.path().join("disk")).unwrap();
    host.run(&["sync"]).ok();
    assert_eq!(host.json(&["show"])["copies"], json!(["disk"]));
    assert_eq!(level(&host), "full");
}

#[test]
fn copies_that_are_left_alone_on_purpose_are_no_fault() {
    let host = Host::with_files();
    host.configure(&copy(&host, "disk"));
    let mut command = host.command(&["checkpoint", "auto", "pre-ansible", "--strict"]);
    let output = command.env("BACKUP_LOCAL_ONLY", "true").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let record = host.json(&["show"]);
    assert_eq!(record["readiness"], json!({ "level": "local-only", "lacking": [] }));
    assert_eq!(record["copies"], json!([]));
    let record = host.json(&["backup", "--local-only"]);
    assert_eq!(record["readiness"]["level"], "local-only");
}

#[test]
fn not_ready_is_when_something_is_not_there_yet() {
    let host = Host::with_files();
    fs::rename(host.live(), host.path().join("later")).unwrap();
    assert_eq!(level(&host), "not-ready");
    fs::rename(host.path().join("later"), host.live()).unwrap();
    assert_eq!(level(&host), "full");
    fs::remove_file(host.config()).unwrap();
    let ran = host.run(&["doctor"]).failed(2, "config_not_found");
    assert!(ran.stdout.contains("level") && ran.stdout.contains("not-ready"), "{ran:?}");
}

#[test]
fn disabled_is_silent_for_checkpoints_and_scheduled_jobs() {
    let host = Host::with_files();
    let text = fs::read_to_string(host.config()).unwrap();
    let silent = |disabled: &dyn Fn(&[&str]) -> std::process::Command| {
        for arguments in [
            &["checkpoint", "auto", "pre-ansible"][..],
            &["checkpoint", "auto", "pre-ansible", "--strict"],
            &["checkpoint", "pre-ansible"],
            &["checkpoint", "manual", "pre-ansible"],
            &["backup", "--reason", "scheduled"],
        ] {
            let output = disabled(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        }
        let printed = disabled(&["checkpoint", "auto", "x", "--json"]).output().unwrap().stdout;
        let attempt: Value = serde_json::from_slice(&printed).unwrap();
        assert_eq!(told(&attempt), ("skipped", "disabled", vec![]));
        assert_eq!(disabled(&["backup", "--json"]).output().unwrap().stdout, b"null\n");
    };
    fs::write(host.config(), format!("enabled = false\n{text}")).unwrap();
    silent(&|arguments| host.command(arguments));
    assert_eq!(level(&host), "disabled");
    fs::write(host.config(), format!("enabled = true\n{text}")).unwrap();
    silent(&|arguments| {
        let mut command = host.command(arguments);
        command.env("BACKUP_ENABLED", "false");
        command
    });
    assert!(!host.repository().exists(), "nothing was taken");
    let phases = host.json(&["checkpoint", "report"])["phases"].clone();
    assert_eq!(
        (&phases[0]["outcome"], &phases[0]["level"]),
        (&json!("skipped"), &json!("disabled"))
    );
    host.run(&["checkpoint", "auto", "pre-ansible"]).ok();
    assert_eq!(host.backups_and_incoming().0, 1, "turned on again");
}

#[test]
fn a_mount_that_hangs_is_named_by_the_doctor_and_holds_nothing_up() {
    let host = Host::with_files();
    let Some(hanging) = HangingMount::new() else { return };
    let nas = hanging.path();
    host.configure(&format!("[[repository.copies]]\nname = \"nas\"\npath = {nas:?}\n"));
    let found = host.run(&["doctor", "--json"]).ended(3).json();
    assert_eq!(found[0]["detail"], "local-only");
    let of = |subject| found.as_array().unwrap().iter().find(|it| it["subject"] == subject);
    assert_eq!(of("copy nas").unwrap()["error"]["code"], "path_unreachable");
    // A plain backup is good as well.
    let ran = host.run(&["backup", "--json"]).ok();
    assert_eq!(ran.json()["readiness"]["lacking"][0]["code"], "path_unreachable");
    assert!(ran.stderr.contains("degraded: local-only"), "{ran:?}");
    let (_, attempt) = auto(&host, "pre-ansible");
    assert_eq!(told(&attempt), ("created", "local-only", vec!["copy nas"]));
}
