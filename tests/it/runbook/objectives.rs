//! What a report measures, and who it says decided.

use super::bench::Bench;
use super::commands::{ASKS, backstop, json, write};
use jiff::{SignedDuration, Timestamp};
use std::fs;
use std::process::Command;
use std::time::Instant;

/// What a program of the machine prints.
fn says(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_report_measures_from_the_incident_and_says_what_was_missed() {
    let bench = Bench::new();
    let now = Timestamp::now();
    let incident = now - SignedDuration::from_hours(1);
    // The newest data that came back are half an hour older than the incident, others are older.
    let (data, newer) =
        (incident - SignedDuration::from_mins(30), incident - SignedDuration::from_mins(10));
    for (objectives, rto_met, rpo_met) in [
        ("{rto: 30m, rpo: 1h}", false, true),
        ("{rto: 2h, rpo: 20m}", true, false),
        ("{rto: 59m 59s, rpo: 29m 59s}", false, false),
    ] {
        let text = format!(
            "name: measured\ntitle: Measured\nobjectives: {objectives}\n\
             parameters: {{incident_at: {{type: time}}}}\nsteps:\n\
             - {{id: one, action: shell, with: {{script: 'sleep 0.2'}}, outputs: {{data_as_of: \"'{newer}'\"}}}}\n\
             - {{id: two, action: shell, with: {{script: 'sleep 0.2'}}, outputs: {{data_as_of: \"'{data}'\"}}}}\n"
        );
        fs::write(bench.dir.join("runbooks/measured.yaml"), text).unwrap();
        let given = format!("incident_at={incident}");
        let begun = Instant::now();
        let (exit, _, said) = json(&bench, &["runbook", "run", "measured", "--param", &given]);
        assert_eq!(exit, 0, "{said}");
        let longest = 3600.0
            + begun.elapsed().as_secs_f64()
            + (Timestamp::now() - now).total(jiff::Unit::Second).unwrap();
        let report = json(&bench, &["runbook", "report", "latest"]).1;
        let measured = |name: &str| report[name].as_f64().unwrap();
        let rto = measured("measured_rto_seconds");
        assert!((3600.4..longest).contains(&rto), "{rto} {longest}");
        assert!(measured("seconds") >= 0.4 && measured("seconds") < 60.0, "{report}");
        assert!((measured("measured_rpo_seconds") - 1800.0).abs() < 0.01, "{report}");
        assert_eq!(
            (&report["rto_met"], &report["rpo_met"]),
            (&rto_met.into(), &rpo_met.into()),
            "{objectives}"
        );
        let markdown = backstop(&bench, &["runbook", "report", "latest"]);
        let markdown = String::from_utf8(markdown.stdout).unwrap();
        let row = |name: &str| {
            let start = format!("| {name} | ");
            markdown.lines().find(|line| line.starts_with(&start)).unwrap().to_owned()
        };
        let word = |met: bool| if met { ", met)" } else { ", missed)" };
        assert!(row("recovery time").contains(word(rto_met)), "{markdown}");
        let lost = row("data lost");
        assert!(lost.contains("1800.0 s") && lost.contains(word(rpo_met)), "{markdown}");
    }
    // Without an incident it is measured from the run's begin, and a run that failed met nothing.
    write(&bench, "fails", "- {id: bad, action: shell, with: {script: exit 1}}\n");
    assert_eq!(json(&bench, &["runbook", "run", "fails"]).0, 1);
    let report = json(&bench, &["runbook", "report", "latest"]).1;
    assert!(report["measured_rto_seconds"].as_f64().unwrap() < 60.0, "{report}");
    assert_eq!(report["rto_met"], false, "{report}");
    assert!(report["measured_rpo_seconds"].is_null() && report["rpo_met"].is_null(), "{report}");
}

#[test]
fn a_report_says_who_agreed_when_and_where_and_how_long_each_step_took() {
    let bench = Bench::new();
    let slow = "- {id: slow, action: shell, with: {script: 'sleep 1.2'}}\n";
    write(&bench, "asks", &format!("{slow}{ASKS}"));
    let begun = Timestamp::now();
    let (exit, run, said) = json(&bench, &["runbook", "run", "asks"]);
    assert_eq!(exit, 7, "{said}");
    let before = Timestamp::now();
    let approve = ["runbook", "approve", run["id"].as_str().unwrap(), "change"];
    assert_eq!(json(&bench, &approve).0, 0);
    let after = Timestamp::now();
    let report = json(&bench, &["runbook", "report", "latest"]).1;
    let (user, host) = (says("id", "-un"), says("uname", "-n"));
    let decision = &report["approvals"][0];
    assert_eq!(
        (&decision["user"], &decision["host"]),
        (&user.clone().into(), &host.clone().into())
    );
    assert_eq!((&report["user"], &report["host"]), (&user.clone().into(), &host.clone().into()));
    let time = |value: &serde_json::Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    // Written times have milliseconds or more.
    let tick = SignedDuration::from_millis(2);
    let at = time(&decision["at"]);
    assert!(before - tick <= at && at <= after + tick, "{before} {at} {after}");
    let started = time(&report["started_at"]);
    assert!(begun - tick <= started && started <= before, "{begun} {started}");
    let ended = time(&report["finished_at"]);
    assert!(at <= ended && ended <= after + tick, "{ended} {after}");

    let markdown =
        String::from_utf8(backstop(&bench, &["runbook", "report", "latest"]).stdout).unwrap();
    let row = markdown.lines().find(|line| line.starts_with("| `slow` | ")).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    assert_eq!(cells[2..4], ["SUCCEEDED", "1"], "{row}");
    let seconds: f64 = cells[4].parse().unwrap();
    assert!((1.2..60.0).contains(&seconds), "{row}");
    let change = markdown.lines().find(|line| line.starts_with("| `change` | ")).unwrap();
    // The time in which nobody answered is not the step's.
    assert!(change.contains("| SUCCEEDED | 1 | 0."), "{change}");
    let said = format!("`change`: approved by {user} on {host} (command)");
    assert!(markdown.contains(&said), "{said}: {markdown}");
}

#[test]
fn a_runbook_says_what_it_is_for_what_it_needs_and_what_it_destroys() {
    let bench = Bench::new();
    let shown = backstop(&bench, &["runbook", "show", "database-corruption"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let section = |title: &str| {
        let (_, rest) =
            shown.split_once(&format!("\n{title}\n")).unwrap_or_else(|| panic!("{title}: {shown}"));
        rest.split("\n\n").next().unwrap().to_owned()
    };
    assert!(section("Purpose").contains("databases of a sound backup are built beside"), "{shown}");
    let objectives = section("Objectives");
    for words in ["back within 1h (rto)", "loses at most 1d (rpo)", "usually takes 15m"] {
        assert!(objectives.contains(words), "{objectives}");
    }
    assert!(
        section("Destroys").contains("Rows written since the backup are no longer in the live")
    );
    assert!(section("Needs from a person").contains("Agreement before"), "{shown}");
    assert!(section("Parameters").contains("queries (queries, default []) "), "{shown}");
    let steps = section("Steps");
    let ids: Vec<&str> = steps.lines().map(|line| line.trim().split(' ').next().unwrap()).collect();
    assert_eq!(ids[..5], ["choose", "check", "build", "compare", "agree"], "{steps}");
    assert!(steps.lines().nth(4).unwrap().contains("(confirm) [asks]"), "{steps}");
}
