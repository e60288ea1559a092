//! What is refused before anything is done, and what an editor says of it.

use super::bench::{BACKSTOP, Bench};
use super::commands::{json, write};
use crate::support::need::{self, Need};
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

fn error(said: &str) -> Value {
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str::<Value>(last).unwrap_or_else(|e| panic!("{e}: {said}"))["error"].clone()
}

#[test]
fn a_bomb_and_a_huge_file_are_refused_at_once_with_what_helps() {
    let bench = Bench::new();
    let mut laughs =
        String::from("name: bomb\ntitle: Bomb\npurpose: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..20 {
        let before = vec![format!("*a{}", n - 1); 9].join(", ");
        laughs += &format!("a{n}: &a{n} [{before}]\n");
    }
    let deep =
        format!("name: deep\ntitle: Deep\nsteps: {}{}\n", "[".repeat(9000), "]".repeat(9000));
    let step = format!("- {{id: a, action: wait, with: {{for: 1ms}}}} # {}\n", "ä".repeat(500));
    let huge = format!("name: huge\ntitle: Huge\nsteps:\n{}", step.repeat(300 * 1024 / step.len()));
    // Where the limit is, a character may be cut.
    let odd = format!("#{huge}");
    for (name, text, has_line, words) in [
        ("bomb", &laughs, true, ""),
        ("deep", &deep, true, ""),
        ("huge", &huge, false, "262144"),
        ("odd", &odd, false, "262144"),
    ] {
        let file = bench.dir.join(format!("{name}.yaml"));
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        for command in ["validate", "run", "plan", "show"] {
            let begun = Instant::now();
            let (exit, _, said) = json(&bench, &["runbook", command, file]);
            let took = begun.elapsed();
            let error = error(&said);
            assert_eq!((exit, &error["code"]), (2, &"runbook_invalid".into()), "{command}: {said}");
            assert_eq!(error["subject"], file, "{said}");
            let cause = error["cause"].as_str().unwrap();
            let line = cause.strip_prefix("line ").and_then(|rest| rest.split(',').next());
            let line: Option<u64> = line.and_then(|line| line.parse().ok());
            assert_eq!(line.is_some_and(|line| line >= 3), has_line, "{said}");
            assert!(cause.contains(words), "{said}");
            assert!(error["hint"].as_str().unwrap().len() > 10, "{said}");
            assert!(said.len() < 2000, "one sentence: {said}");
            assert!(took < Duration::from_secs(10), "{command} {name} took {took:?}");
        }
    }
    assert!(!bench.state_dir().join("runs").exists());
}

#[test]
fn a_secret_that_is_missing_is_found_before_the_first_step() {
    let bench = Bench::new();
    let file = bench.dir.join("runbooks/lacks.yaml");
    let gone = bench.dir.join("gone");
    let text = format!(
        "name: lacks\ntitle: Lacks a secret\nparameters:\n  word: {{default: x}}\n  \
         key: {{secret: {{file: {}}}}}\nsteps:\n\
         - {{id: touch, action: shell, with: {{script: 'touch {}/touched'}}}}\n\
         - {{id: use, action: shell, with: {{script: 'true', env: {{KEY: '{{{{ params.key }}}}'}}}}}}\n",
        gone.display(),
        bench.effects().display()
    );
    fs::write(&file, text).unwrap();
    for command in [
        &["runbook", "run", "lacks"][..],
        &["runbook", "plan", "lacks"],
        &["runbook", "run", "lacks", "--param", "key=env:NOBODY_HAS_SET_THIS"],
    ] {
        let (exit, _, said) = json(&bench, command);
        let error = error(&said);
        assert_eq!(error["code"], "secret_missing", "{said}");
        assert_ne!(exit, 0);
        assert!(said.contains("line 5"), "{said}");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains("--param key=") || hint.contains("gone"), "{said}");
        let place = if command.len() > 3 { "NOBODY_HAS_SET_THIS" } else { "gone" };
        assert!(said.contains(place), "{said}");
    }
    assert!(bench.all_effects().is_empty(), "nothing was touched");
    assert!(!bench.state_dir().join("runs").exists());
    fs::write(&gone, "there").unwrap();
    assert_eq!(json(&bench, &["runbook", "run", "lacks"]).0, 0);
    assert_eq!(bench.all_effects().len(), 1);
}

/// Checks documents as an editor does: `good` or the first fault for each.
const EDITOR: &str = "\
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
editor = jsonschema.Draft202012Validator(schema)
for name in sys.argv[2:]:
    fault = next(editor.iter_errors(json.load(open(name))), None)
    print('good' if fault is None else 'bad ' + fault.message.replace('\\n', ' ')[:300])";

#[test]
fn an_editor_accepts_the_shipped_runbooks_by_the_schema_and_underlines_what_is_wrong() {
    if !need::all(&[Need::Jsonschema]) {
        return;
    }
    let bench = Bench::new();
    let (_, schema, _) = json(&bench, &["runbook", "schema"]);
    let schema_file = bench.dir.join("schema.json");
    fs::write(&schema_file, schema.to_string()).unwrap();
    let judged = |texts: &[String]| -> Vec<String> {
        let files = texts.iter().enumerate().map(|(place, text)| {
            let value: Value = serde_saphyr::from_str(text).unwrap();
            let file = bench.dir.join(format!("{place}.json"));
            fs::write(&file, value.to_string()).unwrap();
            file
        });
        let files: Vec<_> = files.collect();
        let mut python = Command::new("python3");
        let ran = python.args(["-c", EDITOR]).arg(&schema_file).args(files).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    let mut shipped = Vec::new();
    for entry in fs::read_dir("runbooks").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            shipped.push(fs::read_to_string(path).unwrap());
        }
    }
    assert_eq!(shipped.len(), 6);
    let found = judged(&shipped);
    assert!(found.iter().all(|one| one == "good"), "{found:#?}");

    let corruption =
        shipped.iter().find(|text| text.contains("name: database-corruption")).unwrap();
    for (right, wrong) in [
        ("action: database.swap", "action: database.swop"),
        ("critical: false", "critcal: false"),
        ("on_failure: rollback", "on_failure: rolback"),
        ("level: full }", "level: fool }"),
        ("type: databases", "type: database"),
        ("title: Replace damaged databases by those of a backup\n", ""),
    ] {
        let text = corruption.replacen(right, wrong, 1);
        assert_ne!(&text, corruption, "{right}");
        assert!(judged(&[text])[0].starts_with("bad "), "{wrong} passes");
    }
    let misspelt = "name: a\ntitle: A\nsteps:\n- {id: a, action: shel, with: {script: 'true'}}\n";
    let right = misspelt.replace("shel,", "shell,");
    let unknown = right.replace("script:", "scirpt:");
    let found = judged(&[misspelt.into(), right, unknown]);
    assert!(found[0].contains("'shel'"), "{found:?}");
    assert_eq!(found[1], "good");
    assert!(found[2].starts_with("bad "), "{found:?}");
    // Both judges agree on what is wrong.
    let file = write(&bench, "misspelt", "- {id: a, action: shel, with: {script: 'true'}}\n");
    let mut validate = Command::new(BACKSTOP);
    assert_eq!(
        validate.args(["runbook", "validate", &file]).output().unwrap().status.code(),
        Some(2)
    );
}
