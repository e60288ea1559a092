//! Each command as a program uses it.

use crate::support::host::{Host, listing};

#[test]
fn ids_may_be_shortened_and_names_given_whole() {
    let host = Host::with_files();
    let record = host.back_up();
    let id = record["id"].as_str().unwrap();
    for wanted in [id, &id[..8], &id[..1], record["name"].as_str().unwrap(), "latest"] {
        assert_eq!(host.json(&["show", wanted])["id"], id, "{wanted}");
    }
    // Seventeen ids cannot all begin differently.
    while host.json(&["list"]).as_array().unwrap().len() < 17 {
        host.back_up();
    }
    let listed = host.json(&["list"]);
    let first = |record: &serde_json::Value| record["id"].as_str().unwrap()[..1].to_owned();
    let firsts: Vec<String> = listed.as_array().unwrap().iter().map(first).collect();
    let twice = firsts.iter().find(|one| firsts.iter().filter(|other| other == one).count() > 1);
    let ran = host.run(&["show", twice.unwrap()]).failed(2, "backup_ambiguous");
    assert!(ran.stderr.contains("more characters"), "{ran:?}");
}

#[test]
fn a_dry_run_of_a_backup_touches_nothing() {
    let host = Host::with_database();
    let before = listing(&host.live());
    let plan = host.json(&["backup", "--dry-run"]);
    assert_eq!(plan["databases"][0]["name"], "shop");
    assert_eq!(plan["files"][0]["name"], "uploads");
    assert!(plan["files"][0]["source_bytes"].as_u64().unwrap() > 20_000);
    assert_eq!(plan["held"], serde_json::json!([]));
    assert!(!host.repository().exists());
    assert_eq!(listing(&host.live()), before);
    assert_eq!(host.json(&["list"]), serde_json::json!([]));
    assert!(host.run(&["backup", "--dry-run"]).ok().stdout.contains("would dump database shop"));
}

#[test]
fn verify_reads_one_or_all_and_the_status_says_so() {
    let host = Host::with_files();
    let (first, second) = (host.back_up(), host.json(&["backup", "--kind", "full"]));
    let found = host.json(&["verify"]);
    assert_eq!((&found[0]["id"], &found[0]["ok"]), (&second["id"], &true.into()));
    assert_eq!(host.json(&["show"])["status"], "verified");
    let found = host.json(&["verify", "--all"]);
    assert_eq!(found.as_array().unwrap().len(), 2);

    std::fs::write(host.backup_dir(&first).join("files/uploads.tar.zst"), "junk").unwrap();
    let ran = host.run(&["verify", "--all", "--json"]).ended(6);
    let damaged: Vec<_> =
        ran.json().as_array().unwrap().iter().filter(|one| one["ok"] == false).cloned().collect();
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0]["id"], first["id"]);
    assert_eq!(damaged[0]["damages"][0]["object"], "files/uploads.tar.zst");
    assert_eq!(host.json(&["show", first["id"].as_str().unwrap()])["status"], "completed");
}

#[test]
fn verify_all_names_a_backup_that_even_the_catalog_has_lost() {
    let host = Host::with_files();
    let record = host.back_up();
    std::fs::remove_file(host.backup_dir(&record).join("manifest.json")).unwrap();
    std::fs::remove_file(host.state().join("catalog.duckdb")).unwrap();
    let ran = host.run(&["verify", "--all"]).ended(6);
    assert!(ran.stdout.contains(record["name"].as_str().unwrap()), "{ran:?}");
    assert!(ran.stdout.contains("manifest.json"), "{ran:?}");
}

#[test]
fn delete_takes_one_backup_out() {
    let host = Host::with_files();
    let (first, second) = (host.back_up(), host.json(&["backup", "--kind", "full"]));
    let id = first["id"].as_str().unwrap();
    assert_eq!(host.json(&["delete", id, "--dry-run"])["id"], id);
    assert_eq!(host.backups_and_incoming(), (2, 0));
    assert_eq!(host.json(&["delete", id, "--yes"])["id"], id);
    assert_eq!(host.json(&["list"]), serde_json::json!([second]));
    assert!(!host.backup_dir(&first).exists());
    assert_eq!(std::fs::read_dir(host.repository().join("trash")).unwrap().count(), 0);
    host.run(&["verify", "--all"]).ok();
}

#[test]
fn a_dry_run_refuses_what_the_deletion_would_refuse() {
    let host = Host::with_files();
    let (full, incremental) = (host.back_up(), host.back_up());
    let (full, incremental) = (full["id"].as_str().unwrap(), incremental["id"].as_str().unwrap());
    host.run(&["keep", incremental]).ok();
    for how in ["--dry-run", "--yes"] {
        host.run(&["delete", full, how]).failed(1, "backup_needed");
        host.run(&["delete", incremental, how]).failed(1, "backup_kept");
    }
    host.run(&["delete", incremental, "--dry-run", "--force"]).ok();
    assert_eq!(host.backups_and_incoming(), (2, 0));
}

#[test]
fn what_cannot_be_read_and_nobody_knows_is_deleted_by_force_alone() {
    let host = Host::with_files();
    let full = host.back_up();
    let incremental = host.back_up();
    let forget = || std::fs::remove_file(host.state().join("catalog.duckdb")).unwrap();
    let manifest = host.backup_dir(&full).join("manifest.json");
    let whole = std::fs::read(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    forget();
    // With its manifest it would be as good as before.
    let name = full["name"].as_str().unwrap();
    host.run(&["delete", name, "--force", "--yes"]).failed(1, "backup_needed");
    std::fs::write(&manifest, whole).unwrap();

    std::fs::remove_file(host.backup_dir(&incremental).join("manifest.json")).unwrap();
    forget();
    let name = incremental["name"].as_str().unwrap();
    let ran = host.run(&["repo", "check"]).ended(6);
    assert!(ran.stdout.contains(&format!("`backstop delete {name} --force`")), "{ran:?}");
    host.run(&["delete", name, "--yes"]).failed(6, "backup_damaged");
    host.run(&["delete", name, "--force"]).failed(2, "confirmation_required");
    assert_eq!(host.json(&["delete", name, "--force", "--dry-run"])["name"], name);
    assert_eq!(host.backups_and_incoming(), (2, 0));
    host.run(&["delete", name, "--force", "--yes"]).ok();
    assert_eq!(host.backups_and_incoming(), (1, 0));
    host.run(&["delete", name, "--force", "--yes"]).failed(5, "backup_not_found");
    host.run(&["verify", "--all"]).ok();
}

#[test]
fn a_damaged_and_a_failed_backup_can_be_deleted() {
    let host = Host::with_files();
    let damaged = host.back_up();
    std::fs::write(host.backup_dir(&damaged).join("manifest.json"), "{").unwrap();
    host.run(&["delete", damaged["id"].as_str().unwrap(), "--yes"]).ok();
    assert_eq!(host.backups_and_incoming(), (0, 0));
    std::fs::remove_dir_all(host.live()).unwrap();
    host.run(&["backup"]).ended(1);
    let failed = host.json(&["list"]);
    host.run(&["delete", failed[0]["id"].as_str().unwrap(), "--yes"]).ok();
    assert_eq!(host.json(&["list"]), serde_json::json!([]));
}

#[test]
fn estimate_measures_the_sources() {
    let host = Host::with_database();
    let estimate = host.json(&["estimate"]);
    for number in ["source_bytes", "stored_bytes", "free_bytes"] {
        assert!(estimate[number].as_u64().unwrap() > 0, "{number}: {estimate}");
    }
    let names: Vec<_> =
        estimate["components"].as_array().unwrap().iter().map(|part| &part["name"]).collect();
    assert_eq!(names, ["shop", "uploads"]);
    let files = host.json(&["estimate", "--only", "files"]);
    assert_eq!(files["components"].as_array().unwrap().len(), 1);
    assert_eq!(files["components"][0]["file_count"], 3, "two files and a directory");
    assert!(host.run(&["estimate"]).ok().stdout.contains("free in the repository"));
    assert!(!host.repository().exists());
}

#[test]
fn the_config_is_shown_checked_and_described() {
    let host = Host::with_database();
    let shown = host.run(&["config", "show"]).ok().stdout;
    assert!(shown.contains("[repository]") && shown.contains("compression_level = 3"), "{shown}");
    assert!(host.json(&["config", "show"]).is_object());
    assert_eq!(host.json(&["config", "check"])["ok"], true);
    let schema = host.json(&["config", "schema"]);
    assert!(schema["properties"]["databases"].is_object(), "{schema}");
    host.configure_database("jobs = \"many\"", "");
    let ran = host.run(&["config", "check"]).failed(2, "config_invalid");
    assert!(ran.stderr.contains("databases") && ran.stderr.contains("jobs"), "{ran:?}");
    assert!(!host.state().exists(), "looking at the config creates nothing");
}

#[test]
fn recover_clears_what_a_dead_backup_left() {
    let host = Host::with_files();
    assert!(host.run(&["recover"]).ok().stdout.contains("Nothing to recover"));
    host.run(&["backup"]).ok();
    let left = host.repository().join("incoming/00000000000000000000000000000000");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("half"), "half").unwrap();
    let done = host.json(&["recover"]);
    assert!(done["done"][0].as_str().unwrap().contains("incoming"), "{done}");
    assert_eq!(done["failed"], serde_json::json!([]));
    assert!(!left.exists());
}
