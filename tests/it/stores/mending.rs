//! Damage in a store or a copy: it is not built upon, not passed on, and mended where it can be.

use super::*;

/// Changes two bytes in the middle of a file, and not its size.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    for byte in bytes[middle..].iter_mut().take(2) {
        *byte ^= 0xff;
    }
    fs::write(file, bytes).unwrap();
}

const ARCHIVE: &str = "files/uploads.tar.zst";

/// The directories of a backup in both copies.
fn in_copies(host: &Host, server: &S3Server, record: &Value) -> [PathBuf; 2] {
    [disk(host), server.objects().join("copy")].map(|copy| copy.join("backups").join(name(record)))
}

fn verify_copies(host: &Host) {
    for copy in ["disk", "offsite"] {
        host.run(&["--copy", copy, "verify", "--all"]).ok();
    }
}

/// What `sync` says of each copy under `key`: names of backups.
fn names_of(synced: &Value, key: &str) -> Vec<Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let copies = synced.as_array().unwrap().iter();
    copies.map(|one| one[key].as_array().into_iter().flatten().map(text).collect()).collect()
}

#[test]
fn a_new_backup_is_sound_though_the_same_tables_are_damaged_in_the_store() {
    let (host, server) = (Host::with_database(), S3Server::start());
    host.configure_repository(&host.store(&server, "home"));
    let full = host.back_up();
    let tables = server.objects().join("home/backups").join(name(&full)).join("databases/shop");
    for entry in fs::read_dir(tables).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "toc.dat" {
            damage(&path);
        }
    }
    let next = host.back_up();
    assert_eq!(next["kind"], "incremental", "{next}");
    host.run(&["verify", name(&next), "--level", "deep"]).ok();
    host.run(&["verify", name(&full)]).ended(6);
}

#[test]
fn a_sync_does_not_build_upon_damage_in_the_copy() {
    let (host, server) = (Host::with_database(), S3Server::start());
    host.configure_repository(&copies(&host, &server));
    let full = host.back_up();
    for dir in in_copies(&host, &server, &full) {
        for entry in fs::read_dir(dir.join("databases/shop")).unwrap() {
            damage(&entry.unwrap().path());
        }
    }
    let next = host.back_up();
    for copy in ["disk", "offsite"] {
        host.run(&["--copy", copy, "verify", name(&next)]).ok();
    }
}

#[test]
fn what_an_interrupted_sync_left_counts_once_its_bytes_are_right() {
    let (host, server) = (Host::with_files(), S3Server::start());
    host.configure_repository(&copies(&host, &server));
    host.back_up();
    let next: Value = host.run(&["backup", "--local-only", "--kind", "full", "--json"]).ok().json();
    let left = disk(&host).join("incoming").join(next["id"].as_str().unwrap());
    let [published, stored] = in_copies(&host, &server, &next);
    for dir in [&left, &stored] {
        fs::create_dir_all(dir.join("files")).unwrap();
        fs::copy(host.backup_dir(&next).join(ARCHIVE), dir.join(ARCHIVE)).unwrap();
        damage(&dir.join(ARCHIVE));
    }
    for half in ["files/.backstop-new-AbCdEf", ".backstop-new-GhIjKl"] {
        fs::write(left.join(half), "half of an archive").unwrap();
    }
    let synced = host.json(&["sync"]);
    assert_eq!(names_of(&synced, "sent"), [[name(&next)], [name(&next)]], "{synced}");
    verify_copies(&host);
    let found = Command::new("find").arg(published).args(["-name", ".backstop*"]).output();
    assert_eq!(String::from_utf8(found.unwrap().stdout).unwrap(), "");
}

#[test]
fn a_sync_sees_what_a_copy_lost_and_sends_it_again() {
    let (host, server) = (Host::with_files(), S3Server::start());
    host.configure_repository(&copies(&host, &server));
    let full = host.back_up();
    host.write("new.txt", "new");
    host.back_up();
    let there = in_copies(&host, &server, &full);
    for dir in &there {
        fs::remove_file(dir.join(ARCHIVE)).unwrap();
    }
    let synced = host.json(&["sync"]);
    assert_eq!(names_of(&synced, "mended"), [[name(&full)], [name(&full)]], "{synced}");
    verify_copies(&host);

    // Without its manifest it is none on a store, and a damaged one in a directory.
    for dir in &there {
        fs::remove_file(dir.join("manifest.json")).unwrap();
    }
    let synced = host.json(&["sync"]);
    assert_eq!(names_of(&synced, "mended"), [vec![name(&full)], vec![]], "{synced}");
    assert_eq!(names_of(&synced, "sent"), [vec![], vec![name(&full)]], "{synced}");
    verify_copies(&host);

    // What is lost in both places is not called complete.
    fs::remove_file(host.backup_dir(&full).join(ARCHIVE)).unwrap();
    fs::remove_file(there[1].join(ARCHIVE)).unwrap();
    host.run(&["sync", "offsite"]).failed(6, "backup_damaged");
    let listed = host.json(&["list"]);
    let record = listed.as_array().unwrap().iter().find(|it| it["name"] == full["name"]);
    assert_eq!(record.unwrap()["copies"], serde_json::json!(["disk"]));
    host.run(&["backup", "--strict"]).ended(3);
}

#[test]
fn what_a_verification_finds_damaged_in_a_copy_is_mended_by_the_next_sync() {
    let (host, server) = (Host::with_files(), S3Server::start());
    host.configure_repository(&copies(&host, &server));
    let full = host.back_up();
    host.write("new.txt", "new");
    let next = host.back_up();
    for dir in in_copies(&host, &server, &full) {
        damage(&dir.join(ARCHIVE));
    }
    // One names it as its own, the other as an archive that it needs.
    host.run(&["--copy", "disk", "verify", name(&full)]).ended(6);
    host.run(&["--copy", "offsite", "verify", name(&next)]).ended(6);
    let archive = host.backup_dir(&full).join(ARCHIVE);
    let sound = fs::read(&archive).unwrap();
    damage(&archive);
    host.run(&["sync"]).failed(6, "backup_damaged");
    fs::write(&archive, sound).unwrap();
    let synced = host.json(&["sync"]);
    assert_eq!(names_of(&synced, "mended"), [[name(&full)], [name(&full)]], "{synced}");
    for copy in ["disk", "offsite"] {
        for record in host.json(&["--copy", copy, "list"]).as_array().unwrap() {
            assert_ne!(record["last_verification"]["ok"], false, "{record}");
        }
    }
    verify_copies(&host);
    let again = host.json(&["sync"]);
    assert_eq!(names_of(&again, "mended"), [vec![""; 0], vec![]], "{again}");
}

#[test]
fn damage_that_is_found_here_while_a_copy_is_mended_is_known_and_not_built_upon() {
    let host = Host::with_files();
    host.configure_repository(&format!(
        "path = {:?}\n[[repository.copies]]\nname = \"disk\"\npath = {:?}\n",
        host.repository(),
        disk(&host)
    ));
    let full = host.back_up();
    for repository in [host.repository(), disk(&host)] {
        damage(&repository.join("backups").join(name(&full)).join(ARCHIVE));
    }
    host.run(&["--copy", "disk", "verify", name(&full)]).ended(6);
    let ran = host.run(&["sync"]).failed(6, "backup_damaged");
    assert!(ran.stderr.contains("in both places"), "{ran:?}");
    let last = host.json(&["show", name(&full)])["last_verification"].clone();
    assert_eq!((&last["ok"], &last["damages"][0]["object"]), (&false.into(), &ARCHIVE.into()));
    let next = host.run(&["backup", "--json"]).json();
    assert_eq!(next["kind"], "full", "{next}");
}

#[test]
fn what_is_kept_in_a_copy_stays_kept_there() {
    let (host, server) = (Host::with_files(), S3Server::start());
    host.configure_repository(&copies(&host, &server));
    let (held, kept) = (host.back_up(), host.back_up());
    let pin = |copy: &str, record: &Value| -> Value {
        let listed = host.json(&["--copy", copy, "list"]);
        let mut records = listed.as_array().unwrap().iter();
        records.find(|it| it["name"] == record["name"]).unwrap()["pin"].clone()
    };
    host.run(&["keep", name(&kept)]).ok();
    for copy in ["disk", "offsite"] {
        host.run(&["--copy", copy, "keep", name(&held), "--reason", "legal hold"]).ok();
    }
    host.run(&["sync"]).ok();
    for copy in ["disk", "offsite"] {
        assert_eq!(pin(copy, &held)["reason"], "legal hold");
        assert_eq!(pin(copy, &kept)["brought"], true);
    }
    host.run(&["unkeep", name(&kept)]).ok();
    host.run(&["sync"]).ok();
    for copy in ["disk", "offsite"] {
        assert_eq!(pin(copy, &held)["reason"], "legal hold");
        assert_eq!(pin(copy, &kept), Value::Null);
    }
}
