//! What is partly there is taken, and the rest is named; where nothing is there, one line is all.

use super::{auto, sealed, told};
use crate::support::hanging::HangingMount;
use crate::support::host::{Host, Ran};
use crate::support::image::unique;
use crate::support::mount::SmallMount;
use serde_json::json;
use std::fs;
use std::process::{Command, Stdio};

/// A checkpoint that says in one line on stderr why it took nothing.
#[track_caller]
fn skipped(host: &Host, why: &str) {
    let ran = host.run(&["checkpoint", "auto", "pre-ansible"]).ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1), "{ran:?}");
    assert!(ran.stderr.starts_with("checkpoint pre-ansible: skipped (not-ready): "), "{ran:?}");
    assert!(ran.stderr.contains(why), "{ran:?}");
    host.run(&["checkpoint", "auto", "pre-ansible", "--strict"]).ended(3);
}

#[test]
fn a_database_that_is_not_there_leaves_the_files_and_is_named() {
    let host = Host::with_files();
    host.configure_url(Some("postgres://shop@127.0.0.1:1/shop"), "", "");
    let (ran, attempt) = auto(&host, "pre-ansible");
    assert_eq!(told(&attempt), ("partial", "not-ready", vec!["database shop"]));
    assert_eq!(attempt["lacking"][0]["code"], "database_unreachable");
    assert!(ran.stderr.contains("cannot connect to database shop"), "{ran:?}");
    let record = host.json(&["show"]);
    assert_eq!(record["omitted"], json!(["shop"]), "retention counts it apart");
    assert_eq!(record["readiness"]["lacking"], attempt["lacking"]);
    assert!(host.run(&["show"]).ok().stdout.contains("without shop, which was not there"));
    host.run(&["checkpoint", "auto", "pre-ansible", "--strict"]).ended(3);
    let one = host.run(&["checkpoint", "auto", "pre-ansible"]).ok();
    assert_eq!((one.stdout.as_str(), one.stderr.lines().count()), ("", 1), "{one:?}");
}

#[test]
fn files_that_are_not_there_yet_leave_the_database() {
    let host = Host::with_database();
    fs::remove_dir_all(host.live()).unwrap();
    let (_, attempt) = auto(&host, "pre-dotfiles");
    assert_eq!(told(&attempt), ("partial", "not-ready", vec!["files uploads"]));
    assert_eq!(host.json(&["show"])["omitted"], json!(["uploads"]));
    host.run(&["verify", "latest"]).ok();
}

#[test]
fn without_docker_what_needs_none_is_taken() {
    let host = Host::with_files();
    let volume = unique("volume");
    host.configure(&format!(
        "[[files]]\nname = \"media\"\nvolume = {volume:?}\n[[containers]]\nselect = \"label={volume}\"\n"
    ));
    let mut command = host.command(&["checkpoint", "auto", "pre-ansible", "--json"]);
    let nowhere = format!("unix://{}/no.sock", host.path().display());
    let ran = Ran::of(&command.env("DOCKER_HOST", nowhere).output().unwrap()).ok();
    let attempt = ran.json();
    assert_eq!(told(&attempt), ("partial", "not-ready", vec!["docker", "files media"]));
    let record = host.json(&["list"])[0].clone();
    assert_eq!(record["omitted"], json!(["media"]));
    assert_eq!(record["components"][0]["name"], "uploads");
}

#[test]
fn containers_that_are_not_there_yet_are_named() {
    if !crate::support::need::all(&[crate::support::need::Need::Docker]) {
        return;
    }
    let host = Host::with_files();
    let name = unique("web");
    host.configure(&format!("[[containers]]\nselect = \"name={name}\"\n"));
    host.run(&["checkpoint", "pre-ansible"]).failed(1, "container_not_found");
    let (_, attempt) = auto(&host, "pre-ansible");
    let subject = format!("containers name={name}");
    assert_eq!(told(&attempt), ("partial", "not-ready", vec![subject.as_str()]));
    assert_eq!(host.json(&["list"])[0]["omitted"], json!([]));
}

#[test]
fn where_nothing_is_there_it_is_skipped() {
    let host = Host::with_files();
    fs::remove_dir_all(host.live()).unwrap();
    skipped(&host, "live/uploads");
    assert!(!host.repository().exists());
}

#[test]
fn a_config_that_is_missing_or_broken_breaks_nothing() {
    let host = Host::with_files();
    host.configure("nonsense = [");
    let state = host.path().join("none");
    for why in ["cannot read config", "cannot find config"] {
        let mut command = host.command(&["checkpoint", "auto", "pre-ansible"]);
        let ran = Ran::of(&command.env("BACKSTOP_STATE__DIR", &state).output().unwrap()).ok();
        assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1), "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
        let _ = fs::remove_file(host.config());
    }
    assert!(state.join("checkpoints.jsonl").is_file(), "it is noted all the same");
}

#[test]
fn a_repository_whose_disk_is_not_mounted_is_not_begun_anew() {
    let host = Host::with_files();
    host.back_up();
    fs::rename(host.repository(), host.path().join("unmounted")).unwrap();
    fs::create_dir(host.repository()).unwrap();
    skipped(&host, "is gone");
    assert_eq!(fs::read_dir(host.repository()).unwrap().count(), 0);
}

#[test]
fn read_only_and_full_disks() {
    let host = Host::with_files();
    let Some(small) = SmallMount::at(&host.repository(), "2m") else { return };
    host.back_up();
    let mut file = fs::File::create(host.repository().join(".backstop-new-filler")).unwrap();
    while std::io::Write::write(&mut file, &[7; 4096]).is_ok() {}
    drop(file);
    skipped(&host, "No space left on device");
    small.make_read_only();
    skipped(&host, "Read-only file system");
    // It is noted where something can be written.
    let report = host.json(&["checkpoint", "report"]);
    assert_eq!(report["phases"][0]["attempts"], 4);
}

#[test]
fn a_mount_that_hangs_is_not_waited_for() {
    let host = Host::with_files();
    let Some(hanging) = HangingMount::new() else { return };
    // As a source: the rest is taken.
    let nas = hanging.path();
    host.configure(&format!("[[files]]\nname = \"nas\"\npath = {nas:?}\n"));
    let (_, attempt) = auto(&host, "pre-ansible");
    assert_eq!(told(&attempt), ("partial", "not-ready", vec!["files nas"]));
    assert_eq!(attempt["lacking"][0]["code"], "path_unreachable");
    // As the repository, and as the state directory.
    let text = fs::read_to_string(host.config()).unwrap();
    let own = text.split("[[files]]\nname = \"nas\"").next().unwrap();
    for place in [host.repository(), host.state()] {
        let moved = own.replace(place.to_str().unwrap(), nas.join("x").to_str().unwrap());
        fs::write(host.config(), moved).unwrap();
        let mut command = sealed(&host, &["checkpoint", "auto", "pre-ansible"]);
        let ran = Ran::of(&command.output().unwrap()).ok();
        assert!(ran.stderr.contains("does not answer within"), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn another_backstop_that_holds_the_lock_breaks_nothing() {
    let host = Host::with_files();
    host.back_up();
    let lock = host.repository().join("lock");
    let mut holder = Command::new("flock")
        .arg(&lock)
        .args(["sh", "-c", "echo held; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut word).unwrap();
    let (_, attempt) = auto(&host, "pre-ansible");
    assert_eq!(told(&attempt), ("failed", "full", vec!["checkpoint"]));
    assert_eq!(attempt["lacking"][0]["code"], "locked");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn a_signal_keeps_its_own_meaning() {
    let host = Host::with_files();
    // Long enough to be met at work: a lock that is not free.
    host.back_up();
    let lock = host.repository().join("lock");
    let mut holder = Command::new("flock")
        .arg(&lock)
        .args(["sh", "-c", "echo held; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut word).unwrap();
    let mut command = host.command(&["checkpoint", "auto", "pre-ansible", "--lock-wait", "10m"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Whenever it comes, the exit code is the signal's.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report = host.json(&["checkpoint", "report"]);
    assert_eq!(report["phases"][0]["lacking"][0]["code"], "interrupted");
    holder.kill().unwrap();
    holder.wait().unwrap();
}
