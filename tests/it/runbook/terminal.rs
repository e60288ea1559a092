//! A run on a terminal, and one that is followed from another shell.

use super::bench::{BACKSTOP, Bench};
use super::commands::{ASKS, json, write};
use crate::support::host::Ran;
use crate::support::need::{self, Need};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Gives a program a terminal. Each text that is awaited is followed by what is typed then, or by a
/// file that is made then.
const TERMINAL: &str = "\
import os, pty, sys
split = sys.argv.index('--')
talk, command = sys.argv[1:split], sys.argv[split + 1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
said = b''
for awaited, then in zip(talk[::2], talk[1::2]):
    while awaited.encode() not in said:
        said += os.read(terminal, 4096)
    if then.startswith('/'):
        open(then, 'w').close()
    else:
        os.write(terminal, then.encode())
try:
    while True:
        said += os.read(terminal, 4096)
except OSError:
    pass
sys.stdout.write(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))";

fn on_a_terminal(bench: &Bench, talk: &[&str], arguments: &[&str]) -> Command {
    let mut python = Command::new("python3");
    python.args(["-c", TERMINAL]).args(talk).args(["--", BACKSTOP]).args(arguments);
    python.args(["--config", bench.config().to_str().unwrap()]).env_remove("NO_COLOR");
    python
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The line of a terminal, without colours, that contains this.
fn line_with(said: &str, words: &str) -> String {
    let plain = said.split("\x1b[").enumerate().map(|(place, part)| match place {
        0 => part,
        _ => part.split_once('m').map_or(part, |(_, text)| text),
    });
    let plain: String = plain.collect();
    let line = plain.lines().find(|line| line.contains(words));
    line.unwrap_or_else(|| panic!("{words}: {plain}")).trim_end().to_owned()
}

#[test]
fn a_terminal_shows_states_times_and_output_and_asks_in_place() {
    if !need::all(&[Need::Python]) {
        return;
    }
    let bench = Bench::new();
    let go = bench.effects().join("go");
    // The step goes on when its first line was seen: it is shown while the step works.
    let slow = "- {id: slow, action: shell, with: {script: 'echo first line; while ! test -e EFFECTS/go; do sleep 0.02; done; sleep 0.3; echo second line'}}\n";
    write(&bench, "asks", &format!("{slow}{ASKS}"));
    let talk = ["    first line", go.to_str().unwrap(), "[yes/no] ", "yes\n"];
    let run = ["runbook", "run", "asks"];
    let ran = Ran::of(&on_a_terminal(&bench, &talk, &run).output().unwrap()).ok();
    assert_eq!(bench.effect("word"), ["hello"]);
    assert!(ran.stdout.contains("\x1b[1;32m✓\x1b[0m"), "in colours: {ran:?}");
    let began = line_with(&ran.stdout, "• slow: ");
    assert!(began.starts_with("• slow: run the script: echo first line; while"), "{began}");
    let ended = line_with(&ran.stdout, "slow SUCCEEDED in ");
    let seconds = ended.strip_prefix("✓ slow SUCCEEDED in ").and_then(|it| it.strip_suffix(" s"));
    let seconds: f64 = seconds.unwrap_or_else(|| panic!("{ended}")).parse().unwrap();
    assert!((0.3..30.0).contains(&seconds), "{ended}");
    assert_eq!(line_with(&ran.stdout, "    second line"), "    second line");
    line_with(&ran.stdout, "Write hello?");
    line_with(&ran.stdout, "Go on with change? [yes/no] yes");
    line_with(&ran.stdout, "✓ change SUCCEEDED in ");
    let report = json(&bench, &["runbook", "report", "latest"]).1;
    assert_eq!(report["approvals"][0]["means"], "terminal", "{report}");
    assert_eq!(report["approvals"][0]["decision"], "approved", "{report}");

    // Who says no has decided nothing for good: it waits, and nothing was done.
    fs::remove_file(bench.effects().join("word")).unwrap();
    let no = ["[yes/no] ", "no\n"];
    let ran = Ran::of(&on_a_terminal(&bench, &no, &run).output().unwrap()).ended(7);
    assert!(bench.effect("word").is_empty(), "{ran:?}");
    let status = json(&bench, &["runbook", "status", "latest"]).1;
    assert!(["WAITING", "PAUSED"].contains(&status[0]["state"].as_str().unwrap()), "{status}");
    json(&bench, &["runbook", "abort", "latest"]);

    // A step that fails says so.
    write(&bench, "fails", "- {id: bad, action: shell, with: {script: 'echo why; exit 4'}}\n");
    let fails = ["runbook", "run", "fails"];
    let ran = Ran::of(&on_a_terminal(&bench, &[], &fails).output().unwrap()).ended(1);
    let bad = line_with(&ran.stdout, "bad FAILED in ");
    assert!(bad.starts_with("✗ ") && bad.contains("exit code 4"), "{bad}");
    assert_eq!(line_with(&ran.stdout, "    why"), "    why");
}

#[test]
fn whoever_agrees_in_another_shell_releases_the_run_that_asks_on_a_terminal() {
    if !need::all(&[Need::Python]) {
        return;
    }
    let bench = Bench::new();
    write(&bench, "asks", ASKS);
    let asked = bench.dir.join("asked");
    let talk = ["[yes/no] ", asked.to_str().unwrap()];
    let mut terminal = on_a_terminal(&bench, &talk, &["runbook", "run", "asks"]);
    let runner = terminal.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    wait_for("it asks", || asked.exists());
    assert!(bench.effect("word").is_empty());
    // It only agrees: whoever asks has to go on.
    let approve = ["runbook", "approve", "latest", "change", "--no-resume"];
    let (exit, decision, said) = json(&bench, &approve);
    assert_eq!((exit, &decision["runner"]), (0, &true.into()), "{decision} {said}");
    let ran = Ran::of(&runner.wait_with_output().unwrap()).ok();
    line_with(&ran.stdout, "✓ change SUCCEEDED in ");
    assert_eq!(bench.effect("word"), ["hello"], "once: {ran:?}");
    let report = json(&bench, &["runbook", "report", "latest"]).1;
    assert_eq!(report["approvals"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["approvals"][0]["means"], "command", "{report}");
}

fn spawned(config: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(BACKSTOP);
    command.args(arguments).args(["--config", config.to_str().unwrap()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_living_run_is_followed_to_its_end_and_the_newest_run_is_listed_first() {
    let bench = Bench::new();
    let slow = "- {id: slow, action: shell, with: {script: 'touch EFFECTS/begun; while ! test -e EFFECTS/go; do sleep 0.02; done'}}\n";
    let mut runs = Vec::new();
    for (name, then, exit) in [
        ("good", "- {id: last, action: shell, with: {script: 'true'}}\n", 0),
        ("bad", "- {id: last, action: shell, with: {script: exit 3}}\n", 1),
        (
            "asks",
            "- {id: last, action: shell, approval: {prompt: 'Go on?'}, with: {script: 'true'}}\n",
            7,
        ),
    ] {
        for file in ["go", "begun"] {
            let _ = fs::remove_file(bench.effects().join(file));
        }
        write(&bench, name, &format!("{slow}{then}"));
        let runner = spawned(&bench.config(), &["runbook", "run", name]);
        wait_for("it has begun", || bench.effects().join("begun").exists());
        let mut follower = spawned(&bench.config(), &["runbook", "status", "latest", "--follow"]);
        let mut told = BufReader::new(follower.stderr.take().unwrap()).lines();
        let first = told.next().unwrap().unwrap();
        assert!(first.contains("slow STARTED"), "{first}");
        assert!(follower.try_wait().unwrap().is_none(), "it follows while the run lives");
        fs::write(bench.effects().join("go"), "").unwrap();
        let shown = Ran::of(&follower.wait_with_output().unwrap());
        let ran = Ran::of(&runner.wait_with_output().unwrap()).ended(exit);
        assert_eq!(shown.code, exit, "{name}: {shown:?} {ran:?}");
        assert!(
            shown.stdout.contains(name) && shown.stdout.contains("slow  SUCCEEDED"),
            "{shown:?}"
        );
        runs.insert(0, bench.view("latest").id);
    }
    let listed = json(&bench, &["runbook", "status"]).1;
    let listed: Vec<&str> =
        listed.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(listed, runs, "newest first");
}
