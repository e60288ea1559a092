//! The object that `backup --json` ends with and `list --json` is an array of.

use crate::support::host::Host;
use serde_json::Value;

/// The names of an object's fields, in order of the alphabet.
fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Whether the field is a time in RFC 3339, UTC.
fn is_utc_time(value: &Value) -> bool {
    let text = value.as_str().unwrap();
    text.ends_with('Z') && text.contains('T') && text.parse::<jiff::Timestamp>().is_ok()
}

#[test]
fn a_backup_is_described_by_one_object_with_the_promised_fields() {
    let host = Host::with_database();
    let ran = host.run(&["backup", "--json", "--label", "ticket=OPS-12", "--label", "a=b=c"]).ok();
    let record = ran.json();
    assert_eq!(
        fields(&record),
        [
            "components",
            "consistency",
            "copies",
            "downtime",
            "duration_seconds",
            "encrypted",
            "error",
            "file_count",
            "finished_at",
            "id",
            "kind",
            "labels",
            "last_verification",
            "name",
            "omitted",
            "parent",
            "path",
            "pin",
            "readiness",
            "reason",
            "sequence",
            "source_bytes",
            "stack",
            "started_at",
            "status",
            "stored_bytes",
            "version_label",
            "warnings",
        ]
    );
    assert_eq!(
        fields(&record["consistency"]),
        [
            "because",
            "databases",
            "fenced_at",
            "files_changed_during_capture",
            "level",
            "transactions_during_capture",
        ]
    );
    assert_eq!(
        fields(&record["consistency"]["databases"][0]),
        ["name", "next_xid_at_fence", "next_xid_at_release", "server_time", "snapshot", "wal_lsn",]
    );
    assert_eq!(
        (record["kind"].as_str(), record["reason"].as_str()),
        (Some("full"), Some("manual"))
    );
    assert_eq!(record["status"], "completed");
    assert_eq!(record["labels"], serde_json::json!({ "a": "b=c", "ticket": "OPS-12" }));
    assert_eq!(record["path"], host.backup_dir(&record).to_str().unwrap());
    assert!(host.backup_dir(&record).join("manifest.json").is_file());
    for time in [
        &record["started_at"],
        &record["finished_at"],
        &record["consistency"]["fenced_at"],
        &record["consistency"]["databases"][0]["server_time"],
    ] {
        assert!(is_utc_time(time), "{time}");
    }
    assert!(record["duration_seconds"].as_f64().unwrap() > 0.0);

    let components = record["components"].as_array().unwrap();
    let of = |name: &str| components.iter().find(|part| part["name"] == name).unwrap();
    for (name, kind) in [("shop", "database"), ("globals", "globals"), ("uploads", "files")] {
        let part = of(name);
        assert_eq!(part["type"], kind);
        for number in ["source_bytes", "stored_bytes", "file_count"] {
            assert!(part[number].as_u64().unwrap() > 0, "{name}.{number}");
        }
    }
    for number in ["source_bytes", "stored_bytes", "file_count"] {
        let sum: u64 = components.iter().map(|part| part[number].as_u64().unwrap()).sum();
        assert_eq!(record[number], sum, "{number} is the sum of the components");
    }
    let page = include_str!("../../../docs/json.md");
    for field in fields(&record) {
        assert!(page.contains(&format!("`{field}`")), "docs/json.md lacks {field}");
    }
    assert_eq!(host.json(&["list"]), serde_json::json!([record]), "list shows the same object");
    assert_eq!(host.json(&["show", "latest"]), record);
}

#[test]
fn progress_is_json_lines_on_stderr_and_the_result_alone_is_on_stdout() {
    let host = Host::with_files();
    let ran = host.run(&["backup", "--json"]).ok();
    let events: Vec<Value> =
        ran.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let steps: Vec<&str> = events.iter().filter_map(|line| line["step"].as_str()).collect();
    assert_eq!(steps, ["preflight", "quiesce", "fence", "capture", "resume", "dump", "publish"]);
    assert!(events.iter().all(|line| is_utc_time(&line["at"])), "{events:?}");
    assert!(ran.json().is_object());

    let failed = host.run(&["show", "nothing-like-it", "--json"]).ended(5);
    assert_eq!(failed.stdout, "");
    let error: Value = serde_json::from_str(failed.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "backup_not_found");
    assert_eq!(
        fields(&error["error"]),
        ["attempted", "cause", "code", "hint", "message", "subject"]
    );
}

#[test]
fn the_progress_of_a_dump_ends_at_what_was_stored() {
    let host = Host::with_database();
    for format in ["directory", "custom", "plain"] {
        host.configure_database(&format!("format = {format:?}"), "");
        let ran = host.run(&["backup", "--json", "--only", "databases"]).ok();
        let lines = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap());
        let events: Vec<Value> =
            lines.filter(|line: &Value| line["task"] == "database shop").collect();
        assert_eq!(
            (&events[0]["event"], &events[0]["total_bytes"]),
            (&"started".into(), &Value::Null)
        );
        let told: u64 = events.iter().filter_map(|line| line["bytes"].as_u64()).sum();
        let record = ran.json();
        let parts = record["components"].as_array().unwrap();
        let shop = parts.iter().find(|part| part["name"] == "shop").unwrap();
        assert_eq!(told, shop["stored_bytes"], "{format}");
    }
}

#[test]
fn the_version_label_and_the_reason_are_part_of_the_name() {
    let host = Host::with_files();
    let asked = ["backup", "--reason", "pre-upgrade", "--version-label", "2.3 / rc"];
    let record = host.json(&asked);
    let name = record["name"].as_str().unwrap();
    assert!(name.starts_with("backup_full_pre-upgrade_v2.3---rc_20"), "{name}");
    assert!(name.ends_with(&record["id"].as_str().unwrap()[..4]), "{name}");
    assert_eq!(record["version_label"], "2.3 / rc");
    host.run(&["backup", "--label", "no-value"]).ended(2);
    host.run(&["backup", "--reason", "whim"]).ended(2);
}

#[test]
fn only_takes_kinds_and_names() {
    let host = Host::with_database();
    let parts = |arguments: &[&str]| -> Vec<String> {
        let record = host.json(&[&["backup"], arguments].concat());
        let names = record["components"].as_array().unwrap().iter();
        names.map(|part| part["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(parts(&["--only", "files"]), ["uploads"]);
    assert_eq!(parts(&["--only", "uploads"]), ["uploads"]);
    assert_eq!(parts(&["--only", "databases"]), ["globals", "shop"]);
    assert_eq!(parts(&["--only", "shop", "--only", "uploads"]), ["globals", "shop", "uploads"]);
    host.run(&["backup", "--only", "nothing"]).failed(5, "component_not_found");
}

#[test]
fn the_newest_by_history_comes_first_even_when_the_clock_went_back() {
    let host = Host::with_files();
    let first = host.back_up();
    // As if the clock had been an hour ahead when the first one was taken.
    let dir = host.backup_dir(&first);
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["started_at"] = "2999-01-01T00:00:00Z".into();
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    std::fs::write(dir.join("manifest.json"), &text).unwrap();
    crate::support::host::sign(&dir);
    std::fs::remove_file(host.state().join("catalog.duckdb")).unwrap();

    let second = host.back_up();
    let listed = host.json(&["list"]);
    assert_eq!(listed[0]["id"], second["id"]);
    assert_eq!(listed[1]["id"], first["id"]);
    assert_eq!(listed[1]["started_at"], "2999-01-01T00:00:00Z");
    assert_eq!(host.json(&["show", "latest"])["id"], second["id"]);
}
