//! The files of `docs/integrations/guard/`, run with a `backstop` that only ends as it is told.

mod contract;
mod host;
mod pipelines;
mod unit;

use crate::support::host::Ran;
use crate::support::need::{self, Need};
use host::Host;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const HEALTH: &str = "http://127.0.0.1:8080/health";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/integrations/guard")
}

fn file(name: &str) -> String {
    folder().join(name).display().to_string()
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The rows of a table of the page below this heading, as exit code and second column.
fn table(heading: &str) -> Vec<(i32, String)> {
    let page = text("README.md");
    let rows = page.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| row.split('|').map(str::trim).collect::<Vec<_>>())
        .map(|cells| (cells[1].parse().unwrap(), cells[2].trim_matches('`').to_owned()))
        .collect()
}

#[track_caller]
fn last_line(ran: &Ran) -> &str {
    ran.stdout.lines().last().unwrap_or_else(|| panic!("{ran:?}"))
}

/// The words of a command.
fn words(command: &str) -> Vec<String> {
    command.split(' ').map(str::to_owned).collect()
}

/// What all ask of backstop, with what some add.
fn guarded(more: &[&str]) -> Vec<String> {
    let all = ["guard", "--version-label", "2.4.0", "--health", HEALTH];
    all.iter().chain(more).map(|&word| word.to_owned()).collect()
}

#[test]
fn deploy_ends_as_the_page_says() {
    let documented = table("| exit code | last line of `deploy.sh`");
    assert_eq!(documented.iter().map(|row| row.0).collect::<Vec<_>>(), [0, 1, 20, 21]);
    for (code, line) in documented {
        let host = Host::new().ending(code);
        let ran = host.run(&["sh", &file("deploy.sh")]).ended(code);
        assert_eq!(last_line(&ran), line);
        let timeout = ["--health-timeout", "2m"];
        assert_eq!(host.asked(), [words("guard resume"), guarded(&timeout)]);
        let upgraded = ["compose pull", "compose up --detach --wait"];
        assert_eq!(host.docker(), if code == 1 { vec![] } else { upgraded.to_vec() });
    }
    // Any other command in place of the one for compose; any other end.
    let host = Host::new().ending(130);
    let ran = host.run(&["sh", &file("deploy.sh"), "sh", "-c", "echo \"$1\"", "sh", "a  b"]);
    assert!(ran.stdout.starts_with("a  b\n"), "{ran:?}");
    assert!(last_line(&ran.ended(130)).contains("backstop ended with 130"));
    assert!(host.docker().is_empty());
}

#[test]
fn nothing_new_is_begun_where_an_upgrade_was_cut_off() {
    for code in [1, 20, 21] {
        let host = Host::new().resuming(code);
        let ran = host.run(&["sh", &file("deploy.sh")]).ended(code);
        assert!(last_line(&ran).contains("2.4.0 was not begun"), "{ran:?}");
        host.run(&["make", "-f", &file("Makefile"), "upgrade", "VERSION=2.4.0"]).ended(2);
        assert_eq!(host.asked(), [words("guard resume"), words("guard resume")]);
    }
}

#[test]
fn deploy_says_what_came_of_it_after_ctrl_c() {
    let host = Host::new().ending(20);
    // The command sends the signal to all of its process group, as a terminal does.
    let (script, interrupt) = (file("deploy.sh"), "trap : INT; kill -INT 0; exit 3");
    let ran = host.run(&["setsid", "--wait", "sh", &script, "sh", "-c", interrupt]);
    assert!(last_line(&ran.ended(20)).ends_with("the version before it is running again."));
}

#[test]
fn the_compose_upgrade_leaves_the_env_of_the_version_that_runs() {
    let (old, new) = ("# stack\nAPP_TAG=2.3.1\nPORT=80\n", "# stack\nAPP_TAG=2.4.0\nPORT=80\n");
    let script = file("compose-upgrade.sh");
    for (code, line, env, before) in [
        (0, "2.4.0 is running.", new, false),
        (1, "2.4.0 was not begun: there is no backup to come back to, see above.", old, false),
        (20, "2.4.0 failed; the version before it is running again, with its .env.", old, false),
        (21, "2.4.0 failed, and so did the way back: ", new, true),
        (130, "backstop ended with 130: ", new, true),
    ] {
        let host = Host::new().ending(code).with_file(".env", old);
        fs::set_permissions(host.path().join(".env"), Permissions::from_mode(0o600)).unwrap();
        let ran = host.run(&["sh", &script, "2.4.0"]).ended(code);
        let line = format!("compose-upgrade.sh: {line}");
        assert!(last_line(&ran).starts_with(&line), "{ran:?}");
        assert_eq!(host.read(".env").as_deref(), Some(env));
        assert_eq!(fs::metadata(host.path().join(".env")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(host.read(".env.before").as_deref(), before.then_some(old));
        assert_eq!(host.read(".env.new"), None);
        assert_eq!(host.asked(), [guarded(&[])]);
        let up = (code != 1).then_some("compose up --detach --wait");
        let done: Vec<&str> = ["compose pull"].into_iter().chain(up).collect();
        assert_eq!(host.docker(), done);
        // What was cut off is for a person to look at.
        if before {
            host.run(&["sh", &script, "2.4.0"]).ended(4);
            assert_eq!(host.asked().len(), 1);
        }
    }
    for wrong in [&[][..], &["2.4.0;reboot"], &["a/b"]] {
        let host = Host::new().with_file(".env", old);
        host.run(&[&["sh", script.as_str()], wrong].concat()).ended(2);
        let host = Host::new().with_file(".env", "PORT=80\n");
        host.run(&["sh", &script, "2.4.0"]).ended(2);
        assert!(host.asked().is_empty() && host.docker().is_empty());
    }
}

#[test]
fn make_upgrades_rolls_back_and_asks() {
    let make = ["make", "-f", &file("Makefile")];
    for (code, line) in [
        (0, "2.4.0 is running."),
        (1, "2.4.0 was not begun: there is no backup to come back to, see above."),
        (20, "2.4.0 failed; the version before it is running again."),
        (21, "2.4.0 failed, and so did the way back: go on with the commands above."),
        (130, "backstop ended with 130; see: make guard-status"),
    ] {
        let host = Host::new().ending(code);
        let ran = host.run(&[&make[..], &["upgrade", "VERSION=2.4.0"]].concat());
        assert_eq!(last_line(&ran), line);
        let ran = ran.ended(if code == 0 { 0 } else { 2 });
        assert!(code == 0 || ran.stderr.ends_with(&format!("Error {code}\n")), "{ran:?}");
        let timeout = ["--health-timeout", "2m"];
        assert_eq!(host.asked(), [words("guard resume"), guarded(&timeout)]);
        assert_eq!(host.docker().len(), if code == 1 { 0 } else { 2 });
    }
    let host = Host::new();
    host.run(&[&make[..], &["rollback"]].concat()).ok();
    host.run(&[&make[..], &["guard-status"]].concat()).ok();
    assert_eq!(host.asked(), [words("rollback"), words("guard status")]);
}

#[test]
fn the_shell_finds_no_fault_with_the_scripts() {
    let host = Host::new();
    for script in ["deploy.sh", "compose-upgrade.sh"] {
        for shell in ["sh", "bash"] {
            host.run(&[shell, "-n", &file(script)]).ok();
        }
        match Command::new("shellcheck").arg(file(script)).output() {
            Err(_) => eprintln!("skipped: shellcheck is not installed"),
            Ok(output) => drop(Ran::of(&output).ok()),
        }
    }
}

#[test]
fn compose_understands_the_example() {
    let example = yaml("compose.example.yml");
    assert_eq!(example["services"]["app"]["labels"]["backstop.quiesce"], "shop");
    assert!(example["services"]["app"]["image"].as_str().unwrap().contains("${APP_TAG:?"));
    if !need::all(&[Need::Docker]) {
        return;
    }
    let compose = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/compose");
    let mut command = Command::new(compose);
    command.args(["config", "-q"]).env("COMPOSE_FILE", file("compose.example.yml"));
    Ran::of(&command.env("APP_TAG", "2.4.0").env("SHOP_DB_PASSWORD", "x").output().unwrap()).ok();
}
