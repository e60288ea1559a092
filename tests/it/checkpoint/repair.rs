//! What a checkpoint puts right by itself, once, with a warning each.

use super::auto;
use crate::support::host::Host;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The warnings of a checkpoint, which must have been created, and that the next has none.
#[track_caller]
fn repaired_once(host: &Host) -> Vec<String> {
    let (ran, attempt) = auto(host, "pre-ansible");
    assert_eq!(attempt["outcome"], "created", "{ran:?}");
    let lines = ran.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let warned = lines.filter(|line| line["event"] == "warned");
    let messages: Vec<String> =
        warned.map(|line| line["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(attempt["repaired"], json!(messages), "the journal knows them");
    let (_, again) = auto(host, "pre-ansible");
    assert_eq!((&again["outcome"], &again["repaired"]), (&json!("created"), &json!([])));
    messages
}

#[test]
fn missing_directories_are_created() {
    let host = Host::with_files();
    host.back_up();
    for name in ["incoming", "trash"] {
        fs::remove_dir(host.repository().join(name)).unwrap();
    }
    let warned = repaired_once(&host);
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned.iter().all(|it| it.ends_with("was missing and was created")), "{warned:?}");
    host.run(&["repo", "check"]).ok();
}

#[test]
fn wrong_modes_are_mended() {
    let host = Host::with_files();
    host.back_up();
    let (repository, state) = (host.repository(), host.state());
    let wrong = [
        (repository.clone(), 0o500, 0o700),
        (repository.join("backups"), 0o777, 0o700),
        (repository.join("backstop-repository.json"), 0o644, 0o600),
        (state.clone(), 0o500, 0o700),
        (state.join("catalog.duckdb"), 0o400, 0o600),
    ];
    for (path, wrong, _) in &wrong {
        chmod(path, *wrong);
    }
    let warned = repaired_once(&host);
    assert_eq!(warned.len(), wrong.len(), "{warned:?}");
    for (path, _, right) in &wrong {
        assert_eq!(mode(path), *right, "{}", path.display());
    }
    host.run(&["repo", "check"]).ok();
}

#[test]
fn the_lock_of_a_process_that_died_is_taken_over() {
    let host = Host::with_files();
    host.back_up();
    // Killed while it holds the lock and has something half written.
    let lock = host.repository().join("lock");
    let left = host.repository().join("incoming/0123456789abcdef0123456789abcdef");
    let script = format!(
        "mkdir -m 700 {0}; echo half > {0}/half; echo \"process $$ on elsewhere\" > {1}; \
         echo held; exec sleep 600",
        left.display(),
        lock.display()
    );
    let mut holder = Command::new("flock")
        .args(["--no-fork", "--nonblock"])
        .arg(&lock)
        .args(["sh", "-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut word).unwrap();
    host.run(&["backup"]).failed(4, "locked");
    holder.kill().unwrap();
    holder.wait().unwrap();
    let warned = repaired_once(&host);
    assert_eq!(warned.len(), 1, "{warned:?}");
    let dead = format!("process {} on elsewhere died at work", holder.id());
    assert!(warned[0].contains(&dead), "{warned:?}");
    assert!(!left.exists(), "what it left is cleared");
}

#[test]
fn a_broken_catalog_is_rebuilt() {
    let host = Host::with_files();
    let record = host.back_up();
    fs::write(host.state().join("catalog.duckdb"), "no catalog ".repeat(1000)).unwrap();
    let warned = repaired_once(&host);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("a new one is built"), "{warned:?}");
    let listed = host.json(&["list"]);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(listed[2]["id"], record["id"], "nothing is lost");
}
