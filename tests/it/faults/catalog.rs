//! A catalog that is missing or damaged: the repository and the journal are the truth.

use super::*;
use std::fs;

/// A host with a verified, a failed and a plain backup, and its list.
fn with_history() -> (Host, Value) {
    let host = Host::with_files();
    host.back_up();
    host.run(&["verify"]).ok();
    let live = host.live();
    fs::rename(&live, host.path().join("away")).unwrap();
    host.run(&["backup"]).ended(1);
    fs::rename(host.path().join("away"), &live).unwrap();
    host.back_up();
    let listed = host.json(&["list"]);
    let mut states: Vec<_> =
        listed.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["completed", "failed", "verified"]);
    (host, listed)
}

#[test]
fn a_missing_catalog_is_built_again() {
    let (host, listed) = with_history();
    fs::remove_file(host.state().join("catalog.duckdb")).unwrap();
    assert_eq!(host.json(&["list"]), listed);
}

#[test]
fn a_damaged_catalog_is_kept_aside_and_built_again_with_a_warning() {
    let (host, listed) = with_history();
    let file = host.state().join("catalog.duckdb");
    let size = fs::metadata(&file).unwrap().len();
    let whole = fs::read(&file).unwrap();
    for (what, damaged) in [
        ("other bytes", b"this is no database".repeat(1000)),
        ("cut short", whole[..usize::try_from(size / 2).unwrap()].to_vec()),
        ("empty", Vec::new()),
    ] {
        fs::write(&file, damaged).unwrap();
        let ran = host.run(&["list", "--json"]).ok();
        assert_eq!(ran.json(), listed, "{what}");
        if what != "empty" {
            assert!(ran.stderr.contains("catalog_failed"), "{what}: {ran:?}");
        }
    }
    let aside = fs::read_dir(host.state()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().contains(".damaged-")
    });
    assert!(aside.count() >= 1, "what was damaged can be examined");
}

#[test]
fn a_flipped_bit_anywhere_in_the_catalog_loses_nothing() {
    let (host, listed) = with_history();
    let file = host.state().join("catalog.duckdb");
    let whole = fs::read(&file).unwrap();
    for part in [0, 1, 2, 4, 6] {
        let mut damaged = whole.clone();
        let at = whole.len() * part / 8 + 100;
        damaged[at] ^= 0x10;
        fs::write(&file, damaged).unwrap();
        assert_eq!(host.run(&["list", "--json"]).ok().json(), listed, "byte {at}");
        let _ = fs::remove_file(host.state().join("catalog.duckdb.wal"));
    }
}

#[test]
fn a_wholly_lost_state_directory_still_leaves_every_backup() {
    let (host, listed) = with_history();
    fs::remove_dir_all(host.state()).unwrap();
    let found = host.json(&["list"]);
    let published: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["status"] != "failed")
        .map(|one| &one["id"])
        .collect();
    let found: Vec<_> = found.as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(found, published);
    assert_eq!(host.back_up()["sequence"], 3, "history goes on where it was");
}
