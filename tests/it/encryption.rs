//! Encrypted backups: what the `age` command, a host without the key, and one with it may rely on.

mod keys;
mod stores;
mod without_key;

use crate::support::cluster::{Cluster, bin_dir};
use crate::support::host::{Host, Ran, listing};
use crate::support::need::{self, Need};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

/// Where the host's key lies.
fn key(host: &Host) -> PathBuf {
    host.path().join("keys/shop.key")
}

/// Makes a key in a new file and returns its public one.
fn generate(host: &Host, file: &Path) -> String {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let made = host.json(&["key", "generate", "--output", file.to_str().unwrap()]);
    made["recipient"].as_str().unwrap().to_owned()
}

/// `[encryption]` for these recipients, with the key at `file`, if any.
fn section(recipients: &[&str], file: Option<&Path>) -> String {
    let file = file.map(|file| format!("identity_file = {file:?}\n")).unwrap_or_default();
    format!("[encryption]\nrecipients = {recipients:?}\n{file}")
}

/// Makes the host encrypt, with a key of its own.
fn encrypt(host: &Host) -> String {
    let recipient = generate(host, &key(host));
    host.configure(&section(&[&recipient], Some(&key(host))));
    recipient
}

/// Every file below `root`, relative to it.
fn files(root: &Path) -> Vec<String> {
    let mut find = Command::new("find");
    let find = find.args([".", "-type", "f", "-printf", "%P\\n"]).current_dir(root);
    let output = find.output().unwrap();
    let mut names: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// Whether a file below `root` holds `text`.
fn holds(root: &Path, text: &str) -> bool {
    Command::new("grep").args(["-rqaF", "--", text]).arg(root).status().unwrap().success()
}

fn sh(script: &str, directory: &Path, variables: &[(&str, &Path)]) -> Ran {
    let own = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let path = std::env::join_paths(std::iter::once(bin_dir().to_path_buf()).chain(own)).unwrap();
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(directory).env("PATH", path);
    Ran::of(&command.envs(variables.iter().copied()).output().unwrap())
}

#[test]
fn the_age_command_reads_every_object() {
    if !need::all(&[Need::Age]) {
        return;
    }
    let host = Host::with_database();
    let recipient = generate(&host, &key(&host));
    host.configure_database("format = \"directory\"", &section(&[&recipient], Some(&key(&host))));
    let record = host.back_up();
    let dir = host.backup_dir(&record);
    let names = files(&dir);
    for name in
        ["files/uploads.tar.zst.age", "files/index.parquet.age", "databases/globals.sql.age"]
    {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    assert!(names.iter().any(|name| name == "config/backstop.toml.age"), "{names:?}");
    assert!(names.iter().any(|name| name == "databases/shop/toc.dat.age"), "{names:?}");
    for name in
        names.iter().filter(|name| !["manifest.json", "SHA256SUMS"].contains(&name.as_str()))
    {
        let script = format!("age -d -i \"$KEY\" '{name}' | wc -c");
        let ran = sh(&script, &dir, &[("KEY", &key(&host))]);
        assert!(name.ends_with(".age") && ran.code == 0, "{name}: {ran:?}");
    }
    sh("sha256sum --quiet -c SHA256SUMS", &dir, &[]).ok();
    // Names and contents of files stand nowhere in the clear.
    assert!(!holds(&dir, "two.bin") && !holds(&dir, "two two") && !holds(&dir, "CREATE TABLE"));
    let shown = fs::read_to_string(dir.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(manifest["encryption"]["format"], "age");

    let page = include_str!("../../docs/encryption.md");
    let commands = page.split_once("## By hand").unwrap().1.split_once("```sh\n").unwrap().1;
    let commands = commands.split_once("```").unwrap().0;
    let target = host.path().join("by-hand");
    let variables = [("KEY", key(&host)), ("BACKUP", dir.clone()), ("TARGET", target.clone())];
    let variables: Vec<(&str, &Path)> =
        variables.iter().map(|(name, path)| (*name, path.as_path())).collect();
    let ran = sh(commands, host.path(), &variables).ok();
    assert!(ran.stdout.contains("TABLE DATA public item"), "{ran:?}");
    assert_eq!(listing(&target.join("uploads")), listing(&host.live()));
    assert!(fs::read(target.join("index.parquet")).unwrap().starts_with(b"PAR1"));
}

#[test]
fn every_format_of_a_dump_comes_back() {
    let host = Host::with_database();
    let recipient = generate(&host, &key(&host));
    let encryption = section(&[&recipient], Some(&key(&host)));
    let copy = format!("{}_copy", host.database().name());
    for format in ["custom", "plain", "tar", "directory"] {
        host.configure_database(&format!("format = {format:?}"), &encryption);
        let record = host.json(&["backup", "--kind", "full"]);
        assert!(!holds(&host.backup_dir(&record), "CREATE TABLE"), "{format}");
        host.run(&["verify", "--level", "deep", id(&record)]).ok();
        let sql = host.run(&["dump", id(&record), "--database", "shop", "--sql"]).ok().stdout;
        assert!(sql.contains("CREATE TABLE public.item"), "{format}");
        let target = format!("shop={copy}");
        host.run(&["restore", id(&record), "--database", &target]).ok();
        assert_eq!(Cluster::shared().psql(&copy, "SELECT count(*) FROM item"), "1000");
        Cluster::shared().psql("postgres", &format!("DROP DATABASE {copy}"));
    }
    let left = fs::read_dir(host.state().join("scratch")).unwrap();
    assert_eq!(left.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 0);
}

#[test]
fn a_chain_of_encrypted_backups_is_searched_read_and_restored_as_any_other() {
    let host = Host::with_database();
    encrypt(&host);
    for number in 0..50 {
        host.write(&format!("many/{number:02}"), &format!("{number} ").repeat(500));
    }
    host.database()
        .sql("CREATE TABLE still AS SELECT i, md5(i::text) FROM generate_series(1, 5000) i");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let full = host.back_up();
    let before = (listing(&host.live()), host.live_state());
    host.write("one.txt", "another one");
    fs::remove_file(host.live().join("many/07")).unwrap();
    host.database().sql("DELETE FROM item WHERE id > 900");
    let last = host.back_up();
    assert_eq!(last["kind"], "incremental", "{last}");
    assert_eq!(last["parent"], full["id"]);
    let stored = |record: &Value, name: &str| {
        let parts = record["components"].as_array().unwrap();
        let part = parts.iter().find(|part| part["name"] == name).unwrap();
        part["stored_bytes"].as_u64().unwrap()
    };
    assert!(stored(&last, "uploads") < stored(&full, "uploads"));
    assert!(stored(&last, "shop") < stored(&full, "shop"), "the unchanged table is a link");

    // Looking.
    let listed = host.json(&["ls", id(&last), "uploads/many"]);
    assert_eq!(listed.as_array().unwrap().len(), 49, "{listed}");
    assert_eq!(host.run(&["cat", id(&full), "uploads/one.txt"]).ok().stdout, "one");
    assert_eq!(host.run(&["cat", id(&last), "uploads/many/08"]).ok().stdout, "8 ".repeat(500));
    assert_eq!(host.json(&["find", "uploads/many/07"]).as_array().unwrap().len(), 1);
    assert_eq!(host.json(&["history", "uploads/one.txt"]).as_array().unwrap().len(), 2);
    let changed = host.json(&["diff", id(&full), id(&last)]);
    assert!(
        changed
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["path"].as_str().unwrap().contains("many/07"))
    );
    let counted = host.json(&["sql", "SELECT count(*) AS n FROM files WHERE type = 'file'"]);
    assert_eq!(counted[0]["n"], 52 + 51, "{counted}");

    // Verifying.
    for level in ["quick", "full", "deep"] {
        host.run(&["verify", "--all", "--level", level]).ok();
    }

    // Going back, in place.
    host.run(&["restore", id(&full), "--yes", "--no-safety"]).ok();
    assert_eq!(listing(&host.live()), before.0);
    assert_eq!(host.database().sql("SELECT count(*) FROM item"), "1000");
    host.run(&["rollback", "--yes"]).ok();
    assert_eq!(host.database().sql("SELECT count(*) FROM item"), "900");

    // Put together, and without the rest.
    let made = host.json(&["repo", "consolidate", id(&last)])["backup"].clone();
    let dir = host.backup_dir(&made);
    assert!(files(&dir).contains(&"files/index.parquet.age".to_owned()), "{:?}", files(&dir));
    let indexes = || {
        let below = files(&host.state().join("indexes"));
        below.iter().filter(|name| name.ends_with(".parquet")).count()
    };
    assert_eq!(indexes(), 3, "one is that of changes");
    for gone in [&last, &full] {
        host.run(&["delete", id(gone), "--yes", "--force"]).ok();
    }
    host.run(&["verify", "--level", "deep", id(&made)]).ok();
    let to = host.path().join("restored");
    host.run(&["restore", id(&made), "--to", to.to_str().unwrap()]).ok();
    assert_eq!(listing(&to.join("files/uploads")), listing(&host.live()));
    host.json(&["find", "one.txt"]);
    assert_eq!(indexes(), 1, "those of deleted backups are gone");
}

#[test]
fn damage_is_found_without_the_key_and_what_is_whole_is_saved_with_it() {
    let host = Host::with_files();
    encrypt(&host);
    for number in 100..300 {
        // Does not compress, so that it fills two frames of many chunks.
        let mut random = vec![0; 65_536];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        fs::write(host.live().join(format!("{number}")), random).unwrap();
    }
    let record = host.back_up();
    let archive = host.backup_dir(&record).join("files/uploads.tar.zst.age");
    let whole = fs::read(&archive).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let cut = whole[..whole.len() - 1000].to_vec();
    // In the header, where it says for whom it is.
    let mut readdressed = whole.clone();
    readdressed[60] = if whole[60] == b'A' { b'B' } else { b'A' };
    for (damaged, saves) in
        [(flipped, true), (cut, true), (readdressed, false), (Vec::new(), false)]
    {
        fs::write(&archive, damaged).unwrap();
        let found = host.run(&["verify", "--json", id(&record)]).ended(6).json();
        assert_eq!(found[0]["damages"][0]["object"], "files/uploads.tar.zst.age", "{found}");
        let place = host.path().join("saved");
        let to = place.to_str().unwrap();
        host.run(&["restore", id(&record), "--to", to]).failed(6, "backup_damaged");
        let ran = host.run(&["restore", id(&record), "--to", to, "--salvage", "--json"]);
        assert!([3, 6].contains(&ran.code), "{ran:?}");
        let saved = place.join("files/uploads");
        let names: Vec<_> =
            (100..300).filter(|name| saved.join(name.to_string()).exists()).collect();
        assert_eq!((50..200).contains(&names.len()), saves, "{names:?} {ran:?}");
        for name in names.iter().map(ToString::to_string) {
            let content = |tree: &Path| fs::read(tree.join(&name)).unwrap();
            assert!(content(&saved) == content(&host.live()), "{name}");
        }
        let _ = fs::remove_dir_all(&place);
    }
    fs::write(&archive, &whole).unwrap();
    host.run(&["verify", "--level", "deep", id(&record)]).ok();

    // Without its manifest it is described by what else is known of it.
    let manifest = host.backup_dir(&record).join("manifest.json");
    fs::remove_file(&manifest).unwrap();
    let to = host.path().join("described");
    let ran = host.run(&["restore", id(&record), "--to", to.to_str().unwrap(), "--salvage"]);
    assert!([0, 3].contains(&ran.code), "{ran:?}");
    assert_eq!(listing(&to.join("files/uploads")), listing(&host.live()));
}

#[test]
fn what_a_killed_command_decrypted_is_removed_by_the_next() {
    let host = Host::with_database();
    encrypt(&host);
    host.database()
        .sql("CREATE TABLE big AS SELECT md5(random()::text) FROM generate_series(1, 50000) i");
    host.back_up();
    let scratches = || {
        let entries = fs::read_dir(host.state().join("scratch")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().is_dir()).count()
    };
    let mut child = host
        .command(&["dump", "--database", "shop", "latest"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It writes more than the pipe holds: from the first byte on it waits for us.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    assert_eq!(scratches(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scratches(), 1, "nobody was there to remove it");
    host.run(&["dump", "--database", "shop", "latest"]).ok();
    assert_eq!(scratches(), 0);
}
