//! What `list` and `show` say of a backup's contents and of its state.

use crate::support::host::Host;
use std::fs;

#[test]
fn a_partial_backup_is_seen_as_such() {
    let host = Host::with_database();
    let whole = host.back_up();
    assert_eq!(whole["omitted"], serde_json::json!([]));
    let partial = host.json(&["backup", "--only", "files"]);
    assert_eq!(partial["omitted"], serde_json::json!(["shop"]));
    // Naming everything leaves nothing out.
    let named = host.json(&["backup", "--only", "databases", "--only", "uploads"]);
    assert_eq!(named["omitted"], serde_json::json!([]));

    let text = host.run(&["list"]).ok().stdout;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert!(lines[0].ends_with("HOLDS"), "{text}");
    assert!(lines[1].ends_with("  databases, globals, files"), "{text}");
    assert!(lines[2].ends_with("  files (partial: no shop)"), "{text}");
    assert!(lines[3].ends_with("  databases, globals, files"), "{text}");
    let shown = host.run(&["show", partial["id"].as_str().unwrap()]).ok().stdout;
    assert!(shown.contains("\npartial      without shop, which --only left out\n"), "{shown}");
    assert!(!host.run(&["show", "latest"]).ok().stdout.contains("partial"));

    // The repository alone tells it too.
    fs::remove_dir_all(host.state()).unwrap();
    assert_eq!(host.json(&["list"])[1], partial);
}

#[test]
fn damage_that_verify_found_is_seen_until_a_verification_finds_none() {
    let host = Host::with_files();
    let record = host.back_up();
    assert!(record["last_verification"].is_null());
    let archive = host.backup_dir(&record).join("files/uploads.tar.zst");
    let whole = fs::read(&archive).unwrap();

    host.run(&["verify"]).ok();
    let text = host.run(&["show"]).ok().stdout;
    assert!(text.contains(" UTC: every byte is as it was written\n"), "{text}");

    fs::write(&archive, "x").unwrap();
    let ran = host.run(&["verify"]).ended(6);
    assert!(ran.stdout.contains("has 1 byte instead of"), "{ran:?}");
    let seen = |host: &Host| {
        let found = host.json(&["show"])["last_verification"].clone();
        assert_eq!(found["ok"], false, "{found}");
        assert_eq!(found["damages"][0]["object"], "files/uploads.tar.zst");
        assert!(found["at"].as_str().unwrap().ends_with('Z'));
        let text = host.run(&["show"]).ok().stdout;
        assert!(
            text.contains(" UTC: DAMAGED\ndamage       files/uploads.tar.zst has 1 byte"),
            "{text}"
        );
        assert!(text.contains("status       DAMAGED\n"), "{text}");
        assert!(host.run(&["list"]).ok().stdout.contains("  DAMAGED  "));
        found
    };
    let found = seen(&host);
    // A catalog that is built again knows it from the journal; without that, nobody does.
    fs::remove_file(host.state().join("catalog.duckdb")).unwrap();
    assert_eq!(seen(&host), found);

    let ran = host.run(&["restore", "latest", "--yes"]).failed(6, "backup_damaged");
    assert!(!ran.stderr.contains(" more"), "one fault is one fault: {ran:?}");

    fs::write(&archive, whole).unwrap();
    host.run(&["verify"]).ok();
    let shown = host.json(&["show"]);
    assert_eq!(
        (&shown["status"], &shown["last_verification"]["ok"]),
        (&"verified".into(), &true.into())
    );
    assert!(!host.run(&["list"]).ok().stdout.contains("DAMAGED"));
    fs::remove_dir_all(host.state()).unwrap();
    let shown = host.json(&["show"]);
    assert_eq!(shown["status"], "completed");
    assert!(shown["last_verification"].is_null());
}

#[test]
fn counts_have_the_noun_that_fits() {
    let host = Host::with_files();
    fs::remove_dir_all(host.live().join("below")).unwrap();
    host.back_up();
    let printed = [&["show"][..], &["estimate"], &["doctor"]]
        .map(|arguments| host.run(arguments).ok().stdout)
        .concat();
    assert!(printed.contains("1 backup, ") && printed.contains("lists 1 backup\n"), "{printed}");
    for wrong in [" 1 files", " 1 backups", " 1 bytes", " 1 rows"] {
        assert!(!printed.contains(wrong), "{wrong}: {printed}");
    }
}
