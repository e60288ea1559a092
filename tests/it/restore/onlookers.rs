//! Containers that see the files which are backed up and replaced, held or not.

use crate::support::cluster::Cluster;
use crate::support::host::Host;
use crate::support::image::{TestContainer, docker};
use crate::support::need::{self, Need};
use std::fs;

fn selecting(container: &TestContainer, more: &str) -> String {
    format!("[[containers]]\nselect = \"name={}\"\n{more}\n", container.name)
}

fn mounting(host: &Host, options: &str) -> TestContainer {
    let volume = format!("{}:/data{options}", host.live().display());
    TestContainer::run(&["-v", &volume], &[])
}

const RESTORE: [&str; 4] = ["restore", "latest", "--yes", "--no-safety"];

#[test]
fn one_that_would_go_on_with_the_replaced_files_makes_a_restore_refuse() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let host = Host::with_files();
    host.back_up();
    host.write("one.txt", "changed");
    let before = host.live_state();
    let refused = |who: &TestContainer, why: &str| {
        for arguments in [&RESTORE[..], &["restore", "latest", "--dry-run"]] {
            let ran = host.run(arguments).failed(1, "container_not_held");
            assert!(ran.stderr.contains(&who.name) && ran.stderr.contains(why), "{ran:?}");
        }
        assert_eq!(host.live_state(), before);
    };
    // No container is in the config: Docker is asked all the same.
    let writer = mounting(&host, "");
    refused(&writer, "is not held");
    docker(&["pause", &writer.name]);
    refused(&writer, "is paused");
    host.configure(&selecting(&writer, ""));
    refused(&writer, "unpause");
    docker(&["unpause", &writer.name]);
    let reader = mounting(&host, ":ro");
    refused(&reader, "is not held");
    let inside = format!("{}:/data", host.live().join("below").display());
    let part = TestContainer::run(&["-v", &inside], &[]);
    docker(&["stop", &reader.name]);
    refused(&part, "is not held");
    docker(&["stop", &part.name]);
    let parent = format!("{}:/data", host.live().parent().unwrap().display());
    let above = TestContainer::run(&["-v", &parent], &[]);
    refused(&above, "is not held");
    docker(&["stop", &above.name]);

    // One that reads from above finds the new files by their name.
    let monitor = TestContainer::run(&["-v", &format!("{parent}:ro")], &[]);
    let since = monitor.started_at();
    let restored = host.json(&RESTORE);
    assert_eq!(restored["downtime"][0]["container"], writer.name.as_str());
    assert_eq!(fs::read_to_string(host.live().join("one.txt")).unwrap(), "one");
    docker(&["exec", &writer.name, "/busy", "write", "/data/mark", "it writes to the live files"]);
    assert!(host.live().join("mark").exists());
    assert_eq!(monitor.started_at(), since);

    // The way back is no different.
    docker(&["start", &reader.name]);
    host.run(&["rollback", "--yes"]).failed(1, "container_not_held");
    docker(&["stop", &reader.name]);
    host.run(&["rollback", "--yes"]).ok();
    assert_eq!(fs::read_to_string(host.live().join("one.txt")).unwrap(), "changed");
}

#[test]
fn one_that_docker_deletes_when_it_is_stopped_is_not_touched_by_a_restore() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let host = Host::with_files();
    let volume = format!("{}:/data", host.live().display());
    let fleeting = TestContainer::run(&["--rm", "-v", &volume], &[]);
    host.configure(&selecting(&fleeting, "quiesce = \"pause\""));
    host.back_up();
    let ran = host.run(&RESTORE).failed(1, "docker_failed");
    assert!(ran.stderr.contains("--rm"), "{ran:?}");
    assert_eq!(fleeting.state(), "running");
    // Beside the live stack nothing is held.
    let to = host.path().join("look");
    host.run(&["restore", "latest", "--to", to.to_str().unwrap()]).ok();
}

#[test]
fn one_that_may_write_and_is_not_held_is_named_by_a_backup() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let host = Host::with_database();
    let held = mounting(&host, "");
    host.configure(&selecting(&held, ""));
    let reader = mounting(&host, ":ro");
    let record = host.back_up();
    assert_eq!(record["consistency"]["level"], "fenced", "{record}");
    assert_eq!(record["warnings"], serde_json::json!([]));

    let writer = mounting(&host, "");
    let ran = host.run(&["backup", "--json"]).ok();
    let consistency = &ran.json()["consistency"];
    assert_eq!(consistency["level"], "snapshot", "{consistency}");
    let because = consistency["because"].as_str().unwrap();
    assert!(because.contains(&writer.name), "{because}");
    assert!(!because.contains(&held.name) && !because.contains(&reader.name), "{because}");
    assert_eq!(ran.json()["warnings"][0]["code"], "container_not_held");
    host.run(&["backup", "--require-consistency", "fenced"]).ended(3);
    // A database alone is one instant whoever writes files.
    let alone = host.json(&["backup", "--only", "databases"]);
    assert_eq!(alone["consistency"]["level"], "fenced");
}

#[test]
fn what_replaces_nothing_live_holds_nobody() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let host = Host::with_database();
    let app = mounting(&host, "");
    host.configure(&selecting(&app, ""));
    host.back_up();
    let since = app.started_at();
    for only in ["globals", &app.name] {
        let ran = host.run(&["restore", "latest", "--only", only, "--yes"]);
        ran.failed(5, "component_not_found");
    }
    assert_eq!(app.started_at(), since);
    assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 1, "no safety backup was taken");
    assert_eq!(Cluster::shared().psql(host.database().name(), "SELECT count(*) FROM item"), "1000");
}
