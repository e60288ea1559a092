//! `docs/json.md` against what each command prints: every field stands there, and every
//! field that stands there is printed.

use crate::support::host::Host;
use serde_json::Value;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/json.md");

/// The section of the page under `heading`.
fn section(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n{heading}\n")).expect(heading);
    rest.split("\n#").next().unwrap()
}

/// The words in backticks of the first cell of each row.
fn documented(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells.flat_map(|cell| cell.split("`, `")).map(|word| word.trim_matches('`').into()).collect()
}

#[track_caller]
fn assert_described(value: &Value, text: &str) {
    let printed: BTreeSet<String> = value.as_object().unwrap().keys().cloned().collect();
    assert_eq!(printed, documented(text));
    // Fields of what lies inside are named where it is described: `{a, b}`.
    for (name, inner) in value.as_object().unwrap() {
        let Some(first) = inner.as_array().and_then(|entries| entries.first()) else { continue };
        let row = text.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap();
        let Some(fields) = row.split_once("`{").and_then(|(_, rest)| rest.split_once("}`")) else {
            continue;
        };
        let described: BTreeSet<&str> = fields.0.split(", ").collect();
        let printed: BTreeSet<&str> =
            first.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(printed.is_superset(&described), "{name}: {described:?}, printed {printed:?}");
    }
}

#[track_caller]
fn assert_row(command: &str, value: &Value) {
    let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{command}` | ")));
    let row = row.unwrap_or_else(|| panic!("{command} is not on the page"));
    let fields = row.split_once("`{").unwrap().1.split_once("}`").unwrap().0;
    let described: BTreeSet<&str> = fields.split(", ").collect();
    let printed: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(printed, described, "{command}");
}

#[test]
fn every_command_prints_what_its_page_says() {
    let host = Host::with_database();
    let backup = section("## A backup");
    let plans = section("### Plans");
    let (of_backup, of_restore) = plans.split_once("Of a restore in place:").unwrap();
    let restores = section("### What a restore keeps");
    let restored = section("### A restore");

    assert_described(&host.json(&["backup", "--dry-run"]), of_backup);
    let record = host.back_up();
    assert_described(&record, backup);
    let id = record["id"].as_str().unwrap();
    host.write("one.txt", "damaged by hand");
    assert_described(&host.json(&["list"])[0], backup);
    assert_described(&host.json(&["show"]), backup);
    assert_described(&host.json(&["verify"])[0], section("### A verification"));
    assert_described(&host.json(&["keep", id])["pin"], "| `at`, `host`, `reason` | |");
    assert_described(&host.json(&["unkeep", id]), backup);
    assert_described(&host.json(&["prune", "--dry-run"])[0], section("### A verdict"));
    assert_described(&host.json(&["delete", id, "--dry-run"]), backup);
    assert_described(&host.json(&["doctor"])[0], section("### A finding"));
    assert_described(&host.json(&["estimate"]), section("### An estimate"));

    assert_described(&host.json(&["restore", "latest", "--dry-run"]), of_restore);
    let to = host.path().join("out");
    let elsewhere = ["restore", "latest", "--to", to.to_str().unwrap()];
    assert_described(&host.json(&[&elsewhere[..], &["--dry-run"]].concat()), restored);
    let done = host.json(&["restore", "latest", "--yes"]);
    assert_described(&done, restored);
    let key = done["key"].as_str().unwrap();
    assert_described(&host.json(&["rollback", "--list"])[0], restores);
    assert_described(&host.json(&["rollback", "--dry-run"]), restores);
    let ended = host.json(&["rollback", "--yes"]);
    let without_kept = |mut fields: BTreeSet<String>| {
        fields.remove("kept");
        fields
    };
    let printed: BTreeSet<String> = ended.as_object().unwrap().keys().cloned().collect();
    assert_eq!(printed, without_kept(documented(restores)));
    let purged = host.json(&["rollback", key, "--purge", "--yes"]);
    let printed: BTreeSet<String> = purged.as_object().unwrap().keys().cloned().collect();
    assert_eq!(printed, without_kept(documented(restores)));

    assert_row("recover", &host.json(&["recover"]));
    assert_row("config show", &host.json(&["config", "show"]));
    assert_row("config check", &host.json(&["config", "check"]));
    assert_row("config recorded", &host.json(&["config", "recorded"]));
    assert!(host.json(&["config", "schema"])["properties"].is_object());
    assert_row("completions", &host.json(&["completions", "fish"]));
    let dir = host.path().join("man");
    assert_row("manpages", &host.json(&["manpages", dir.to_str().unwrap()]));
    assert_described(&host.json(&["ls", id, "uploads"])[0], section("### A file"));
    let found = host.json(&["find", "one.txt"]);
    assert_described(&found[0], section("### A version that was found"));
    let history = host.json(&["history", "uploads/one.txt"]);
    assert_described(&history[0], section("### A version of a file"));
    host.write("added", "later");
    let newest = host.back_up();
    let newest = newest["id"].as_str().unwrap();
    let difference = host.json(&["diff", id, newest]);
    assert_described(&difference[0], section("### A difference"));
    let counted = host.json(&["diff", id, newest, "--stat"]);
    assert_described(&counted[0], section("### Counted differences"));
    let made = host.json(&["repo", "consolidate", newest]);
    assert_row("repo consolidate", &made);
    assert_described(&made["backup"], backup);
    assert_described(&host.json(&["delete", newest, "--yes"]), backup);
    std::fs::write(host.repository().join("stray"), "").unwrap();
    assert_described(&host.json(&["repo", "check"])[0], section("### An irregularity"));
    std::fs::remove_file(host.repository().join("stray")).unwrap();
    assert_row("repo rebuild-catalog", &host.json(&["repo", "rebuild-catalog"]));
    let moved = host.path().join("moved");
    assert_row("repo move", &host.json(&["repo", "move", moved.to_str().unwrap()]));
}

#[test]
fn every_line_of_progress_is_on_the_page() {
    let host = Host::with_database();
    let ran = host.run(&["backup", "--json"]).ok();
    let page = section("## Progress");
    let mut seen = BTreeSet::new();
    for line in ran.stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let event = line["event"].as_str().unwrap().to_owned();
        let row = page.lines().find(|row| row.starts_with(&format!("| `{event}` | "))).unwrap();
        for field in line.as_object().unwrap().keys() {
            let named = ["at", "event"].contains(&field.as_str());
            assert!(named || row.contains(&format!("`{field}`")), "{row}: {field}");
        }
        if let Some(step) = line["step"].as_str() {
            assert!(row.contains(&format!("`{step}`")), "{step}");
        }
        seen.insert(event);
    }
    assert!(seen.contains("step") && seen.contains("started"), "{seen:?}");
}

/// A runbook that takes a backup, builds its files beside the live ones, and asks before they go live.
const OWN: &str = "\
name: own
disaster: own
title: Own
purpose: To be looked at
destroys: [nothing that is needed]
needs_from_a_person: [a word]
objectives: {rto: 1h, rpo: 1h}
parameters:
  word: {default: hello}
steps:
- {id: say, title: Say it, action: shell, with: {script: 'echo {{ params.word }}'}, preconditions: [{action: disk.assert, with: {path: /, free_percent: 0}}]}
- {id: backup, action: backup.create}
- {id: data, action: database.restore, with: {database: shop, backup: '{{ steps.backup.id }}'}}
- {id: swap, action: database.swap, approval: {prompt: 'Swap?'}, with: {restore: '{{ steps.data.restore }}'}}
";

/// The fields that the row of a field lists for what lies inside of it: all of them.
#[track_caller]
fn assert_inside(value: &Value, field: &str, text: &str) {
    let row = text.lines().find(|line| line.starts_with(&format!("| `{field}` | "))).unwrap();
    let fields = row.split_once("`{").unwrap().1.split_once("}`").unwrap().0;
    let described: BTreeSet<&str> = fields.split(", ").collect();
    let inner = value[field].as_array().and_then(|all| all.first()).unwrap_or(&value[field]);
    let printed: BTreeSet<&str> = inner.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(printed, described, "{field}");
}

#[test]
fn runbooks_and_their_runs_are_described() {
    let host = Host::with_database();
    let dir = host.path().join("runbooks");
    std::fs::create_dir(&dir).unwrap();
    let file = dir.join("own.yaml");
    std::fs::write(&file, OWN).unwrap();
    host.configure(&format!("[runbooks]\ndir = {dir:?}\n"));
    let (of_run, of_plan) = (section("### A run"), section("### A plan of a runbook"));
    let of_report = section("### A report");

    for listed in host.json(&["runbook", "list"]).as_array().unwrap() {
        assert_row("runbook list", listed);
    }
    assert_row("runbook validate", &host.json(&["runbook", "validate", file.to_str().unwrap()]));
    let shown = host.json(&["runbook", "show", "own"]);
    assert_eq!((&shown["name"], &shown["steps"][0]["id"]), (&"own".into(), &"say".into()));
    assert!(host.json(&["runbook", "schema"])["properties"]["steps"].is_object());
    let plan = host.json(&["runbook", "plan", "own"]);
    assert_described(&plan, of_plan);
    assert_inside(&plan, "parameters", of_plan);
    assert_inside(&plan, "steps", of_plan);
    let found: BTreeSet<&str> = plan["steps"][0]["preconditions"][0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(found, BTreeSet::from(["found", "ok", "plan"]));

    let ran = host.run(&["runbook", "run", "own", "--json"]).ended(7);
    let run = ran.json();
    assert_described(&run, of_run);
    assert_inside(&run, "steps", of_run);
    assert_inside(&run, "waiting", of_run);
    let page = section("## Progress");
    let mut events = BTreeSet::new();
    for line in ran.stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let event = line["event"].as_str().unwrap().to_owned();
        let row = page.lines().find(|row| row.starts_with(&format!("| `{event}` | ")));
        let row = row.unwrap_or_else(|| panic!("the page lacks {event}"));
        let known = |field: &String| row.contains(&format!("`{field}`"));
        for field in line.as_object().unwrap().keys() {
            assert!(["at", "event"].contains(&field.as_str()) || known(field), "{row}: {line}");
        }
        if event.starts_with("step_") {
            let promised = row.rsplit_once(": ").unwrap().1.trim_end_matches(" |").split(", ");
            for field in promised.map(|word| word.trim_matches('`')) {
                assert!(line.get(field).is_some(), "{row}: {line}");
            }
        }
        events.insert(event);
    }
    for event in ["step_started", "step_output", "step_ended"] {
        assert!(events.contains(event), "{events:?}");
    }

    let id = run["id"].as_str().unwrap();
    let statuses = host.json(&["runbook", "status"]);
    assert_described(&statuses[0], of_run);
    assert_described(&host.json(&["runbook", "status", id])[0], of_run);
    for log in host.json(&["runbook", "log", id]).as_array().unwrap() {
        assert_row("runbook log", log);
    }
    let decision = host.json(&["runbook", "approve", id, "swap", "--no-resume"]);
    let decided: BTreeSet<&str> =
        decision.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(decided, BTreeSet::from(["decision", "run", "runner"]));
    let resumed = host.json(&["runbook", "resume", id]);
    assert_described(&resumed, of_run);
    assert_eq!(resumed["state"], "SUCCEEDED");

    let report = host.json(&["runbook", "report", id]);
    let printed: BTreeSet<String> = report.as_object().unwrap().keys().cloned().collect();
    assert_eq!(printed, &documented(of_run) | &documented(of_report));
    for field in ["parameters", "objectives", "timeline", "approvals", "evidence", "restores"] {
        assert_inside(&report, field, of_report);
    }
    assert_described(&host.json(&["runbook", "abort", id, "--rollback"]), of_run);
    assert_described(&host.json(&["recover-from", "own", "--yes"]), of_run);
    for one in host.json(&["rollback", "--list"]).as_array().unwrap() {
        host.run(&["rollback", one["key"].as_str().unwrap(), "--purge", "--yes"]).ok();
    }
}

#[test]
fn guards_are_described() {
    let host = Host::with_database();
    host.write("one.txt", "before");
    let json = |arguments: &[&str]| host.run(&[&["--json"], arguments].concat()).ok().json();
    let planned = json(&["guard", "--dry-run", "--", "true"]);
    assert_row("guard --dry-run", &planned);
    let guard = section("### A guard");
    assert_described(&json(&["guard", "--settle", "0s", "--", "true"]), guard);
    assert_described(&host.json(&["guard", "status"]), guard);
    assert_described(&host.json(&["guard", "list"])[0], guard);
    assert!(host.json(&["guard", "resume"]).is_null());
    host.write("one.txt", "after the upgrade");
    host.write("two.txt", "new");
    let planned = host.json(&["rollback", "--dry-run"]);
    assert_row(
        "rollback --dry-run",
        &serde_json::json!({
            "backup": planned["backup"], "name": planned["name"], "losses": planned["losses"],
        }),
    );
    assert_described(&planned["losses"], section("### What is newer"));
    assert_eq!(planned["losses"]["files"][0]["newer"]["files"], 1, "{planned}");
    assert_described(&host.json(&["rollback", "--yes"]), section("### A run"));
    assert_eq!(std::fs::read_to_string(host.live().join("one.txt")).unwrap(), "before");
}

#[test]
fn checkpoints_are_described() {
    let host = Host::with_files();
    // With something lacking, so that there is an entry to look at.
    host.configure("[[files]]\nname = \"gone\"\npath = \"/no/such/place\"\n");
    let attempt = host.json(&["checkpoint", "auto", "pre-ansible"]);
    assert_described(&attempt, section("### An attempt"));
    let report = host.json(&["checkpoint", "report"]);
    assert_described(&report, section("### The phases of a bootstrap"));
    for command in ["checkpoint", "checkpoint auto", "checkpoint manual", "checkpoint report"] {
        assert!(PAGE.contains(&format!("`{command}`")), "{command}");
    }
}
