//! `--to` and `--database`: beside the live stack.

use crate::support::cluster::Cluster;
use crate::support::host::{Host, listing};
use std::fs;

#[test]
fn files_and_databases_come_back_beside_the_live_stack() {
    let host = Host::with_database();
    host.back_up();
    let original = listing(&host.live());
    host.write("later.txt", "written after the backup");
    host.database().sql("DELETE FROM item WHERE id > 10");
    let before = host.live_state();

    let (to, new) = (host.path().join("look"), format!("{}_look", host.database().name()));
    let renaming = format!("shop={new}");
    let arguments = ["restore", "latest", "--to", to.to_str().unwrap(), "--database", &renaming];
    let restored = host.json(&arguments);
    assert!(restored["key"].is_null(), "there is nothing to roll back: {restored}");
    assert_eq!(listing(&to.join("files/uploads")), original);
    let rows = Cluster::shared().psql(&new, "SELECT count(*) FROM item");
    assert_eq!(rows, "1000");
    Cluster::shared().psql("postgres", &format!("DROP DATABASE {new}"));
    assert_eq!(host.live_state(), before, "the live stack is left alone");
    host.run(&["rollback", "--yes"]).failed(5, "nothing_to_roll_back");
}

#[test]
fn without_a_new_name_no_database_is_restored_and_without_a_directory_no_file() {
    let host = Host::with_database();
    host.back_up();
    let before = host.live_state();
    let to = host.path().join("look");
    host.run(&["restore", "latest", "--to", to.to_str().unwrap()]).ok();
    assert!(to.join("files/uploads/one.txt").exists());
    assert_eq!(host.live_state(), before);

    let new = format!("{}_only", host.database().name());
    host.run(&["restore", "latest", "--database", &format!("shop={new}")]).ok();
    assert_eq!(Cluster::shared().psql(&new, "SELECT count(*) FROM item"), "1000");
    // What exists is not overwritten.
    let ran = host.run(&["restore", "latest", "--database", &format!("shop={new}")]);
    assert!(ran.failed(1, "restore_failed").stderr.contains("exists"));
    assert_eq!(Cluster::shared().psql(&new, "SELECT count(*) FROM item"), "1000");
    Cluster::shared().psql("postgres", &format!("DROP DATABASE {new}"));
    let ran = host.run(&["restore", "latest", "--to", to.to_str().unwrap()]);
    assert!(ran.failed(1, "restore_failed").stderr.contains("uploads"));
    host.run(&["restore", "latest", "--database", "unknown=other"])
        .failed(5, "component_not_found");
    host.run(&["restore", "latest", "--database", "no-equals-sign"]).ended(2);
}

#[test]
fn files_come_out_where_there_is_no_docker() {
    let host = Host::with_files();
    host.back_up();
    host.configure("[[containers]]\nselect = \"label=backstop.quiesce\"\n");
    for (to, more) in [("whole", &[][..]), ("part", &["--path", "uploads/one.txt"])] {
        let mut command = host.command(&["restore", "latest", "--to", to]);
        let output = command.args(more).env("DOCKER_HOST", "unix:///nowhere.sock").output();
        crate::support::host::Ran::of(&output.unwrap()).ok();
        assert!(host.path().join(to).join("files/uploads/one.txt").exists());
    }
}

#[test]
fn a_dry_run_verifies_and_writes_nothing() {
    let host = Host::with_database();
    let record = host.back_up();
    let before = host.live_state();
    let to = host.path().join("look");
    let places = host.json(&["restore", "latest", "--to", to.to_str().unwrap(), "--dry-run"]);
    assert_eq!(places["places"][0]["component"], "uploads");
    assert!(!to.exists());
    let plan = host.json(&["restore", "latest", "--dry-run"]);
    assert_eq!(plan["replaces"].as_array().unwrap().len(), 2);
    assert_eq!(host.live_state(), before);
    assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 1, "no safety backup was taken");
    fs::write(host.backup_dir(&record).join("files/uploads.tar.zst"), "junk").unwrap();
    host.run(&["restore", "latest", "--dry-run"]).failed(6, "backup_damaged");
}

#[test]
fn every_dump_format_comes_back() {
    let host = Host::with_database();
    for format in ["directory", "custom", "plain", "tar"] {
        host.configure_database(&format!("format = {format:?}\njobs = 2"), "");
        host.run(&["backup", "--only", "databases"]).ok();
        let new = format!("{}_{format}", host.database().name());
        host.run(&["restore", "latest", "--database", &format!("shop={new}")]).ok();
        let sql = "SELECT count(*), md5(string_agg(name, '' ORDER BY id)) FROM item";
        assert_eq!(Cluster::shared().psql(&new, sql), host.database().sql(sql), "{format}");
        Cluster::shared().psql("postgres", &format!("DROP DATABASE {new}"));
    }
}
