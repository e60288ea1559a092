//! `checkpoint report`: what came of the phases of this bootstrap.

use super::{auto, sealed};
use crate::support::host::{Host, Ran};
use crate::support::need::{self, Need};
use serde_json::{Value, json};
use std::fs;

fn outcomes(report: &Value) -> Vec<(String, String)> {
    let phases = report["phases"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    phases.map(|it| (text(&it["phase"]), text(&it["outcome"]))).collect()
}

#[test]
fn the_phases_are_listed_with_what_came_of_them_and_why() {
    let host = Host::with_files();
    assert!(host.run(&["checkpoint", "report"]).ok().stdout.contains("No checkpoints yet"));
    let (live, away) = (host.live(), host.path().join("away"));
    fs::rename(&live, &away).unwrap();
    auto(&host, "pre-ansible");
    fs::rename(&away, &live).unwrap();
    host.configure_url(Some("postgres://shop@127.0.0.1:1/shop"), "", "");
    auto(&host, "pre-dotfiles");
    host.configure("");
    auto(&host, "post-setup");
    let repository = host.repository().join("lock");
    fs::rename(&repository, host.path().join("lock")).unwrap();
    fs::create_dir(&repository).unwrap();
    auto(&host, "pre-applications");
    fs::remove_dir(&repository).unwrap();
    fs::rename(host.path().join("lock"), &repository).unwrap();

    let report = host.json(&["checkpoint", "report"]);
    let found = outcomes(&report);
    let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        found,
        [
            ("pre-ansible", "skipped"),
            ("pre-dotfiles", "partial"),
            ("post-setup", "created"),
            ("pre-applications", "failed"),
        ]
    );
    assert_eq!(report["complete"], false);
    let text = host.run(&["checkpoint", "report"]).ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("skipped  pre-ansible") && lines[0].contains("uploads"), "{text}");
    assert!(lines[1].starts_with("partial  pre-dotfiles"), "{text}");
    assert!(lines[2].starts_with("created  post-setup"), "{text}");
    assert!(lines[3].starts_with("failed   pre-applications"), "{text}");

    // A catch-up by hand takes the place of what was skipped.
    host.run(&["checkpoint", "manual", "pre-ansible"]).ok();
    let report = host.json(&["checkpoint", "report"]);
    let first = &report["phases"][0];
    assert_eq!(
        (&first["outcome"], &first["mode"], &first["attempts"]),
        (&json!("created"), &json!("manual"), &json!(2))
    );
    assert_eq!(first["backup"], host.json(&["show"])["id"]);
}

#[test]
fn a_bootstrap_ends_with_its_last_phase_and_the_next_begins_behind_it() {
    let host = Host::with_files();
    for phase in ["pre-ansible", "bootstrap-complete"] {
        auto(&host, phase);
    }
    let report = host.json(&["checkpoint", "report"]);
    assert_eq!((report["complete"].as_bool(), outcomes(&report).len()), (Some(true), 2));
    auto(&host, "pre-homebrew");
    let report = host.json(&["checkpoint", "report"]);
    assert_eq!(outcomes(&report), [("pre-homebrew".into(), "created".into())]);
    let all = host.json(&["checkpoint", "report", "--since", "1h"]);
    assert_eq!(outcomes(&all).len(), 3);
}

#[test]
fn what_was_noted_before_there_was_a_config_is_told_with_the_rest() {
    if !need::all(&[Need::Root]) {
        return;
    }
    let host = Host::with_files();
    let own = fs::read_to_string(host.config()).unwrap();
    fs::remove_file(host.config()).unwrap();
    let run = |arguments: &[&str]| Ran::of(&sealed(&host, arguments).output().unwrap()).ok();
    run(&["checkpoint", "auto", "pre-ansible"]);
    assert!(host.path().join("var-lib/backstop/checkpoints.jsonl").is_file());
    let report = run(&["checkpoint", "report", "--json"]).json();
    assert_eq!(outcomes(&report), [("pre-ansible".into(), "skipped".into())]);
    fs::write(host.config(), &own).unwrap();
    run(&["checkpoint", "auto", "post-setup"]);
    assert!(host.state().join("checkpoints.jsonl").is_file());
    let report = run(&["checkpoint", "report", "--json"]).json();
    let expected =
        [("pre-ansible".into(), "skipped".into()), ("post-setup".into(), "created".into())];
    assert_eq!(outcomes(&report), expected);
    // A line that a crash cut short hides no other.
    let journal = host.state().join("checkpoints.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text + "{\"phase\": \"cut sh").unwrap();
    run(&["checkpoint", "auto", "bootstrap-complete"]);
    assert_eq!(outcomes(&run(&["checkpoint", "report", "--json"]).json()).len(), 3);
}
