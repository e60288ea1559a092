//! What may stand behind `backstop`.

use std::process::Command;

/// Fails unless the program understands these words, without the command that is run.
#[track_caller]
pub(super) fn allows(words: &[String]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
    // Whatever is not understood is refused before help is given.
    let output = command.args(words).arg("--help").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {message}");
}

#[test]
fn what_does_not_exist_is_not_allowed() {
    let words = ["guard", "--no-such-flag"].map(str::to_owned);
    assert!(std::panic::catch_unwind(|| allows(&words)).is_err());
}
