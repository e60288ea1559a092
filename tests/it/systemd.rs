//! The systemd units of `docs/integrations/systemd/` are right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the units expect the program.
const INSTALLED: &str = "/usr/local/bin/backstop";

/// The program under test.
const BUILT: &str = env!("CARGO_BIN_EXE_backstop");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/integrations/systemd")
}

/// The name and text of every unit.
fn units() -> Vec<(String, String)> {
    let mut units: Vec<(String, String)> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| !name.ends_with(".md"))
        .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
        .collect();
    units.sort();
    assert_eq!(units.len(), 3, "{units:?}");
    units
}

/// `(section, key, value)` of every setting.
fn settings(text: &str) -> Vec<(&str, &str, &str)> {
    let mut section = "";
    let mut settings = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => section = name,
            None => {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
                settings.push((section, key, value));
            }
        }
    }
    settings
}

/// The value of `key`, which is set once.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let all = settings(text);
    let values: Vec<&str> = all.iter().filter(|setting| setting.1 == key).map(|s| s.2).collect();
    assert_eq!(values.len(), 1, "{key}: {values:?}");
    values[0]
}

/// Fails unless the program takes these arguments.
fn accepts(arguments: &str, place: &str) {
    let output =
        Command::new(BUILT).args(arguments.split_whitespace()).arg("--help").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{place}: backstop {arguments}: {message}");
}

#[test]
fn units_have_the_sections_of_their_kind() {
    for (name, text) in units() {
        let own = if name.ends_with(".timer") { "Timer" } else { "Service" };
        for (section, key, _) in settings(&text) {
            assert!(["Unit", own, "Install"].contains(&section), "{name}: [{section}] {key}");
        }
    }
}

#[test]
fn the_commands_of_units_and_pages_exist() {
    for (name, text) in units() {
        for (_, key, value) in settings(&text) {
            if key.starts_with("Exec") {
                let arguments = value.strip_prefix(INSTALLED).unwrap_or_else(|| panic!("{value}"));
                accepts(arguments, &name);
            }
        }
    }
    let page = fs::read_to_string(folder().join("README.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let commands: Vec<&str> = quoted.filter_map(|text| text.strip_prefix("backstop ")).collect();
    assert!(commands.contains(&"recover"), "{commands:?}");
    commands.iter().for_each(|arguments| accepts(arguments, "README.md"));
}

#[test]
fn containers_are_resumed_after_every_backup_and_at_boot() {
    let units = units();
    let text = |name: &str| units.iter().find(|unit| unit.0 == name).unwrap().1.as_str();
    let (backup, recover) = (text("backstop-backup.service"), text("backstop-recover.service"));
    assert_eq!(value(backup, "ExecStopPost"), format!("{INSTALLED} recover"));
    assert_eq!(value(backup, "KillMode"), "mixed");
    assert_eq!(value(recover, "ExecStart"), format!("{INSTALLED} recover"));
    assert_eq!(value(recover, "WantedBy"), "multi-user.target");
    assert!(value(recover, "After").contains("docker.service"));
    assert!(value(backup, "After").contains("backstop-recover.service"));
    assert_eq!(value(text("backstop-backup.timer"), "Persistent"), "true");
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = units()
        .into_iter()
        .map(|(name, text)| {
            let path = directory.path().join(name);
            fs::write(&path, text.replace(INSTALLED, BUILT)).unwrap();
            path
        })
        .collect();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(paths).output();
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
