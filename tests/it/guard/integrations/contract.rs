//! What may stand behind `backstop guard`.

use std::process::Command;
use std::sync::OnceLock;

const WITH_VALUE: [&str; 8] = [
    "--version-label",
    "--health",
    "--health-command",
    "--health-container",
    "--health-timeout",
    "--settle",
    "--timeout",
    "--lock-wait",
];

const ALONE: [&str; 4] = ["--allow-unprotected", "--no-rollback", "--dry-run", "--json"];

/// Fails unless these words, without the command that is run, are right.
#[track_caller]
pub(super) fn allows(words: &[String]) {
    let mut rest = words.iter().map(String::as_str);
    let first = rest.next();
    assert!(matches!(first, Some("guard" | "rollback")), "{words:?}");
    while let Some(word) = rest.next() {
        let subcommand = word == words[1] && ["resume", "status", "list"].contains(&word);
        let value = WITH_VALUE.contains(&word) && rest.next().is_some();
        assert!(subcommand || value || ALONE.contains(&word), "{word} in {words:?}");
    }
    if is_built() {
        let output = backstop().args(words).arg("--help").output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {message}");
    }
}

/// Whether the program under test has the command: then it is asked as well.
fn is_built() -> bool {
    static BUILT: OnceLock<bool> = OnceLock::new();
    *BUILT.get_or_init(|| {
        backstop().args(["guard", "--help"]).output().is_ok_and(|output| output.status.success())
    })
}

fn backstop() -> Command {
    Command::new(env!("CARGO_BIN_EXE_backstop"))
}
