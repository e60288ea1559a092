//! Backups that store what changed, through the program.

mod chains;
mod mounts;

use crate::support::cluster::Cluster;
use crate::support::host::{Host, Ran, listing};
use crate::support::need::{self, Need};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn kind(record: &Value) -> &str {
    record["kind"].as_str().unwrap()
}

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

/// The tree of a backup, restored elsewhere.
fn restored(host: &Host, record: &Value) -> String {
    let to = host.path().join(format!("restored-{}", id(record)));
    host.run(&["restore", id(record), "--to", to.to_str().unwrap()]).ok();
    listing(&to.join("files/uploads"))
}

fn files_component(record: &Value) -> &Value {
    record["components"].as_array().unwrap().iter().find(|part| part["type"] == "files").unwrap()
}

/// Change times that lie close before a backup are not trusted by the next one.
fn let_changes_age() {
    std::thread::sleep(std::time::Duration::from_millis(2100));
}

#[test]
fn every_backup_of_a_chain_gives_its_own_tree() {
    let host = Host::with_files();
    for number in 0..200 {
        host.write(&format!("many/{number:03}"), &format!("{number} ").repeat(500));
    }
    let_changes_age();
    let mut chain = vec![(host.back_up(), listing(&host.live()))];
    assert_eq!(kind(&chain[0].0), "full");
    let_changes_age();

    let unchanged = host.back_up();
    assert_eq!(kind(&unchanged), "incremental");
    assert_eq!(unchanged["parent"], chain[0].0["id"]);
    let (full, none) = (files_component(&chain[0].0), files_component(&unchanged));
    assert_eq!(none["file_count"], full["file_count"]);
    assert_eq!(none["source_bytes"], full["source_bytes"]);
    assert!(none["stored_bytes"].as_u64().unwrap() < 200, "nothing is stored: {none}");
    chain.push((unchanged, listing(&host.live())));

    fs::remove_file(host.live().join("many/007")).unwrap();
    fs::rename(host.live().join("many"), host.live().join("moved")).unwrap();
    host.write("new", "new");
    fs::remove_file(host.live().join("one.txt")).unwrap();
    host.write("one.txt/now", "a directory");
    chain.push((host.back_up(), listing(&host.live())));
    host.write("moved/008", "changed");
    let differential = host.json(&["backup", "--kind", "differential"]);
    assert_eq!((kind(&differential), &differential["parent"]), ("differential", &chain[0].0["id"]));
    chain.push((differential, listing(&host.live())));
    host.write("later", "later");
    chain.push((host.json(&["backup", "--kind", "full"]), listing(&host.live())));
    assert!(files_component(&chain[4].0).get("elsewhere").is_none());

    for (record, tree) in &chain {
        assert_eq!(restored(&host, record), *tree, "{}", record["name"]);
    }
    host.run(&["verify", "--all"]).ok();

    // A live restore goes the same way.
    host.run(&["restore", id(&chain[2].0), "--yes", "--no-safety"]).ok();
    assert_eq!(listing(&host.live()), chain[2].1);
}

/// What is unchanged but holds no content, such as a directory, lies in no archive that a
/// restore would look into.
#[test]
fn trees_of_which_no_file_is_unchanged_come_back() {
    let host = Host::with_files();
    fs::remove_dir_all(host.live()).unwrap();
    fs::create_dir_all(host.live().join("empty")).unwrap();
    let mut chain = vec![(host.back_up(), listing(&host.live()))];
    chain.push((host.back_up(), listing(&host.live())));
    host.write("only", "one");
    chain.push((host.back_up(), listing(&host.live())));
    host.write("only", "other");
    chain.push((host.back_up(), listing(&host.live())));
    std::os::unix::fs::symlink("only", host.live().join("link")).unwrap();
    fs::remove_file(host.live().join("only")).unwrap();
    chain.push((host.back_up(), listing(&host.live())));
    chain.push((host.back_up(), listing(&host.live())));
    for (record, tree) in &chain {
        assert_eq!(restored(&host, record), *tree, "{}", record["name"]);
        host.run(&["restore", id(record), "--yes", "--no-safety"]).ok();
        assert_eq!(listing(&host.live()), *tree, "{}", record["name"]);
    }
}

/// A page that is dirty already changes no time when it is stored into again.
#[test]
fn a_store_through_a_mapping_is_noticed() {
    const STORE: &str = "import mmap, os, sys, time\n\
        fd = os.open(sys.argv[1], os.O_RDWR)\n\
        page = mmap.mmap(fd, 4096)\n\
        page[0:5] = b'first'\n\
        print('stored', flush=True)\n\
        sys.stdin.readline()\n\
        page[0:5] = b'later'\n\
        print('stored', flush=True)\n\
        sys.stdin.readline()";
    if !need::all(&[Need::Python]) {
        return;
    }
    let host = Host::with_files();
    fs::write(host.live().join("mapped"), vec![b'x'; 4096]).unwrap();
    let mut python = std::process::Command::new("python3")
        .args(["-c", STORE])
        .arg(host.live().join("mapped"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(python.stdout.take().unwrap());
    let mut stored = || std::io::BufRead::read_line(&mut said, &mut String::new()).unwrap();
    stored();
    let_changes_age();
    host.back_up();
    let mut stdin = python.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"\n").unwrap();
    stored();
    let second = host.back_up();
    drop(stdin);
    python.wait().unwrap();
    assert_eq!(kind(&second), "incremental");
    let content = host.command(&["cat", id(&second), "uploads/mapped"]).output().unwrap().stdout;
    assert_eq!(&content[..5], b"later");
}

#[test]
fn what_others_need_is_not_deleted() {
    let host = Host::with_files();
    let full = host.back_up();
    let incremental = host.back_up();
    let failed: Ran = host.run(&["delete", id(&full), "--yes"]).failed(1, "backup_needed");
    assert!(failed.stderr.contains(incremental["name"].as_str().unwrap()), "{failed:?}");
    assert_eq!(host.backups_and_incoming(), (2, 0));
    host.run(&["delete", id(&incremental), "--yes"]).ok();
    host.run(&["delete", id(&full), "--yes"]).ok();
    assert_eq!(host.backups_and_incoming(), (0, 0));
}

#[test]
fn damage_of_an_earlier_archive_is_found_and_not_built_upon() {
    let host = Host::with_files();
    let full = host.back_up();
    let incremental = host.back_up();
    let archive = host.backup_dir(&full).join("files/uploads.tar.zst");
    let bytes = fs::read(&archive).unwrap();

    // One flipped bit: a restore reads every byte first.
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(&archive, flipped).unwrap();
    let before = host.live_state();
    let ran = host.run(&["restore", id(&incremental), "--yes"]).failed(6, "backup_damaged");
    assert!(ran.stderr.contains("files/uploads.tar.zst of backup"), "{ran:?}");
    assert_eq!(host.live_state(), before);

    // Whoever verifies the one learns of the other, and no backup builds upon either.
    let ran = host.run(&["verify", id(&incremental)]).ended(6);
    assert!(ran.stdout.contains("files/uploads.tar.zst of backup"), "{ran:?}");
    let both = host.run(&["verify", "--all", "--json"]).ended(6).json();
    assert!(both.as_array().unwrap().iter().all(|found| found["ok"] == false), "{both}");
    let next = host.back_up();
    assert_eq!((kind(&next), restored(&host, &next)), ("full", listing(&host.live())));
    host.run(&["delete", id(&next), "--yes"]).ok();

    // Gone: verification of the one that needs it says so, the next backup stores all.
    fs::remove_file(&archive).unwrap();
    let ran = host.run(&["verify", id(&incremental)]).ended(6);
    assert!(ran.stdout.contains("files/uploads.tar.zst of backup"), "{ran:?}");
    let next = host.back_up();
    assert_eq!(kind(&next), "full");
    assert!(next["warnings"].to_string().contains("stores everything again"), "{next}");
    assert_eq!(restored(&host, &next), listing(&host.live()));
}

#[test]
fn a_damaged_index_costs_storage_and_no_data() {
    let host = Host::with_files();
    let full = host.back_up();
    let index = host.backup_dir(&full).join("files/index.parquet");
    let mut bytes = fs::read(&index).unwrap();
    bytes[20] ^= 1;
    fs::write(&index, bytes).unwrap();
    let next = host.back_up();
    assert!(files_component(&next).get("elsewhere").is_none(), "{next}");
    assert_eq!(restored(&host, &next), listing(&host.live()));
}

#[test]
fn a_full_backup_is_due_when_its_time_is_over() {
    let host = Host::with_files();
    host.back_up();
    let due = Ran::of(
        &host
            .command(&["backup", "--json"])
            .env("BACKSTOP_REPOSITORY__FULL_EVERY", "0s")
            .output()
            .unwrap(),
    );
    assert_eq!(kind(&due.ok().json()), "full");
    assert_eq!(kind(&host.back_up()), "incremental");
    let first = Host::with_files();
    let ran = first.run(&["backup", "--kind", "incremental", "--json"]).ok();
    assert_eq!(kind(&ran.json()), "full");
    assert!(ran.stderr.contains("no full backup"), "{ran:?}");
}

#[test]
fn unchanged_tables_are_links_and_each_dump_is_whole() {
    let host = Host::with_database();
    host.database()
        .sql("CREATE TABLE still AS SELECT i, md5(i::text) FROM generate_series(1, 5000) i");
    let full = host.back_up();
    host.database().sql("INSERT INTO item VALUES (5000, 'later')");
    let incremental = host.back_up();
    let dump = |record: &Value| host.backup_dir(record).join("databases/shop");
    let inodes = |dir: &Path| {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        entries.map(|found| (found.ino(), found.nlink())).collect::<Vec<_>>()
    };
    let earlier = inodes(&dump(&full));
    let later = inodes(&dump(&incremental));
    let shared = later.iter().filter(|file| earlier.contains(file)).count();
    // Not the table that changed; the table of contents only where its second is the same.
    assert!((1..later.len()).contains(&shared), "{earlier:?} {later:?}");
    let stored = |record: &Value| {
        let parts = record["components"].as_array().unwrap();
        parts.iter().find(|part| part["name"] == "shop").unwrap()["stored_bytes"].as_u64().unwrap()
    };
    assert!(stored(&incremental) < stored(&full));

    // The later one outlives the earlier one.
    host.run(&[
        "restore",
        id(&incremental),
        "--database",
        &format!("shop={}_copy", host.database().name()),
    ])
    .ok();
    let copy = format!("{}_copy", host.database().name());
    assert_eq!(Cluster::shared().psql(&copy, "SELECT count(*) FROM item"), "1001");
    assert_eq!(Cluster::shared().psql(&copy, "SELECT count(*) FROM still"), "5000");
    Cluster::shared().psql("postgres", &format!("DROP DATABASE {copy}"));

    // A damaged file of the earlier dump is not linked to.
    for entry in fs::read_dir(dump(&full)).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let differential = host.json(&["backup", "--kind", "differential"]);
    host.run(&["verify", id(&differential)]).ok();
}
