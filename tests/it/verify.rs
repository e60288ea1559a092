//! Verification: its levels, its samples, and what it says of the backups that need a file.

use crate::support::host::{Host, Ran, sign};
use backstop::repository::{LockMode, Repository};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

fn shown(host: &Host, record: &Value) -> Value {
    host.json(&["show", id(record)])
}

/// Flips one bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Replaces an object and describes the new one in manifest and SHA256SUMS, as somebody would
/// who wrote it wrongly.
fn replace(backup: &Path, object: &str, content: &[u8]) {
    fs::write(backup.join(object), content).unwrap();
    let (size, sha256) =
        backstop::repository::hash_file(&Default::default(), &backup.join(object)).unwrap();
    let file = backup.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for listed in manifest["objects"].as_array_mut().unwrap() {
        if listed["path"] == object {
            *listed = serde_json::json!({"path": object, "size": size, "sha256": sha256});
        }
    }
    fs::write(&file, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    sign(backup);
}

#[test]
fn each_level_looks_deeper_than_the_one_before() {
    let host = Host::with_database();
    let record = host.back_up();
    let dir = host.backup_dir(&record);
    assert_eq!(shown(&host, &record)["last_verification"], Value::Null);

    host.run(&["verify", "--level", "quick"]).ok();
    let last = shown(&host, &record);
    assert_eq!(last["last_verification"]["level"], "quick");
    assert_eq!(last["status"], "completed", "nothing was read");
    host.run(&["verify", "--level", "deep"]).ok();
    let last = shown(&host, &record);
    assert_eq!(
        (&last["last_verification"]["level"], &last["status"]),
        (&"deep".into(), &"verified".into())
    );
    let list = host.run(&["list"]).ok().stdout;
    assert!(list.contains("deep, ") && list.contains(" ago"), "{list}");

    // Other bytes of the same size: quick does not see them, full does.
    let archive = dir.join("files/uploads.tar.zst");
    let whole = fs::read(&archive).unwrap();
    flip(&archive);
    host.run(&["verify", "--level", "quick"]).ok();
    host.run(&["verify"]).ended(6);
    // What looks at less than what found the damage does not make it forgotten.
    host.run(&["verify", "--level", "quick"]).ok();
    host.run(&["verify", "--sample", "1"]);
    let last = shown(&host, &record);
    assert_eq!(
        (&last["last_verification"]["ok"], &last["status"]),
        (&false.into(), &"completed".into())
    );
    fs::write(&archive, &whole).unwrap();
    host.run(&["verify"]).ok();
    assert_eq!(shown(&host, &record)["status"], "verified");

    // Written wrongly from the beginning: only deep opens it.
    let roles = fs::read(dir.join("databases/globals.sql")).unwrap();
    replace(&dir, "databases/globals.sql", &roles[..roles.len() / 2]);
    host.run(&["verify"]).ok();
    let ran = host.run(&["verify", "--level", "deep"]).ended(6);
    assert!(ran.stdout.contains("databases/globals.sql"), "{ran:?}");
    replace(&dir, "databases/globals.sql", &roles);
    replace(&dir, "databases/shop/toc.dat", b"PGDMP but nothing more");
    host.run(&["verify"]).ok();
    let ran = host.run(&["verify", "--level", "deep"]).ended(6);
    assert!(ran.stdout.contains("databases/shop "), "{ran:?}");
}

#[test]
fn deep_reads_dumps_of_every_format_and_trees_of_every_kind() {
    let host = Host::with_database();
    for format in ["custom", "plain", "tar"] {
        host.configure_database(&format!("format = {format:?}"), "");
        host.write("new", format);
        host.back_up();
    }
    host.run(&["verify", "--all", "--level", "deep"]).ok();

    // An index that leads to what is not there.
    let last = host.back_up();
    let dir = host.backup_dir(&last);
    let manifest = fs::read_to_string(dir.join("manifest.json")).unwrap();
    let mut changed: Value = serde_json::from_str(&manifest).unwrap();
    for part in changed["components"].as_array_mut().unwrap() {
        part.as_object_mut().unwrap().remove("elsewhere");
    }
    fs::write(dir.join("manifest.json"), serde_json::to_vec_pretty(&changed).unwrap()).unwrap();
    sign(&dir);
    host.run(&["verify"]).ok();
    let ran = host.run(&["verify", "--level", "deep"]).ended(6);
    assert!(ran.stdout.contains("files/index.parquet"), "{ran:?}");
    assert!(ran.stdout.contains("manifest does not name"), "{ran:?}");
}

#[test]
fn samples_go_round_until_every_object_was_read() {
    let host = Host::with_database();
    let records = [host.back_up(), host.back_up()];
    let objects = |record: &Value| -> BTreeSet<String> {
        let manifest = fs::read(host.backup_dir(record).join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let objects = manifest["objects"].as_array().unwrap();
        objects.iter().map(|object| object["path"].as_str().unwrap().to_owned()).collect()
    };
    let covered = |record: &Value| -> BTreeSet<String> {
        let file = host.state().join(format!("coverage/{}.json", id(record)));
        let known: Value =
            serde_json::from_slice(&fs::read(file).unwrap_or_else(|_| b"{}".into())).unwrap();
        known["parts"].as_object().map(|parts| parts.keys().cloned().collect()).unwrap_or_default()
    };
    let all: usize = records.iter().map(|record| objects(record).len()).sum();
    for turn in 1..=all {
        let ran = host.json(&["verify", "--sample", "1"]);
        assert_eq!(ran.as_array().unwrap().len(), 1, "one object is the least: {ran}");
        let seen: usize = records.iter().map(|record| covered(record).len()).sum();
        assert_eq!(seen, turn, "each sample reads what none has read yet");
    }
    for record in &records {
        assert_eq!(covered(record), objects(record));
        let last = shown(&host, record);
        assert_eq!(last["status"], "verified", "{last}");
        let sampled = &last["last_verification"]["sampled"];
        assert_eq!(sampled["covered_bytes"], sampled["total_bytes"]);
    }

    // The next round finds what was damaged since, at half of the bytes a time.
    let damaged = host.backup_dir(&records[0]).join("databases/globals.sql");
    flip(&damaged);
    let found = (0..4).any(|_| host.run(&["verify", "--sample", "50%"]).code == 6);
    assert!(found);
    assert_eq!(shown(&host, &records[0])["last_verification"]["ok"], false);

    // What is known of a backup goes with it, and the catalog can be lost.
    fs::remove_file(host.state().join("catalog.duckdb")).unwrap();
    assert_eq!(shown(&host, &records[0])["last_verification"]["ok"], false);
    assert_eq!(shown(&host, &records[1])["status"], "verified");
    host.run(&["delete", id(&records[1]), "--yes"]).ok();
    host.run(&["verify", "--sample", "100%"]).ended(6);
    assert_eq!(covered(&records[1]), BTreeSet::new());
}

/// What becomes of a command that waits for the lock while `meanwhile` happens.
fn while_waiting(host: &Host, arguments: &[&str], meanwhile: impl FnOnce()) -> Ran {
    let repository = Repository::open(&host.repository()).unwrap();
    let held = repository.lock(LockMode::Exclusive, Duration::ZERO).unwrap();
    let mut command = host.command(&[arguments, &["--lock-wait", "60s"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    meanwhile();
    drop(held);
    Ran::of(&child.wait_with_output().unwrap())
}

#[test]
fn what_is_gone_since_the_catalog_was_read_is_not_called_damaged() {
    let host = Host::with_files();
    let (gone, stays) = (host.back_up(), host.json(&["backup", "--kind", "full"]));
    let names = |ran: &Ran| -> Vec<String> {
        let found = ran.json();
        let names = found.as_array().unwrap().iter().map(|one| one["name"].to_string());
        names.map(|name| name.replace('"', "")).collect()
    };
    let trash = host.path().join("trash");
    let away = host.path().join("away");
    let (all, sample) = (["verify", "--all", "--json"], ["verify", "--sample", "100%", "--json"]);
    for arguments in [&all[..], &sample] {
        // Its disk is gone: nothing can be said of any backup.
        let ran = while_waiting(&host, arguments, || {
            fs::rename(host.repository(), &away).unwrap();
            fs::create_dir(host.repository()).unwrap();
            fs::hard_link(away.join("lock"), host.repository().join("lock")).unwrap();
        });
        ran.ended(5);
        fs::remove_dir_all(host.repository()).unwrap();
        fs::rename(&away, host.repository()).unwrap();
        for record in host.json(&["list"]).as_array().unwrap() {
            assert_ne!(record["last_verification"]["ok"], false, "{record}");
        }
        let ran = while_waiting(&host, arguments, || {
            fs::rename(host.backup_dir(&gone), &trash).unwrap();
        });
        assert_eq!(names(&ran.ok()), [stays["name"].as_str().unwrap()]);
        let listed = host.json(&["list"]);
        assert_eq!(listed.as_array().unwrap().len(), 1, "its row does not come back: {listed}");
        fs::rename(&trash, host.backup_dir(&gone)).unwrap();
    }
    let alone = ["verify", id(&gone)];
    let ran = while_waiting(&host, &alone, || {
        fs::rename(host.backup_dir(&gone), &trash).unwrap();
    });
    ran.failed(5, "backup_not_found");
}

#[test]
fn a_manifest_that_is_not_what_was_written_is_damage_though_no_row_knows_it() {
    let host = Host::with_files();
    let (damaged, sound) = (host.back_up(), host.json(&["backup", "--kind", "full"]));
    let manifest = host.backup_dir(&damaged).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"stack\": \"shop\"", "\"stack\": \"shot\"")).unwrap();
    assert_ne!(fs::read_to_string(&manifest).unwrap(), text);
    fs::remove_file(host.state().join("catalog.duckdb")).unwrap();
    let name = damaged["name"].as_str().unwrap();
    let found = |arguments: &[&str]| {
        let ran = host.run(&[&["verify"], arguments, &["--json"]].concat()).ended(6).json();
        let mut found = ran.as_array().unwrap().iter();
        found.find(|one| one["name"] == name).unwrap().clone()
    };
    for arguments in [&["--all"][..], &["--sample", "100%"], &[name], &[&id(&damaged)[..6]]] {
        let found = found(arguments);
        assert_eq!(found["ok"], false, "{found}");
        assert_eq!(found["damages"][0]["object"], "manifest.json", "{found}");
    }
    let ran = host.run(&["verify", name]).ended(6);
    assert!(ran.stdout.contains("does not fit SHA256SUMS"), "{ran:?}");
    host.run(&["verify", id(&sound)]).ok();
    host.run(&["verify", "0000"]).failed(5, "backup_not_found");
}

#[test]
fn damage_of_an_archive_is_recorded_of_all_that_it_concerns_whichever_was_verified() {
    let host = Host::with_files();
    let older = host.back_up();
    let full = host.json(&["backup", "--kind", "full"]);
    host.write("new.txt", "new");
    let (first, second) = (host.back_up(), host.back_up());
    host.run(&["verify", id(&second)]).ok();
    assert_eq!(shown(&host, &second)["status"], "verified");
    flip(&host.backup_dir(&full).join("files/uploads.tar.zst"));
    host.run(&["verify", id(&first)]).ended(6);
    for (record, object) in
        [(&full, "files/uploads.tar.zst"), (&first, "files/uploads.tar.zst of backup")]
    {
        let last = &shown(&host, record)["last_verification"];
        assert_eq!(last["ok"], false, "{last}");
        let damage = &last["damages"][0];
        assert!(damage["object"].as_str().unwrap().starts_with(object), "{damage}");
        assert!(damage["needed_by"].as_array().unwrap().contains(&second["name"]), "{damage}");
    }
    // One that nobody looked at needs it as well, and is not called verified any longer.
    let last = shown(&host, &second);
    assert_eq!(
        (&last["status"], &last["last_verification"]["ok"]),
        (&"completed".into(), &false.into())
    );
    host.run(&["verify", "--sample", "100%", id(&second)]).ended(6);
    assert_eq!(shown(&host, &second)["status"], "completed");

    // The sound one stays, and nothing builds upon the others; a lost catalog changes nothing.
    fs::remove_file(host.state().join("catalog.duckdb")).unwrap();
    host.configure("[retention]\nkeep_last = 1\n");
    host.run(&["prune", "--yes"]).ok();
    assert!(host.backup_dir(&older).exists());
    assert_eq!(host.back_up()["kind"], "incremental", "upon the sound one");
    let newest = host.json(&["show", "latest"]);
    assert_eq!(newest["parent"], older["id"], "{newest}");
}

#[test]
fn a_damage_is_named_with_the_backups_that_need_the_file() {
    let host = Host::with_database();
    let full = host.back_up();
    let incremental = host.back_up();
    let needed = |record: &Value, object: &str| -> Value {
        let ran = host.run(&["verify", id(record), "--json"]).ended(6).json();
        let damages = ran[0]["damages"].as_array().unwrap().clone();
        damages.iter().find(|damage| damage["object"] == object).unwrap()["needed_by"].clone()
    };
    let dir = host.backup_dir(&full);
    for object in ["files/uploads.tar.zst", "manifest.json"] {
        let whole = fs::read(dir.join(object)).unwrap();
        fs::write(dir.join(object), "").unwrap();
        assert_eq!(needed(&full, object)[0], incremental["name"], "{object}");
        // The one that needs it says so as well, and that its own files are whole.
        let ran = host.run(&["verify", id(&incremental)]).ended(6);
        assert!(ran.stdout.contains("files/uploads.tar.zst of backup"), "{ran:?}");
        fs::write(dir.join(object), whole).unwrap();
        host.run(&["verify", "--all"]).ok();
    }
    // A file of an unchanged table is one file under two names.
    let dump = fs::read_dir(dir.join("databases/shop")).unwrap();
    let data = dump.map(|entry| entry.unwrap().path()).find(|path| !path.ends_with("toc.dat"));
    let data = data.unwrap();
    flip(&data);
    let object = format!("databases/shop/{}", data.file_name().unwrap().to_str().unwrap());
    assert_eq!(needed(&full, &object)[0], incremental["name"]);
    assert_eq!(needed(&incremental, &object)[0], full["name"]);
    // An index is its own backup's affair.
    flip(&dir.join("files/index.parquet"));
    assert_eq!(needed(&full, "files/index.parquet"), Value::Array(Vec::new()));
}
