//! A repository that is not where it was: its disk is not mounted, or another one is.

use crate::support::host::Host;
use std::fs;

#[test]
fn an_empty_mount_point_does_not_become_a_new_repository() {
    let host = Host::with_files();
    host.back_up();
    let away = host.path().join("unmounted");
    fs::rename(host.repository(), &away).unwrap();
    fs::create_dir(host.repository()).unwrap();
    let refused = || {
        for arguments in [&["backup"][..], &["verify"], &["restore", "latest", "--yes"]] {
            let ran = host.run(arguments).failed(5, "repository_not_found");
            assert!(ran.stderr.contains("mount its file system"), "{ran:?}");
        }
        assert_eq!(fs::read_dir(host.repository()).unwrap().count(), 0);
    };
    refused();
    assert!(host.run(&["doctor"]).ended(3).stdout.contains("mount its file system"));
    // The history is in the catalog; the identity is not.
    let catalog = host.state().join("catalog.duckdb");
    for file in [&catalog, &host.state().join("events.jsonl")] {
        fs::rename(file, file.with_extension("away")).unwrap();
    }
    let ran = host.run(&["backup"]).failed(5, "repository_not_found");
    assert!(ran.stderr.contains("repositories.json"), "{ran:?}");

    // Mounted again, it is the one that is known.
    fs::remove_dir(host.repository()).unwrap();
    fs::rename(&away, host.repository()).unwrap();
    host.back_up();
    assert!(host.json(&["list"]).as_array().unwrap().len() >= 2);

    // What is gone for good is given up in the documented way.
    fs::remove_dir_all(host.repository()).unwrap();
    fs::rename(&catalog, host.state().join("catalog.old")).unwrap();
    fs::remove_file(host.state().join("repositories.json")).unwrap();
    host.back_up();
}

#[test]
fn another_repository_in_its_place_is_refused_until_it_is_accepted() {
    let (host, other) = (Host::with_files(), Host::with_files());
    let record = host.back_up();
    let foreign = other.back_up();
    let away = host.path().join("away");
    fs::rename(host.repository(), &away).unwrap();
    fs::rename(other.repository(), host.repository()).unwrap();
    for arguments in [
        &["backup"][..],
        &["list"],
        &["verify", "--all"],
        &["restore", "latest", "--yes"],
        &["delete", "latest", "--yes"],
    ] {
        let ran = host.run(arguments).failed(1, "repository_replaced");
        assert!(ran.stderr.contains("repositories.json"), "{ran:?}");
    }
    host.run(&["doctor"]).ended(3);
    assert_eq!(host.backups_and_incoming(), (1, 0));

    fs::remove_file(host.state().join("repositories.json")).unwrap();
    let listed = host.json(&["list"]);
    assert!(listed.as_array().unwrap().iter().any(|row| row["id"] == foreign["id"]), "{listed}");
    host.run(&["show", foreign["id"].as_str().unwrap()]).ok();
    assert!(away.join("backups").join(record["name"].as_str().unwrap()).exists());
}
