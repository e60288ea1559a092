//! What is printed where, and what is asked.

use crate::support::host::Host;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn without_a_terminal_nothing_is_asked() {
    let host = Host::with_files();
    let record = host.back_up();
    let before = host.live_state();
    for arguments in [
        &["delete", "latest"][..],
        &["restore", "latest"],
        &["restore", "latest", "--json"],
        &["delete", "latest", "--json"],
    ] {
        let ran = host.run(arguments).ended(2);
        assert!(ran.stderr.contains("confirmation_required"), "{ran:?}");
        assert!(ran.stderr.contains("--yes"), "{ran:?}");
    }
    assert_eq!(host.live_state(), before);
    assert_eq!(host.json(&["list"])[0], record);
    let restored = host.json(&["restore", "latest", "--yes", "--no-safety"]);
    let key = restored["key"].as_str().unwrap();
    host.run(&["rollback"]).failed(2, "confirmation_required");
    host.run(&["rollback", key, "--purge"]).failed(2, "confirmation_required");
}

#[test]
fn piped_output_has_no_colours_and_no_bars() {
    let host = Host::with_files();
    for arguments in [
        &["backup"][..],
        &["list"],
        &["show"],
        &["verify"],
        &["doctor"],
        &["estimate"],
        &["show", "zz"],
        &["--help"],
        &["config", "show"],
    ] {
        let ran = host.run(arguments);
        let printed = ran.stdout + &ran.stderr;
        assert!(!printed.is_empty(), "{arguments:?}");
        assert!(!printed.contains('\u{1b}') && !printed.contains('\r'), "{arguments:?}: {printed}");
    }
}

#[test]
fn nothing_that_was_stored_commands_the_terminal() {
    let host = Host::with_files();
    host.run(&["backup", "--label", "note=\u{1b}[2Jgone"]).ok();
    let shown = host.run(&["show"]).ok().stdout;
    assert!(shown.contains(r"note=\u{1b}[2Jgone") && !shown.contains('\u{1b}'), "{shown}");
    assert_eq!(host.json(&["show"])["labels"]["note"], "\u{1b}[2Jgone");
    let ran = host.run(&["show", "\u{1b}[2J"]).failed(5, "backup_not_found");
    assert!(!ran.stderr.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn quiet_prints_results_and_errors_only() {
    let host = Host::with_files();
    let ran = host.run(&["backup", "--quiet"]).ok();
    assert_eq!(ran.stderr, "");
    assert!(ran.stdout.contains("status"), "{ran:?}");
    host.run(&["--quiet", "show", "zz"]).failed(5, "backup_not_found");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let host = Host::with_files();
    host.run(&["backup"]).ok();
    for arguments in [
        &["completions", "bash"][..],
        &["config", "schema"],
        &["list", "--json"],
        &["--help"],
        &["backup", "--json"],
    ] {
        let mut command = host.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        assert!(output.status.success(), "{arguments:?}: {} {said}", output.status);
    }
}

#[test]
fn help_shows_examples_and_every_command() {
    let host = Host::with_files();
    let help = host.run(&["--help"]).ok().stdout;
    for command in [
        "backup",
        "checkpoint",
        "list",
        "show",
        "verify",
        "delete",
        "restore",
        "rollback",
        "doctor",
        "recover",
        "config",
        "estimate",
        "completions",
        "manpages",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
        let own = host.run(&[command, "--help"]).ok().stdout;
        assert!(own.contains("Usage:") && own.contains("--json"), "{command}: {own}");
        assert!(own.contains("Examples:\n  backstop "), "{command}: {own}");
    }
    assert!(help.contains("Exit codes: 0 done; 1 failed; 2 usage or config;"), "{help}");
}

#[test]
fn completions_and_manual_pages_are_generated() {
    let host = Host::with_files();
    for shell in ["bash", "zsh", "fish"] {
        let script = host.run(&["completions", shell]).ok().stdout;
        assert!(script.contains("restore") && script.contains("rollback"), "{shell}");
        assert_eq!(host.json(&["completions", shell])["script"], script);
    }
    let dir = host.path().join("man");
    host.run(&["manpages", dir.to_str().unwrap()]).ok();
    for page in ["backstop.1", "backstop-backup.1", "backstop-restore.1"] {
        assert!(std::fs::read_to_string(dir.join(page)).unwrap().contains(".TH"), "{page}");
    }
}
