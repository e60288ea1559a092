//! A host that takes backups and cannot read them.

use super::*;

#[test]
fn a_key_in_the_environment_is_enough_where_there_is_no_config() {
    let host = Host::with_files();
    let recipient = encrypt(&host);
    let record = host.back_up();
    let config = fs::read_to_string(host.config()).unwrap();
    assert!(config.contains(&recipient));
    let run = |key: Option<&Path>, arguments: &[&str]| {
        let repository = host.repository();
        let place = ["--repository", repository.to_str().unwrap()];
        let mut command = host.command(&[&place[..], arguments].concat());
        command
            .env_remove("BACKSTOP_CONFIG")
            .env("BACKSTOP_STATE__DIR", host.path().join("state of nobody"))
            .envs(key.map(|key| ("BACKSTOP_ENCRYPTION__IDENTITY_FILE", key)))
            .current_dir(host.live());
        Ran::of(&command.output().unwrap())
    };
    let to = host.path().join("restored");
    let restore = ["restore", id(&record), "--to", to.to_str().unwrap()];
    run(None, &restore).failed(1, "key_missing");
    run(None, &["config", "recorded"]).failed(1, "key_missing");
    let key = key(&host);
    run(Some(&key), &restore).ok();
    assert_eq!(listing(&to.join("files/uploads")), listing(&host.live()));
    assert_eq!(run(Some(&key), &["config", "recorded"]).ok().stdout, config);
    run(Some(&key), &["verify", "--level", "deep"]).ok();
}

#[test]
fn a_copy_that_was_mended_is_sound_also_where_its_damage_was_found_with_a_key() {
    let host = Host::with_files();
    let recipient = generate(&host, &key(&host));
    let disk = host.path().join("disk");
    let configure = |key: Option<&Path>| {
        let copy = format!("[[repository.copies]]\nname = \"disk\"\npath = {disk:?}\n");
        host.configure(&(section(&[&recipient], key) + &copy));
    };
    configure(Some(&key(&host)));
    let record = host.back_up();
    let archive = disk.join("backups").join(record["name"].as_str().unwrap());
    let archive = archive.join("files/uploads.tar.zst.age");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let deep = ["--copy", "disk", "verify", "--level", "deep", id(&record)];
    host.run(&deep).ended(6);
    configure(None);
    let synced = host.json(&["sync"]);
    assert_eq!(synced[0]["mended"], serde_json::json!([record["name"]]), "{synced}");
    let there = host.json(&["--copy", "disk", "show", id(&record)]);
    assert_eq!(there["last_verification"]["ok"], true, "{there}");
}

#[test]
fn a_host_without_the_key_takes_backups_verifies_them_and_reads_none() {
    let host = Host::with_database();
    let recipient = generate(&host, &key(&host));
    host.configure(&section(&[&recipient], None));
    host.database()
        .sql("CREATE TABLE still AS SELECT i, md5(i::text) FROM generate_series(1, 5000) i");
    let full = host.back_up();
    host.write("later.txt", "later");
    let last = host.back_up();
    assert_eq!((&full["kind"], &last["kind"]), (&"full".into(), &"incremental".into()));
    let third = host.json(&["backup", "--kind", "differential"]);
    assert_eq!(third["kind"], "differential");
    let linked = files(&host.backup_dir(&last).join("databases/shop"));
    let linked = linked.iter().filter(|name| {
        use std::os::unix::fs::MetadataExt;
        let path = host.backup_dir(&last).join("databases/shop").join(name);
        fs::metadata(path).unwrap().nlink() > 1
    });
    assert!(linked.count() > 0, "unchanged tables are not stored again");

    for level in ["quick", "full"] {
        host.run(&["verify", "--all", "--level", level]).ok();
    }
    host.run(&["verify", "--sample", "50%"]).ok();
    host.run(&["repo", "check"]).ok();
    host.run(&["restore", id(&last), "--yes"]).failed(1, "key_missing");
    host.run(&["cat", id(&last), "uploads/one.txt"]).failed(1, "key_missing");
    host.run(&["repo", "consolidate", id(&last)]).failed(1, "key_missing");
    host.run(&["verify", "--level", "deep", id(&last)]).failed(1, "key_missing");
    let doctor = host.run(&["doctor", "--json"]).json();
    assert!(doctor.to_string().contains("no secret key here"), "{doctor}");
    // What it keeps of its newest backups for the next one tells the names of its own files.
    assert_eq!(host.json(&["find", "later.txt"]).as_array().unwrap().len(), 1);

    // What it keeps is pruned, and where it is gone the next backup stores everything again.
    let parents = || fs::read_dir(host.state().join("parents")).unwrap().count();
    for _ in 0..5 {
        host.back_up();
    }
    assert!(parents() <= 7, "{}", parents());
    fs::remove_dir_all(host.state().join("parents")).unwrap();
    let ran = host.run(&["backup", "--json"]).ok();
    assert_eq!(ran.json()["kind"], "full");
    assert!(ran.stderr.contains("no key is configured"), "{ran:?}");
    assert_eq!(host.back_up()["kind"], "incremental");
    let ran = host.run(&["find", "later.txt"]).ended(3);
    assert!(ran.stderr.contains("left out"), "{ran:?}");
    // Nothing of which could be read says that nothing is there.
    fs::remove_dir_all(host.state().join("parents")).unwrap();
    for question in [
        &["find", "later.txt"][..],
        &["history", "uploads/later.txt"],
        &["list", "--containing", "uploads/later.txt"],
        &["sql", "SELECT count(*) FROM files"],
        &["ls", "latest"],
    ] {
        host.run(question).failed(1, "key_missing");
    }
    host.run(&["sql", "SELECT count(*) FROM backups"]).ok();

    // Elsewhere the key reads all of them.
    let with = |arguments: &[&str]| {
        let mut command = host.command(arguments);
        Ran::of(&command.env("BACKSTOP_ENCRYPTION__IDENTITY_FILE", key(&host)).output().unwrap())
    };
    with(&["verify", "--all", "--level", "deep"]).ok();
    let to = host.path().join("restored");
    with(&["restore", id(&last), "--to", to.to_str().unwrap()]).ok();
    assert_eq!(listing(&to.join("files/uploads")), listing(&host.live()));
    // With the key what was kept, and is gone, is made anew.
    assert_eq!(with(&["backup", "--json"]).ok().json()["kind"], "incremental");
}
