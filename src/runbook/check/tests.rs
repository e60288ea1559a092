use super::*;
use crate::error::Code;

/// The line, the column and all that is said about a runbook that is refused.
fn refused(text: &str) -> (String, String) {
    let error = check("my.yaml", text, &Registry::shipped()).unwrap_err();
    assert_eq!(error.code(), Code::RunbookInvalid);
    let said = error.to_string();
    assert!(said.starts_with("cannot accept runbook my.yaml: "), "{said}");
    let place = said.trim_start_matches("cannot accept runbook my.yaml: ");
    let place = place.split(':').next().unwrap_or_default().to_owned();
    (place, format!("{said} / {}", error.hint_text()))
}

fn with_steps(steps: &str) -> String {
    format!(
        "name: test\ntitle: Test\nparameters:\n  port: {{type: integer, default: 80}}\n  key: {{secret: {{env: HOME}}}}\nsteps:\n{steps}"
    )
}

#[track_caller]
fn expect(steps: &str, place: &str, words: &[&str]) {
    let (found, said) = refused(&with_steps(steps));
    assert_eq!(found, place, "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing: {said}");
    }
}

#[test]
fn a_runbook_that_uses_everything_is_accepted() {
    let text = r#"
name: everything
disaster: database-corruption
title: Everything
purpose: To show every key.
prerequisites: [a host]
expected_duration: 15m
objectives: {rto: 1h, rpo: 24h}
destroys: [nothing]
needs_from_a_person: [one answer]
parameters:
  port: {type: integer, default: 80, description: where it listens}
  since: {type: time}
  mode: {type: choice, choices: [fast, safe], default: safe}
  url: {default: "http://localhost:{{ params.port }}/"}
  key: {secret: {env: KEY}}
steps:
  - id: look-around
    action: shell
    with: {script: "echo 1", env: {KEY: "{{ params.key }}"}}
    outputs: {number: "result.stdout | int"}
  - id: check
    title: Is it there?
    action: http.check
    if: params.mode == 'safe' and steps.look_around.number == 1
    with: {url: "{{ params.url }}", status: [200], within: "{{ '5s' }}"}
    retry: {limit: 3, interval: 1s, backoff: 2}
    timeout: 1m
  - id: change
    action: shell
    with: {script: touch /tmp/x}
    preconditions: [{action: disk.assert, with: {path: /tmp, free: 1MiB}}]
    probe: {action: file.assert, with: {path: /tmp/x}, partial: {action: file.assert, with: {path: /tmp/x.part}}}
    cleanup: {action: shell, with: {script: rm /tmp/x.part}}
    verify: [{action: file.assert, with: {path: /tmp/x}}]
    recheck: [{action: file.assert, with: {path: /tmp/x}}]
    compensate: {action: shell, with: {script: "rm -f /tmp/x # {{ steps.change.exit_code }}"}, idempotent: true}
    approval: {prompt: "Change port {{ params.port }}?"}
    on_failure: rollback
    rescue: [{action: wait, with: {for: 1s}}]
    point_of_no_return: true
  - id: port
    action: tcp.check
    critical: false
    with: {host: localhost, port: "{{ params.port }}"}
rescue:
  - id: tell
    action: notify
    with: {message: "{{ run.id }} failed at {{ run.failed_step }}", command: [cat]}
"#;
    let checked = check("all.yaml", text, &Registry::shipped()).unwrap();
    assert_eq!(checked.runbook.steps.len(), 4);
}

#[test]
fn unknown_actions_and_keys_are_named_with_what_was_meant() {
    expect("- {id: a, action: shel}\n", "line 7, column 19", &["no action `shel`", "`shell`"]);
    expect(
        "- id: a\n  action: wait\n  wiht: {for: 1s}\n",
        "line 9, column 3",
        &["`wiht`", "did you mean `with`?"],
    );
    expect(
        "- id: a\n  action: wait\n  with: {fro: 1s}\n",
        "line 9, column 10",
        &["`fro`", "did you mean `for`?"],
    );
    expect("- id: a\n", "line 7, column 3", &["`action` is missing"]);
}

#[test]
fn each_action_checks_its_own_parameters() {
    let step = |with: &str| format!("- id: a\n  action: tcp.check\n  with: {with}\n");
    expect(&step("{host: h}"), "line 9, column 9", &["`port` is missing"]);
    expect(&step("{host: h, port: 99999}"), "line 9, column 25", &["port", "expected"]);
    expect(&step("{host: h, port: eighty}"), "line 9, column 25", &["expected"]);
    expect("- id: a\n  action: shell\n", "line 7, column 3", &["`script` or `argv`"]);
    expect(
        "- id: a\n  action: http.check\n  with: {url: 'ftp://x'}\n",
        "line 9, column 9",
        &["http://"],
    );
    expect(
        "- id: a\n  action: disk.assert\n  with: {path: /, free: much}\n",
        "line 9, column 25",
        &["size"],
    );
}

#[test]
fn templates_refer_to_what_is_there_and_came_before() {
    let script = |text: &str| format!("  action: shell\n  with:\n    script: \"{text}\"\n");
    let two =
        |one: &str, other: &str| format!("- id: one\n{}- id: two\n{}", script(one), script(other));
    expect(&two("{{ steps.two.stdout }}", "x"), "line 10, column 13", &["`two` comes later"]);
    expect(&two("{{ steps.one.stdout }}", "x"), "line 10, column 13", &["refers to itself"]);
    expect(
        &two("x", "{{ steps.oen.stdout }}"),
        "line 14, column 13",
        &["no step `oen`", "steps.one"],
    );
    expect(
        &two("x", "{{ steps.one.stdut }}"),
        "line 14, column 13",
        &["no output `stdut`", "`stdout`"],
    );
    expect(
        &two("{{ steps.two.x }}", "{{ steps.one.x }}"),
        "line 7, column 3",
        &["cycle: one -> two -> one"],
    );
    expect(
        &two("{{ params.prot }}", "x"),
        "line 10, column 13",
        &["no parameter `prot`", "params.port"],
    );
    expect(&two("{{ env.HOME }}", "x"), "line 10, column 13", &["`env.HOME` is not defined"]);
    expect(&two("{{ params.port", "x"), "line 10, column 13", &["template cannot be read"]);
    expect(&two("{{ params.key }}", "x"), "line 10, column 13", &["secret `key`", "`env`"]);
}

#[test]
fn ids_are_unique_and_checks_change_nothing() {
    let wait = "action: wait, with: {for: 1s}";
    expect(
        &format!("- {{id: a-b, {wait}}}\n- {{id: a_b, {wait}}}\n"),
        "line 8, column 8",
        &["`a_b`"],
    );
    expect(&format!("- {{id: A, {wait}}}\n"), "line 7, column 8", &["no step's id"]);
    let step = format!(
        "- id: a\n  {}\n  verify: [{{action: notify, with: {{message: x, command: [cat]}}}}]\n",
        "action: wait\n  with: {for: 1s}"
    );
    expect(&step, "line 10, column 21", &["`notify` changes something"]);
}

#[test]
fn parameters_are_sound() {
    let with = |parameters: &str| {
        format!(
            "name: test\ntitle: T\nparameters: {parameters}\nsteps: [{{id: a, action: wait, with: {{for: 1s}}}}]\n"
        )
    };
    for (parameters, word) in [
        ("{a: {type: integer, default: x}}", "a whole number"),
        ("{a: {type: nubmer}}", "`nubmer`"),
        ("{a: {type: choice}}", "`choices`"),
        ("{a: {default: '{{ params.b }}'}, b: {default: '{{ params.a }}'}}", "cycle: a -> b -> a"),
        ("{a: {required: true, default: x}}", "required"),
        ("{a: {default: x, secret: {env: K}}}", "secret"),
        ("{a: {default: '{{ params.c }}'}}", "no parameter `c`"),
        ("{A: {}}", "no parameter's name"),
    ] {
        let (place, said) = refused(&with(parameters));
        assert!(place.starts_with("line 3") && said.contains(word), "{said}");
    }
}

#[test]
fn what_is_no_runbook_is_refused_in_one_sentence() {
    for text in [
        "",
        "[]",
        "name: x",
        "name: X\ntitle: T\nsteps: [{id: a, action: wait}]",
        "name: x\ntitle: T\nsteps: []",
    ] {
        refused(text);
    }
    let (_, said) = refused("name: a\nname: b\n");
    assert!(said.contains("line 2"), "{said}");
}

const PAGE: &str = include_str!("../../../docs/runbooks/format.md");

#[test]
fn the_example_of_the_page_is_accepted() {
    let example = PAGE.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    check("format.md", example.unwrap(), &Registry::shipped()).unwrap();
}

#[test]
fn the_page_names_every_key_every_action_and_its_parameters() {
    let schema = crate::runbook::schema(&Registry::shipped());
    let keys = |schema: &serde_json::Value| -> Vec<String> {
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let named = |text: &str, key: &str, of: &str| {
        assert!(text.contains(&format!("`{key}`")), "the page lacks `{key}` of {of}");
    };
    let parameter = &schema["properties"]["parameters"]["additionalProperties"];
    for part in [&schema, &schema["properties"]["steps"]["items"], parameter] {
        keys(part).iter().for_each(|key| named(PAGE, key, "the format"));
    }
    for (action, with) in schema["$defs"].as_object().unwrap() {
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{action}` | ")));
        let row = row.unwrap_or_else(|| panic!("the page lacks the row of {action}"));
        keys(with).iter().for_each(|key| named(row, key, action));
        let registry = Registry::shipped();
        registry.get(action).unwrap().outputs().iter().for_each(|it| named(row, it, action));
    }
}

#[test]
fn the_shipped_runbooks_are_accepted_and_their_pages_are_current() {
    let (registry, library) = (Registry::shipped(), crate::runbook::Library::default());
    let listed = library.list(&registry).unwrap();
    assert_eq!(listed.len(), 6);
    for one in listed {
        assert_eq!(one.disaster.as_deref(), Some(one.name.as_str()));
        let checked = library.find(&one.name, &registry).unwrap();
        let runbook = &checked.runbook;
        assert!(runbook.expected_duration.is_some() && runbook.objectives.rto.is_some());
        assert!(runbook.objectives.rpo.is_some() && !runbook.purpose.is_empty());
        for said in [&runbook.prerequisites, &runbook.destroys, &runbook.needs_from_a_person] {
            assert!(!said.is_empty(), "{}", one.name);
        }
        let no_words = |step: &&crate::runbook::Step| step.title.is_none();
        assert_eq!(runbook.all_steps().find(no_words).map(|step| &step.id), None);
        let file = format!("{}/docs/runbooks/{}.md", env!("CARGO_MANIFEST_DIR"), one.name);
        let page = std::fs::read_to_string(&file).unwrap_or_default();
        let expected = crate::runbook::page(&checked, &registry);
        assert!(page == expected, "{file} is not current: run scripts/docs");
    }
}

#[test]
fn what_is_done_for_each_of_several_is_known_before_the_first_step() {
    let each = |list: &str, more: &str| {
        format!(
            "- {{id: a, action: shell, for_each: '{list}', with: {{script: 'echo {{{{ item }}}}'}}}}\n{more}"
        )
    };
    expect(&each("{{ steps.b.x }}", ""), "line 7, column 36", &["no step `b`"]);
    expect(&each("{{ run.id }}", ""), "line 7, column 36", &["a list that is a parameter"]);
    let other = "- {id: b, action: shell, with: {script: 'echo {{ steps.a.stdout }}'}}\n";
    expect(&each("{{ params.port }}", other), "line 8, column 41", &["steps.a[item].stdout"]);
    let other = "- {id: b, action: shell, with: {script: 'echo {{ item }}'}}\n";
    expect(other, "line 7, column 41", &["no `item`"]);
}
