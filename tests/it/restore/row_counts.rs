//! The rows of tables, recorded at the fence and compared before anything restored goes live.

use crate::support::host::{Host, sign};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The recorded rows of a backup's only database.
fn tables(record: &Value) -> Vec<Value> {
    let parts = record["components"].as_array().unwrap();
    let database = parts.iter().find(|part| part["type"] == "database").unwrap();
    database["tables"].as_array().unwrap().clone()
}

#[test]
fn a_backup_shows_the_rows_of_its_tables_and_which_are_estimates() {
    let host = Host::with_database();
    host.database().sql(
        "CREATE SCHEMA audit; \
         CREATE TABLE audit.large AS SELECT i, repeat('x', 900) FROM generate_series(1, 4000) i; \
         CREATE TABLE \"Odd Name\" AS SELECT generate_series(1, 3) i; \
         CREATE TABLE nothing (i int); \
         ANALYZE audit.large",
    );
    host.configure_database("count_rows_up_to = \"1MB\"\njobs = 3", "");
    let row =
        |table: &str, rows: u32, exact: bool| json!({"table": table, "rows": rows, "exact": exact});
    let expected = [
        row("audit.large", 4000, false),
        row("public.\"Odd Name\"", 3, true),
        row("public.item", 1000, true),
        row("public.nothing", 0, true),
    ];
    assert_eq!(tables(&host.back_up()), expected);
    assert_eq!(tables(&host.json(&["show"])), expected);
    let shown = host.run(&["show"]).ok().stdout;
    for line in ["audit.large  about 4000, estimated", "public.item  1000\n", "\"Odd Name\"  3\n"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }

    host.configure_database("count_rows_up_to = \"0\"", "");
    let counted: Vec<Value> = tables(&host.back_up()).iter().map(|t| t["exact"].clone()).collect();
    assert_eq!(counted, [false, false, false, true]);
}

/// Writes another number of rows of the table `item` into the manifest.
fn record_rows(backup: &Path, rows: u32, exact: bool) {
    let file = backup.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for part in manifest["components"].as_array_mut().unwrap() {
        if part["type"] == "database" {
            part["tables"] = json!([{"table": "public.item", "rows": rows, "exact": exact}]);
        }
    }
    fs::write(&file, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    sign(backup);
}

#[test]
fn a_database_with_another_number_of_rows_does_not_go_live() {
    let host = Host::with_database();
    let record = host.back_up();
    let dir = host.backup_dir(&record);
    host.database().sql("DELETE FROM item WHERE id > 500");
    let before = host.live_state();

    record_rows(&dir, 1001, true);
    let ran = host.run(&["restore", "latest", "--yes", "--no-safety"]);
    assert_ne!(ran.code, 0);
    let said = "public.item has 1000 rows instead of 1001";
    assert!(ran.stderr.contains(said), "{ran:?}");
    assert_eq!(host.live_state(), before);
    assert_eq!(host.json(&["rollback", "--list"])[0]["stage"], "abandoned");

    // An estimate is no reason to refuse.
    record_rows(&dir, 1001, false);
    let restored = host.json(&["restore", "latest", "--yes", "--no-safety"]);
    assert_eq!(host.database().sql("SELECT count(*) FROM item"), "1000");
    let key = restored["key"].as_str().unwrap();
    host.run(&["rollback", key, "--purge", "--yes"]).ok();
}
