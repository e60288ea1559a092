//! The frozen repository that every later version must read. `tests/fixtures/README.md`
//! tells how it came about.

use crate::support::cluster::{Cluster, SUPERUSER};
use crate::support::host::Host;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// A host whose repository is a copy of the frozen one, and which knows its databases.
fn host_of_the_frozen_repository() -> Host {
    let host = Host::with_files();
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/repository-v1");
    let copied = Command::new("cp").arg("-r").arg(frozen).arg(host.repository()).status();
    assert!(copied.unwrap().success());
    // The servers of old are gone; the databases come back to this one.
    let databases = ["shop", "notes"].map(|name| {
        let url = host.url(SUPERUSER, name);
        format!(
            "[[databases]]\nname = {name:?}\nurl = {url:?}\n\
             password_env = \"SHOP_DB_PASSWORD\"\n"
        )
    });
    host.configure(&databases.concat());
    host
}

#[test]
fn it_is_listed_and_verified() {
    let host = host_of_the_frozen_repository();
    let listed = host.json(&["list"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let record = &listed[0];
    assert_eq!(
        record["name"],
        "backup_full_archive_v1.0_2026-11-21_".to_owned() + name_end(record)
    );
    assert_eq!((&record["kind"], &record["reason"]), (&"full".into(), &"archive".into()));
    assert_eq!(record["labels"]["frozen"], "yes");
    assert_eq!(record["consistency"]["level"], "snapshot");
    let parts: Vec<_> = record["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (part["type"].as_str().unwrap(), part["name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        parts,
        [
            ("globals", "globals"),
            ("database", "shop"),
            ("database", "notes"),
            ("files", "uploads"),
            ("container", "backstop-frozen-app"),
        ]
    );
    let found = host.json(&["verify", "--all"]);
    assert_eq!((&found[0]["ok"], &found[0]["id"]), (&true.into(), &record["id"]));
    assert_eq!(host.json(&["show"])["status"], "verified");
}

/// What follows the day in the name: the time and the id's first digits.
fn name_end(record: &serde_json::Value) -> &str {
    let name = record["name"].as_str().unwrap();
    &name[name.len() - "hh-mm-ss_xxxx".len()..]
}

#[test]
fn its_files_come_back() {
    let host = host_of_the_frozen_repository();
    let to = host.path().join("look");
    host.run(&["restore", "latest", "--to", to.to_str().unwrap()]).ok();
    let tree = to.join("files/uploads");
    assert_eq!(fs::read_to_string(tree.join("hello.txt")).unwrap(), "hello\n");
    let inode = |name: &str| fs::metadata(tree.join(name)).unwrap().ino();
    assert_eq!(inode("hello.txt"), inode("second-name.txt"));
    assert_eq!(fs::read_link(tree.join("link")).unwrap(), Path::new("hello.txt"));
    let sparse = fs::metadata(tree.join("sparse")).unwrap();
    assert_eq!(sparse.size(), 16 << 20);
    assert!(sparse.blocks() * 512 < 1 << 20, "holes come back as holes");
    let content = fs::read(tree.join("sparse")).unwrap();
    assert_eq!(&content[8 << 20..(8 << 20) + 6], b"island");
    assert!(content[..8 << 20].iter().all(|byte| *byte == 0));
    let long = tree.join("l".repeat(120)).join("m".repeat(120)).join("n".repeat(120));
    assert_eq!(fs::read_to_string(long).unwrap(), "long\n");
    let setuid = fs::metadata(tree.join("setuid")).unwrap();
    assert_eq!(
        (setuid.mode() & 0o7777, setuid.mtime(), setuid.mtime_nsec()),
        (0o4755, 981_173_106, 7)
    );
    assert!(fs::read_dir(tree.join("empty")).unwrap().next().is_none());
}

#[test]
fn its_databases_come_back() {
    let host = host_of_the_frozen_repository();
    let cluster = Cluster::shared();
    for (name, sql, expected) in [
        ("shop", "SELECT count(*), sum(price) FROM item", "100|5050.00"),
        ("notes", "SELECT count(*), min(text) FROM note", "3|first"),
    ] {
        let new = format!("frozen_{name}");
        host.run(&["restore", "latest", "--database", &format!("{name}={new}")]).ok();
        let found = cluster.psql(&new, sql);
        let owner = cluster.psql(
            "postgres",
            &format!("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{new}'"),
        );
        cluster.psql("postgres", &format!("DROP DATABASE {new}"));
        assert_eq!(found, expected);
        assert_eq!(owner, "frozen_shop", "its role was created from globals.sql");
    }
}
