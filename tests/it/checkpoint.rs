//! `backstop checkpoint`: restore points of a bootstrap, which never break it.

mod bootstrap;
mod level;
mod missing;
mod repair;
mod report;

use crate::support::host::{Host, Ran};
use serde_json::Value;

/// A checkpoint that must not fail, whatever is missing; what it says of itself.
#[track_caller]
fn auto(host: &Host, phase: &str) -> (Ran, Value) {
    let ran = host.run(&["checkpoint", "auto", phase, "--json"]).ok();
    let attempt = ran.json();
    assert_eq!((&attempt["phase"], &attempt["mode"]), (&phase.into(), &"auto".into()));
    (ran, attempt)
}

/// The program where the state of the system lies in a directory of the test. Root alone may do
/// so; whoever else runs it has no such place anyway.
fn sealed(host: &Host, arguments: &[&str]) -> std::process::Command {
    let system = host.path().join("var-lib");
    std::fs::create_dir_all(&system).unwrap();
    let script = format!("mount --bind {} /var/lib; exec \"$@\"", system.display());
    host.command_under(&["unshare", "--mount", "sh", "-ec", &script, "sh"], arguments)
}

/// Outcome, level and the subjects that are lacking.
fn told(attempt: &Value) -> (&str, &str, Vec<&str>) {
    let lacking = attempt["lacking"].as_array().unwrap().iter();
    let subjects = lacking.map(|one| one["subject"].as_str().unwrap()).collect();
    (attempt["outcome"].as_str().unwrap(), attempt["level"].as_str().unwrap(), subjects)
}

#[test]
fn a_checkpoint_is_a_backup_with_its_reason_and_its_phase() {
    let host = Host::with_files();
    let ran = host.run(&["checkpoint", "auto", "pre-ansible"]).ok();
    assert!(ran.stdout.starts_with("checkpoint pre-ansible: created ") && ran.stderr.is_empty());
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    host.run(&["checkpoint", "pre-dotfiles"]).ok();
    host.run(&["checkpoint", "manual", "by.hand_2"]).ok();
    let listed = host.json(&["list"]);
    for (at, phase) in ["by.hand_2", "pre-dotfiles", "pre-ansible"].into_iter().enumerate() {
        assert_eq!(listed[at]["reason"], "checkpoint");
        assert_eq!(listed[at]["labels"], serde_json::json!({ "phase": phase }));
        assert_eq!(listed[at]["readiness"], serde_json::json!({ "level": "full", "lacking": [] }));
    }
}

#[test]
fn a_plain_checkpoint_and_one_by_hand_fail_as_a_backup_does() {
    let host = Host::with_files();
    std::fs::rename(host.live(), host.path().join("away")).unwrap();
    for arguments in [&["checkpoint", "pre-ansible"][..], &["checkpoint", "manual", "pre-ansible"]]
    {
        let ran = host.run(arguments).failed(1, "io");
        assert!(ran.stderr.contains("live/uploads"), "{ran:?}");
    }
    let report = host.json(&["checkpoint", "report"]);
    assert_eq!(report["phases"][0]["outcome"], "failed");
    host.configure("nonsense = true");
    host.run(&["checkpoint", "pre-ansible"]).failed(2, "config_invalid");
}

#[test]
fn the_words_of_commands_and_what_is_no_name_are_no_phases() {
    let host = Host::with_files();
    for bad in ["", "two words", "../up", "report/", &"x".repeat(65)] {
        host.run(&["checkpoint", bad]).failed(2, "usage");
        host.run(&["checkpoint", "manual", bad]).failed(2, "usage");
        let ran = host.run(&["checkpoint", "auto", bad]).ok();
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.contains("cannot use as a phase"), "{ran:?}");
        host.run(&["checkpoint", "auto", bad, "--strict"]).ended(3);
    }
    host.run(&["checkpoint", "manual", "auto"]).failed(2, "usage");
    host.run(&["checkpoint"]).ended(2);
    assert_eq!(host.json(&["list"]), serde_json::json!([]));
}
