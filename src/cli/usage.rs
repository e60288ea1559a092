//! A command line that cannot be understood, and the texts of `--help` and `--version`.

use super::output::Output;
use crate::error::{Code, Error};
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;

/// Prints what the parser has to say and returns the exit code. With `--json` anywhere on
/// the command line a fault is the JSON object of every other failure.
pub(super) fn report(error: &clap::Error) -> ExitCode {
    let json = asks_for_json(std::env::args_os().skip(1));
    // The parser's own words would list commands that are nobody's to type.
    if error.use_stderr() && (json || error.kind() == ErrorKind::MissingSubcommand) {
        let error = fault(error);
        Output::new(json, false).error(&error);
        return ExitCode::from(error.code().exit());
    }
    // A reader that has gone away is no failure.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { Code::Usage.exit() } else { 0 })
}

/// The parser gave up before it could tell. What follows `--` are no flags.
fn asks_for_json(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.by_ref().take_while(|word| word != "--").any(|word| word == "--json")
}

fn fault(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let cause = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "it names no command".to_string()
        }
        _ => one_line(text.split("\n\n").next().unwrap_or_default()),
    };
    let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
    let hints: Vec<String> = tips
        .map(str::to_owned)
        .chain(usage.map(|usage| format!("write `{usage}`")))
        .chain([Code::Usage.hint().to_owned()])
        .collect();
    Error::new(Code::Usage, "understand", "the command line").cause(cause).hint(hints.join("; "))
}

fn one_line(block: &str) -> String {
    let block = block.strip_prefix("error: ").unwrap_or(block);
    let words: Vec<&str> = block.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;
    use clap::Parser;

    fn fault_of(arguments: &[&str]) -> serde_json::Value {
        fault(&Cli::try_parse_from(arguments).unwrap_err()).to_json()
    }

    #[test]
    fn a_fault_says_what_is_wrong_and_what_helps() {
        let unknown = fault_of(&["backstop", "backup", "--onyl", "files"]);
        assert_eq!(unknown["code"], "usage");
        assert_eq!(
            unknown["message"],
            "cannot understand the command line: unexpected argument '--onyl' found"
        );
        let hint = unknown["hint"].as_str().unwrap();
        assert!(hint.contains("'--only'") && hint.contains("write `backstop backup"), "{hint}");

        let missing = fault_of(&["backstop", "delete", "--json"]);
        let cause = missing["cause"].as_str().unwrap();
        assert_eq!(cause, "the following required arguments were not provided: <ID>");
        assert_eq!(fault_of(&["backstop", "--json"])["cause"], "it names no command");
    }

    #[test]
    fn json_is_asked_for_before_two_dashes_only() {
        let asks = |words: &[&str]| asks_for_json(words.iter().map(OsString::from));
        assert!(asks(&["show", "--no-such", "--json"]));
        assert!(!asks(&["exec-child", "--", "program", "--json"]));
    }
}
