//! `backstop doctor`: what is wrong is named, and nothing is touched.

use crate::support::host::Host;
use crate::support::image::{TestContainer, unique};
use crate::support::need::{self, Need};
use serde_json::{Value, json};

/// The findings that something is wrong with, as subject and code.
fn faults(found: &Value) -> Vec<(&str, &str)> {
    let findings = found.as_array().unwrap().iter();
    findings
        .filter_map(|one| Some((one["subject"].as_str()?, one["error"]["code"].as_str()?)))
        .collect()
}

#[test]
fn doctor_looks_at_everything_and_one_failure_hides_no_other() {
    let host = Host::with_database();
    let ran = host.run(&["doctor"]).ok();
    for subject in ["user", "repository", "state directory", "database shop", "files uploads"] {
        assert!(ran.stdout.contains(&format!("ok    {subject}")), "{ran:?}");
    }
    assert!(ran.stdout.contains("user postgres (a superuser)"), "{ran:?}");
    assert!(ran.stdout.contains("pg_dump") && ran.stdout.contains(" free"), "{ran:?}");

    std::fs::remove_dir_all(host.live()).unwrap();
    host.configure_url(Some("postgres://shop@127.0.0.1:1/shop"), "", "");
    let ran = host.run(&["doctor"]).ended(3);
    assert!(ran.stdout.contains("ok    repository"), "{ran:?}");
    assert_eq!(ran.stdout.matches("FAIL").count(), 2, "{ran:?}");
    assert_eq!(ran.stdout.matches("hint: ").count(), 2, "{ran:?}");
    let found = host.run(&["doctor", "--json"]).ended(3).json();
    let codes: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|finding| finding["error"]["code"].as_str())
        .collect();
    assert_eq!(codes, ["database_unreachable", "io"]);
    assert!(!host.repository().exists(), "doctor creates no repository");
}

#[test]
fn doctor_names_selections_that_fit_no_container() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let (label, project) = (unique("label"), unique("project"));
    let there = TestContainer::create(&["--label", &label], &[]);
    let host = Host::with_files();
    let select = |text: &str| format!("[[containers]]\nselect = \"{text}\"\n");
    let (by_label, by_name) = (format!("label={label}"), format!("name={project}"));
    let by_project = format!("compose={project}");
    host.configure(&[select(&by_project), select(&by_label), select(&by_name)].concat());
    let found = host.run(&["doctor", "--json"]).ended(3).json();
    assert_eq!(
        faults(&found),
        [
            (format!("containers {by_project}").as_str(), "container_not_found"),
            (format!("containers {by_name}").as_str(), "container_not_found"),
        ]
    );
    let ran = host.run(&["doctor"]).ended(3);
    assert!(ran.stdout.contains(&format!("would be held: {}", there.name)), "{ran:?}");
    assert!(ran.stdout.contains("docker compose ls -a"), "{ran:?}");
    host.configure(&select(&by_label));
    host.run(&["doctor"]).ok();
}

#[test]
fn doctor_names_what_a_dead_backstop_left() {
    let host = Host::with_files();
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let journal = json!({
        "id": "0123456789abcdef0123456789abcdef",
        "pid": dead.id(),
        "boot_id": boot_id.trim(),
        "started_at": "2026-11-21T03:00:00Z",
        "containers": [],
        "captures": [{ "path": host.path().join("live/.backstop-capture-x"), "kind": "staging" }],
    });
    let path = host.state().join("journal/0123456789abcdef0123456789abcdef.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, journal.to_string()).unwrap();

    let ran = host.run(&["doctor"]).ended(3);
    assert!(ran.stdout.contains("FAIL  journal 01234567"), "{ran:?}");
    assert!(ran.stdout.contains("is dead and left 1 capture\n"), "{ran:?}");
    assert!(ran.stdout.contains("hint: run `backstop recover`"), "{ran:?}");
    assert!(path.exists(), "doctor touches nothing");
    let found = host.run(&["doctor", "--json"]).ended(3).json();
    assert_eq!(faults(&found), [("journal 01234567", "not_resumed")]);

    host.run(&["recover"]).ok();
    assert!(!path.exists());
    host.run(&["doctor"]).ok();
}
