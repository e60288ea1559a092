//! `backstop runbook` as people and programs use it.

use super::bench::{BACKSTOP, Bench};
use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

pub(super) fn backstop(bench: &Bench, arguments: &[&str]) -> Output {
    Command::new(BACKSTOP)
        .args(arguments)
        .args(["--config", &bench.config().display().to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

pub(super) fn json(bench: &Bench, arguments: &[&str]) -> (i32, Value, String) {
    let output = backstop(bench, &[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), value, said)
}

pub(super) fn write(bench: &Bench, name: &str, steps: &str) -> String {
    let file = bench.dir.join("runbooks").join(format!("{name}.yaml"));
    let text = format!(
        "name: {name}\ndisaster: {name}\ntitle: Title of {name}\nobjectives: {{rto: 1h, rpo: 1d}}\n\
         parameters:\n  word: {{default: hello}}\nsteps:\n{steps}"
    );
    fs::write(&file, text.replace("EFFECTS", &bench.effects().display().to_string())).unwrap();
    file.display().to_string()
}

pub(super) const ASKS: &str = "\
- {id: look, action: disk.assert, with: {path: /, free_percent: 0}}
- id: change
  title: Change it
  action: shell
  approval: {prompt: 'Write {{ params.word }}?'}
  with: {script: 'echo writing; echo {{ params.word }} >> EFFECTS/word'}
  probe: {action: file.assert, with: {path: EFFECTS/word}}
";

#[test]
fn a_run_waits_for_its_approval_which_another_shell_gives() {
    let bench = Bench::new();
    write(&bench, "asks", ASKS);
    let (exit, listed, _) = json(&bench, &["runbook", "list"]);
    assert_eq!(exit, 0);
    let one = &listed[0];
    assert_eq!((one["name"].as_str(), one["disaster"].as_str()), (Some("asks"), Some("asks")));
    assert!(
        one["title"] == "Title of asks" && one["source"].as_str().unwrap().ends_with("asks.yaml")
    );

    let (exit, run, said) = json(&bench, &["runbook", "run", "asks", "--param", "word=there"]);
    assert_eq!(exit, 7, "{said}");
    assert_eq!(run["state"], "WAITING");
    assert_eq!(run["waiting"]["step"], "change");
    let id = run["id"].as_str().unwrap().to_owned();

    let (exit, status, _) = json(&bench, &["runbook", "status"]);
    assert_eq!((exit, status[0]["id"].as_str()), (0, Some(id.as_str())));
    assert_eq!(status[0]["steps"][0]["state"], "SUCCEEDED");
    assert_eq!(status[0]["steps"][1]["state"], "WAITING");
    for key in ["runbook", "state", "started_at"] {
        assert!(status[0][key].is_string(), "{key}");
    }
    for key in ["attempts", "seconds"] {
        assert!(status[0]["steps"][0][key].is_number(), "{key}");
    }

    assert_eq!(json(&bench, &["runbook", "approve", &id, "look"]).0, 1);
    let (exit, run, said) = json(&bench, &["runbook", "approve", &id, "change"]);
    assert_eq!((exit, run["state"].as_str()), (0, Some("SUCCEEDED")), "{said}");
    assert_eq!(bench.effect("word"), ["there"]);
    assert_eq!(json(&bench, &["runbook", "resume", &id]).0, 0);

    let log = backstop(&bench, &["runbook", "log", &id, "change"]);
    assert!(String::from_utf8_lossy(&log.stdout).contains("writing"));
    let (exit, report, _) = json(&bench, &["runbook", "report", &id]);
    assert_eq!(exit, 0);
    assert_eq!(report["approvals"][0]["means"], "command");
    assert!(report["approvals"][0]["shown"].as_str().unwrap().contains("Write there?"));
    assert!(
        report["measured_rto_seconds"].is_number()
            && report["timeline"].as_array().unwrap().len() > 8
    );
    let markdown = backstop(&bench, &["runbook", "report", &id]);
    let markdown = String::from_utf8_lossy(&markdown.stdout).into_owned();
    assert!(
        markdown.starts_with("# Title of asks\n") && markdown.contains("objective: 1h"),
        "{markdown}"
    );

    // The catalog knows the run, also after it was lost.
    let ask =
        ["sql", "SELECT r.state, a.step, a.means FROM runs r JOIN run_approvals a ON a.run = r.id"];
    let (_, rows, said) = json(&bench, &ask);
    assert_eq!(rows[0]["means"], "command", "{said}");
    fs::remove_file(bench.state_dir().join("catalog.duckdb")).unwrap();
    assert_eq!(json(&bench, &ask).1, rows);
}

#[test]
fn with_yes_a_run_goes_through_and_one_that_fails_says_so() {
    let bench = Bench::new();
    write(&bench, "asks", ASKS);
    let file =
        write(&bench, "fails", "- {id: bad, action: shell, with: {script: 'echo why; exit 4'}}\n");
    let (exit, run, said) = json(&bench, &["runbook", "run", "asks", "--yes"]);
    assert_eq!((exit, run["state"].as_str()), (0, Some("SUCCEEDED")), "{said}");
    assert!(said.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{said}");
    let (exit, run, said) = json(&bench, &["runbook", "run", &file]);
    assert_eq!((exit, run["state"].as_str()), (1, Some("FAILED")));
    assert!(said.contains("\"run_failed\"") && said.contains("exit code 4"), "{said}");
    let status = backstop(&bench, &["runbook", "status", "latest", "--follow"]);
    assert_eq!(status.status.code(), Some(1));
}

#[test]
fn a_pause_is_answered_and_a_run_can_be_aborted() {
    let bench = Bench::new();
    let steps =
        "- {id: bad, action: shell, on_failure: pause, with: {script: 'test -e EFFECTS/ok'}}\n";
    write(&bench, "pauses", steps);
    let (exit, run, _) = json(&bench, &["runbook", "run", "pauses"]);
    assert_eq!((exit, run["state"].as_str()), (7, Some("PAUSED")));
    let id = run["id"].as_str().unwrap().to_owned();
    fs::write(bench.effects().join("ok"), "").unwrap();
    let resolve = ["runbook", "resolve", &id, "bad", "retry", "--reason", "made it"];
    assert_eq!(json(&bench, &resolve).0, 0);
    assert_eq!(json(&bench, &["runbook", "resume", &id]).0, 0);

    fs::remove_file(bench.effects().join("ok")).unwrap();
    assert_eq!(json(&bench, &["runbook", "run", "pauses"]).0, 7);
    let (exit, run, said) = json(&bench, &["runbook", "abort", "latest", "--reason", "no"]);
    assert_eq!((exit, run["state"].as_str()), (0, Some("ABORTED")), "{said}");
    assert_eq!(json(&bench, &["runbook", "abort", "latest"]).0, 1);
    assert_eq!(json(&bench, &["runbook", "status", "nothing"]).0, 5);
}

#[test]
fn a_plan_runs_checks_and_nothing_else() {
    let bench = Bench::new();
    let more = "- {id: use, action: shell, with: {script: 'echo {{ steps.change.stdout }}'}, preconditions: [{action: file.assert, with: {path: EFFECTS/word}}]}\n";
    write(&bench, "asks", &(ASKS.replace("  probe", "  compensate: {action: shell, with: {script: rm EFFECTS/word}}\n  outputs: {stdout: result.stdout}\n  probe") + more));
    let (exit, plan, said) = json(&bench, &["runbook", "plan", "asks"]);
    assert_eq!(exit, 0, "{said}");
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps[1]["approval"], "Write hello?");
    assert_eq!(steps[1]["probe"], "its effect is not there");
    assert!(steps[1]["plan"].as_str().unwrap().contains("echo hello >>"));
    assert!(steps[2]["plan"].as_str().unwrap().contains("known after change"));
    // The step before it may make it hold.
    assert_eq!(
        (&steps[2]["preconditions"][0]["ok"], &plan["blocked"]),
        (&Value::Null, &false.into())
    );
    assert!(bench.all_effects().is_empty());
    assert_eq!(json(&bench, &["runbook", "status"]).1, Value::Array(Vec::new()));

    let lacks = "- {id: use, action: shell, with: {script: echo}, preconditions: [{action: file.assert, with: {path: EFFECTS/word}}]}\n";
    write(&bench, "lacks", lacks);
    let (exit, plan, said) = json(&bench, &["runbook", "plan", "lacks"]);
    assert_eq!((exit, &plan["blocked"]), (1, &true.into()), "{said}");
    assert_eq!(plan["steps"][0]["preconditions"][0]["ok"], false);
    let shown = backstop(&bench, &["runbook", "plan", "lacks"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("NOT OK"));
}

#[test]
fn bad_input_is_one_error_before_anything_runs() {
    let bench = Bench::new();
    let file = write(&bench, "bad", "- {id: a, action: shel}\n");
    for command in [
        &["runbook", "validate", &file][..],
        &["runbook", "run", &file],
        &["runbook", "run", "bad"],
    ] {
        let (exit, _, said) = json(&bench, command);
        assert_eq!(exit, 2, "{said}");
        assert!(said.contains("line 8") && said.contains("did you mean `shell`?"), "{said}");
    }
    let good = write(&bench, "good", "- {id: a, action: wait, with: {for: 1ms}}\n");
    fs::remove_file(bench.dir.join("runbooks/bad.yaml")).unwrap();
    assert_eq!(json(&bench, &["runbook", "validate", &good]).0, 0);
    let (exit, _, said) = json(&bench, &["runbook", "run", "good", "--param", "wrod=x"]);
    assert!(exit == 2 && said.contains("did you mean `word`?"), "{said}");
    assert_eq!(json(&bench, &["runbook", "run", "godo"]).0, 5);
    assert_eq!(json(&bench, &["runbook", "show", "good"]).1["title"], "Title of good");
    let (exit, schema, _) = json(&bench, &["runbook", "schema"]);
    assert!(exit == 0 && schema["$defs"]["http.check"].is_object());
    // What the parameters make wrong is found before the first step.
    let late = write(
        &bench,
        "late",
        "- {id: a, action: shell, with: {script: 'touch EFFECTS/a'}}\n- {id: b, action: tcp.check, with: {host: h, port: '{{ params.word }}'}}\n",
    );
    let (exit, _, said) = json(&bench, &["runbook", "run", &late]);
    assert!(exit == 2 && said.contains("runbook_invalid") && said.contains("line 9"), "{said}");
    assert!(bench.all_effects().is_empty() && !bench.state_dir().join("runs").exists());
}

#[test]
fn a_signal_pauses_and_a_second_runner_is_told_who_works() {
    let bench = Bench::new();
    let steps = "- {id: slow, action: shell, idempotent: true, with: {script: 'echo x >> EFFECTS/begun; test -e EFFECTS/go || sleep 1000'}}\n";
    write(&bench, "slow", steps);
    let mut child = Command::new(BACKSTOP)
        .args(["runbook", "run", "slow", "--config", &bench.config().display().to_string()])
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while bench.effect("begun").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (_, _, said) = json(&bench, &["runbook", "run", "slow"]);
    assert!(said.contains("run_refused") && said.contains("has not ended"), "{said}");
    let (exit, _, said) = json(&bench, &["runbook", "run", "slow", "--force"]);
    assert!(exit == 4 && said.contains(&format!("process {}", child.id())), "{said}");
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let id = bench.view("latest").id;
    assert_eq!(crate::support::host::processes_of(&id), Vec::<String>::new());
    fs::write(bench.effects().join("go"), "").unwrap();
    assert_eq!(json(&bench, &["runbook", "resume", &id]).0, 0);
    assert_eq!(bench.effect("begun").len(), 2);
}

#[test]
fn a_file_that_is_changed_does_not_change_a_run_that_began() {
    let bench = Bench::new();
    write(&bench, "asks", ASKS);
    let (exit, run, said) = json(&bench, &["runbook", "run", "asks"]);
    assert_eq!(exit, 7, "{said}");
    let id = run["id"].as_str().unwrap().to_owned();
    write(&bench, "asks", &ASKS.replace("echo {{ params.word }}", "echo changed"));
    assert_eq!(json(&bench, &["runbook", "approve", &id, "change"]).0, 0);
    assert_eq!(bench.effect("word"), ["hello"]);
    // Nor does it matter that the file is gone.
    assert_eq!(json(&bench, &["runbook", "run", "asks"]).0, 7);
    fs::remove_file(bench.dir.join("runbooks/asks.yaml")).unwrap();
    let (exit, run, said) = json(&bench, &["runbook", "resume", "latest", "--yes"]);
    assert_eq!((exit, run["state"].as_str()), (0, Some("SUCCEEDED")), "{said}");
    assert_eq!(bench.effect("word"), ["hello", "changed"]);
}
