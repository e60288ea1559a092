//! Restores that cannot be: the live state is what it was, and nothing is left beside it.

use crate::support::cluster::{Cluster, SUPERUSER};
use crate::support::host::{Host, OWNER};
use crate::support::mount::SmallMount;
use std::fs;

#[test]
fn a_target_without_room_is_refused_before_anything_is_built() {
    let host = Host::with_files();
    let Some(_small) = SmallMount::at(host.live().parent().unwrap(), "4m") else { return };
    host.write("one.txt", "one");
    fs::write(host.live().join("big"), vec![7; 2 << 20]).unwrap();
    host.back_up();
    fs::write(host.live().join("more"), vec![7; 1 << 20]).unwrap();
    let before = host.live_state();
    let ran = host.run(&["restore", "latest", "--yes", "--no-safety"]).failed(1, "disk_full");
    assert!(ran.stderr.contains("are needed"), "{ran:?}");
    assert_eq!(host.live_state(), before);
}

#[test]
fn a_target_whose_disk_fills_up_while_it_is_built() {
    let host = Host::with_files();
    let Some(_small) = SmallMount::at(host.live().parent().unwrap(), "4m") else { return };
    // Small files take a whole page each, which the sum of their bytes does not tell.
    for number in 0..400 {
        host.write(&format!("small/{number}"), "x");
    }
    host.back_up();
    fs::write(host.live().join("more"), vec![7; 1 << 20]).unwrap();
    let before = host.live_state();
    let ran = host.run(&["restore", "latest", "--yes", "--no-safety"]).failed(1, "disk_full");
    assert!(!ran.stderr.contains("are needed"), "found out too early: {ran:?}");
    assert_eq!(host.live_state(), before);
    assert_eq!(host.json(&["rollback", "--list"])[0]["stage"], "abandoned");

    let to = host.live().parent().unwrap().join("look");
    host.run(&["restore", "latest", "--to", to.to_str().unwrap()]).failed(1, "disk_full");
    assert!(!to.join("files/uploads").exists());
}

#[test]
fn a_user_who_may_not_create_what_the_dump_needs() {
    let host = Host::with_own_server();
    host.back_up();
    let original = host.live_state();
    let role = format!("{}_reader", host.database().name());
    let cluster = host.cluster();
    cluster.psql("postgres", &format!("CREATE ROLE {role}"));
    cluster.psql(host.database().name(), &format!("GRANT SELECT ON item TO {role}"));
    let record = host.back_up();
    host.database().sql(&format!("REVOKE ALL ON item FROM {role}"));
    cluster.psql("postgres", &format!("DROP ROLE {role}"));

    // The superuser creates the missing role; the owner may not, and nothing is touched.
    host.configure_url(Some(&host.url(OWNER, host.database().name())), "", "");
    let before = host.live_state();
    assert_eq!(before, original);
    let id = record["id"].as_str().unwrap();
    let ran = host.run(&["restore", id, "--yes", "--no-safety"]);
    assert!(ran.code == 1, "{ran:?}");
    assert!(ran.stderr.contains(&role) && ran.stderr.contains("hint: "), "{ran:?}");
    assert_eq!(host.live_state(), before);

    host.configure_url(Some(&host.url(SUPERUSER, host.database().name())), "", "");
    let restored = host.json(&["restore", id, "--yes", "--no-safety"]);
    let key = restored["key"].as_str().unwrap();
    host.run(&["rollback", "--yes"]).ok();
    host.run(&["rollback", key, "--purge", "--yes"]).ok();
    cluster.psql("postgres", &format!("DROP ROLE {role}"));
}

#[test]
fn a_safety_backup_that_fails_stops_the_restore() {
    let host = Host::with_database();
    host.back_up();
    Cluster::shared().psql(host.database().name(), "CREATE TABLE private AS SELECT 1 AS x");
    host.configure_url(Some(&host.url(OWNER, host.database().name())), "", "");
    let before = host.live_state();
    let ran = host.run(&["restore", "latest", "--yes"]).failed(1, "database_failed");
    assert!(ran.stderr.contains("--no-safety"), "{ran:?}");
    assert_eq!(host.live_state(), before);
    assert_eq!(host.json(&["rollback", "--list"])[0]["stage"], "abandoned");
    assert!(host.run(&["recover"]).ok().stdout.contains("Nothing to recover"));
}

#[test]
fn a_failed_backup_cannot_be_restored() {
    let host = Host::with_files();
    host.back_up();
    fs::rename(host.live(), host.path().join("away")).unwrap();
    host.run(&["backup"]).ended(1);
    let failed = host.json(&["list"])[0]["id"].as_str().unwrap().to_owned();
    let ran = host.run(&["restore", &failed, "--yes"]).failed(5, "backup_not_found");
    assert!(ran.stderr.contains("failed"), "{ran:?}");
    assert!(!host.live().exists());
}
