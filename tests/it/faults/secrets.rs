//! Passwords: nowhere but where the user put them.

use super::*;
use crate::support::cluster::{PASSWORD, bin_dir, encode};
use crate::support::make_executable;
use std::fs;
use std::process::Stdio;

/// The command lines and environments of all processes that tell the password; backstop's
/// own children get it in their environment, which only their user can read.
fn command_lines_with_password() -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(line) = fs::read(entry.path().join("cmdline"))
            && tells_password(&line)
        {
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

#[test]
fn they_are_in_no_output_no_process_list_and_no_file() {
    let host = Host::with_database();
    // A pg_dump that waits until it was looked at.
    let bin = host.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["pg_dumpall", "pg_restore", "psql"] {
        std::os::unix::fs::symlink(bin_dir().join(program), bin.join(program)).unwrap();
    }
    let (running, seen) = (host.path().join("running"), host.path().join("seen"));
    let real = bin_dir().join("pg_dump");
    fs::write(
        bin.join("pg_dump"),
        format!(
            "#!/bin/sh\ncase \"$*\" in *--version*) exec {real:?} --version;; esac\n\
             touch {running:?}; while [ ! -e {seen:?} ]; do sleep 0.02; done\nexec {real:?} \"$@\"\n"
        ),
    )
    .unwrap();
    make_executable(&bin.join("pg_dump"));

    host.configure_database(&format!("bin_dir = {bin:?}"), "");
    let mut command = host.command(&["backup", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !running.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the backup ended without a dump");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let told = command_lines_with_password();
    fs::write(&seen, "").unwrap();
    let ran = Ran::of(&child.wait_with_output().unwrap()).ok();
    assert_eq!(told, Vec::<String>::new());

    let mut printed = ran.stdout + &ran.stderr;
    for arguments in [
        &["show"][..],
        &["list", "--json"],
        &["config", "show"],
        &["config", "show", "--json"],
        &["doctor"],
        &["verify"],
        &["restore", "latest", "--dry-run"],
    ] {
        let ran = host.run(arguments).ok();
        printed.push_str(&ran.stdout);
        printed.push_str(&ran.stderr);
    }
    assert!(!tells_password(printed.as_bytes()));
    for place in [host.state(), host.repository()] {
        assert_eq!(files_with_password(&place), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_password_inside_a_url_is_told_by_nothing_not_even_the_copy_of_the_config() {
    let host = Host::with_database();
    let url = host.url("postgres", host.database().name());
    let url = url.replace("postgres@", &format!("postgres:{}@", encode(PASSWORD)));
    let text = fs::read_to_string(host.config()).unwrap();
    let text = text
        .replace(&host.url("postgres", host.database().name()), &url)
        .replace("password_env = \"SHOP_DB_PASSWORD\"", "");
    fs::write(host.config(), text).unwrap();
    let mut printed = String::new();
    for arguments in [&["backup"][..], &["config", "show"], &["doctor"], &["list", "--json"]] {
        let ran = host.run(arguments).ok();
        printed.push_str(&ran.stdout);
        printed.push_str(&ran.stderr);
    }
    assert!(!tells_password(printed.as_bytes()), "{printed}");
    assert_eq!(files_with_password(&host.state()), Vec::<std::path::PathBuf>::new());
    assert_eq!(files_with_password(&host.repository()), Vec::<std::path::PathBuf>::new());
    let record = host.json(&["show"]);
    let copy = host.backup_dir(&record).join("config/backstop.toml");
    let text = fs::read_to_string(&copy).unwrap();
    assert!(text.contains("were left out") && text.contains("postgres://postgres@"), "{text}");
    // With the password given another way the copy serves as it is.
    let output = host.command(&["--config", copy.to_str().unwrap(), "doctor"]);
    let output = { output }.env("PGPASSWORD", PASSWORD).output().unwrap();
    let ran = Ran::of(&output);
    assert!(ran.stdout.contains("ok    database shop"), "{ran:?}");
}
