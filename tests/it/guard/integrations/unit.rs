//! The unit that finishes an upgrade after a reboot, and the commands of the page.

use super::{contract, text, words};
use std::fs;
use std::process::Command;

const UNIT: &str = "backstop-guard-resume.service";

/// Where the unit expects the program.
const INSTALLED: &str = "/usr/local/bin/backstop";

#[test]
fn the_unit_finishes_an_upgrade_before_the_next_backup() {
    let unit = text(UNIT);
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{key}"))
    };
    assert_eq!(value("ExecStart"), format!("{INSTALLED} guard resume"));
    assert!(value("After").contains("docker.service"));
    assert!(value("After").contains("backstop-recover.service"));
    assert_eq!(value("Before"), "backstop-backup.service");
    assert_eq!(value("WantedBy"), "multi-user.target");
    assert_eq!(value("RestartPreventExitStatus"), "2 20 21");
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(UNIT);
    fs::write(&path, text(UNIT).replace(INSTALLED, env!("CARGO_BIN_EXE_backstop"))).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(path).output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: systemd-analyze is not installed");
            return;
        }
        other => other.unwrap(),
    };
    // It says what it ignores and ends well all the same; of other units it talks too.
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("backstop")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_commands_of_the_page_are_right() {
    let page = text("README.md");
    let quoted = page.split('`').skip(1).step_by(2).chain(page.lines().map(str::trim));
    let mut seen = 0;
    for command in quoted.filter_map(|text| text.strip_prefix("backstop ")) {
        if command.starts_with("guard") || command.starts_with("rollback") {
            contract::allows(&words(command.split(" -- ").next().unwrap()));
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen}");
}
