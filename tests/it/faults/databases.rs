//! Databases that cannot be dumped, and the client programs.

use super::*;
use crate::support::cluster::{Cluster, SUPERUSER, bin_dir};
use crate::support::host::OWNER;
use crate::support::make_executable;
use std::fs;

/// A directory of client programs whose `pg_dump` is a script of ours.
fn client_programs(host: &Host, pg_dump: &str) -> std::path::PathBuf {
    let bin = host.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    for program in ["pg_dumpall", "pg_restore", "psql"] {
        let _ = std::os::unix::fs::symlink(bin_dir().join(program), bin.join(program));
    }
    fs::write(bin.join("pg_dump"), format!("#!/bin/sh\n{pg_dump}\n")).unwrap();
    make_executable(&bin.join("pg_dump"));
    bin
}

#[test]
fn a_server_that_does_not_answer() {
    let host = Host::with_database();
    host.configure_url(Some("postgres://shop@127.0.0.1:1/shop"), "", "");
    let ran = fails(&host, "database_unreachable");
    assert!(ran.stderr.contains("127.0.0.1"), "{ran:?}");
    host.configure_url(Some("postgres://shop@no-such-host.invalid/shop"), "", "");
    fails(&host, "database_unreachable");
}

#[test]
fn a_wrong_password_and_an_unknown_database() {
    let host = Host::with_database();
    let output =
        host.command(&["backup"]).env("SHOP_DB_PASSWORD", "hunter2-is-wrong").output().unwrap();
    let ran = Ran::of(&output).failed(1, "database_authentication");
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    leaves_nothing_but_a_row(&host, &ran, "database_authentication");
    let without = host.command(&["backup"]).env_remove("SHOP_DB_PASSWORD").output().unwrap();
    let ran = Ran::of(&without);
    assert!(ran.code == 1 || ran.code == 2, "{ran:?}");
    assert!(ran.stderr.contains("SHOP_DB_PASSWORD"), "{ran:?}");

    host.configure_url(Some(&host.url(SUPERUSER, "no_such_database")), "", "");
    fails(&host, "database_not_found");
}

#[test]
fn an_old_and_a_missing_pg_dump() {
    let host = Host::with_database();
    let bin = client_programs(&host, "echo 'pg_dump (PostgreSQL) 9.6.24'");
    host.configure_database(&format!("bin_dir = {bin:?}"), "");
    let ran = fails(&host, "tool_too_old");
    assert!(ran.stderr.contains("9.6.24"), "{ran:?}");
    fs::remove_file(bin.join("pg_dump")).unwrap();
    fails(&host, "tool_missing");
}

#[test]
fn a_pg_dump_that_fails_halfway() {
    let host = Host::with_database();
    let real = bin_dir().join("pg_dump");
    let script = format!(
        "case \"$*\" in *--version*) exec {real:?} --version;; esac\n\
         {real:?} \"$@\"\necho 'pg_dump: error: the moon is full' >&2\nexit 1"
    );
    let bin = client_programs(&host, &script);
    for format in ["directory", "custom", "plain", "tar"] {
        host.configure_database(&format!("bin_dir = {bin:?}\nformat = {format:?}"), "");
        let ran = fails(&host, "database_failed");
        assert!(ran.stderr.contains("the moon is full"), "{format}: {ran:?}");
    }
}

#[test]
fn a_user_without_the_right_to_see_passwords_of_roles_gets_a_warning_and_a_backup() {
    let host = Host::with_database();
    host.configure_url(Some(&host.url(OWNER, host.database().name())), "", "");
    let ran = host.run(&["backup", "--json"]).ok();
    let record = ran.json();
    let warning = record["warnings"][0]["message"].as_str().unwrap();
    assert!(warning.contains("roles") && warning.contains("passwords"), "{record}");
    assert_eq!(host.json(&["list"])[0], record, "the backup is kept");
    let roles = host.backup_dir(&record).join("databases/globals.sql");
    let roles = fs::read_to_string(roles).unwrap();
    assert!(roles.contains("CREATE ROLE") && !roles.contains("SCRAM"), "{roles}");
    host.run(&["verify"]).ok();
}

#[test]
fn a_user_who_may_not_read_a_table_gets_its_name() {
    let host = Host::with_database();
    let database = host.database().name();
    Cluster::shared().psql(database, "CREATE TABLE private AS SELECT 1 AS x");
    host.configure_url(Some(&host.url(OWNER, database)), "", "");
    let ran = fails(&host, "database_failed");
    assert!(ran.stderr.contains("private"), "{ran:?}");
    // doctor says so beforehand, and knows what is left out.
    let ran = host.run(&["doctor"]).ended(3);
    assert!(ran.stdout.contains("may not read public.private"), "{ran:?}");
    assert!(ran.stdout.contains("GRANT pg_read_all_data"), "{ran:?}");
    host.configure_url(Some(&host.url(OWNER, database)), "exclude_tables = [\"private\"]", "");
    let ran = host.run(&["doctor"]).ok();
    assert!(ran.stdout.contains(&format!("user {OWNER} (who may")), "{ran:?}");
    host.run(&["backup"]).ok();
}
