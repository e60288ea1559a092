//! What no backup holds is named before it can be lost.

use crate::support::host::{Host, listing};
use std::fs;

#[test]
fn excluded_files_and_tables_are_named_before_a_restore_and_before_a_purge() {
    let host = Host::with_database();
    host.configure_database(
        "exclude_tables = [\"audit.*\"]",
        "exclude = [\"*.tmp\", \"cache/\"]\n",
    );
    host.database().sql("CREATE SCHEMA audit; CREATE TABLE audit.entry AS SELECT 1 AS x");
    host.write("cache/warm", "only here");
    host.back_up();
    let named = |text: &str| text.contains("*.tmp, cache/") && text.contains("audit.*");

    let ran = host.run(&["restore", "latest", "--dry-run"]).ok();
    assert!(named(&ran.stdout), "{ran:?}");
    let plan = host.json(&["restore", "latest", "--dry-run"]);
    assert_eq!(plan["replaces"][0]["left_out"], serde_json::json!(["*.tmp", "cache/"]));
    assert_eq!(plan["replaces"][1]["left_out"], serde_json::json!(["audit.*"]));

    let restored = host.json(&["restore", "latest", "--yes", "--no-safety"]);
    assert!(!host.live().join("cache").exists());
    let key = restored["key"].as_str().unwrap();
    let record = host.json(&["rollback", "--list"])[0].clone();
    assert_eq!(record["trees"][0]["left_out"], serde_json::json!(["*.tmp", "cache/"]));
    assert_eq!(record["databases"][0]["left_out"], serde_json::json!(["audit.*"]));

    let purge = ["rollback", key, "--purge"];
    let ran = host.run(&[&purge[..], &["--dry-run"]].concat()).ok();
    assert!(named(&ran.stdout), "{ran:?}");
    let ran = host.run(&["rollback", key, "--dry-run"]).ok();
    assert!(!named(&ran.stdout), "a rollback loses nothing: {ran:?}");

    host.run(&["rollback", key, "--yes"]).ok();
    assert_eq!(fs::read_to_string(host.live().join("cache/warm")).unwrap(), "only here");
    assert_eq!(host.database().sql("SELECT count(*) FROM audit.entry"), "1");
    let ran = host.run(&[&purge[..], &["--dry-run"]].concat()).ok();
    assert!(!named(&ran.stdout), "what was left out is live again: {ran:?}");
    host.run(&[&purge[..], &["--yes"]].concat()).ok();
}

#[test]
fn what_a_safety_backup_leaves_out_is_said() {
    let host = Host::with_database();
    host.back_up();
    let original = listing(&host.live());
    fs::remove_dir_all(host.live()).unwrap();
    let ran = host.run(&["restore", "latest", "--yes", "--json"]).ok();
    assert!(ran.stderr.contains("there is no uploads now"), "{ran:?}");
    assert!(!ran.stderr.contains("there is no shop now"), "{ran:?}");
    assert_eq!(listing(&host.live()), original);
    let key = host.json(&["rollback", "--list"])[0]["key"].as_str().unwrap().to_owned();
    host.run(&["rollback", &key, "--purge", "--yes"]).ok();
}
