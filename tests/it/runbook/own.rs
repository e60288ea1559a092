//! What a person brings along: own runbooks, and own queries to the shipped ones.

use crate::support::host::{Host, Ran};
use serde_json::Value;
use std::fs;

#[test]
fn an_own_runbook_takes_the_place_of_the_shipped_one_of_its_name() {
    let host = Host::with_files();
    let dir = host.path().join("runbooks");
    fs::create_dir(&dir).unwrap();
    host.configure(&format!("[runbooks]\ndir = {dir:?}\n"));
    let listed = || -> Vec<Value> {
        let listed = host.json(&["runbook", "list"]);
        assert_eq!(listed.as_array().unwrap().len(), 6, "{listed}");
        let all = listed.as_array().unwrap().iter();
        all.filter(|one| one["name"] == "database-corruption").cloned().collect()
    };
    assert_eq!(listed()[0]["source"], "built-in");

    let (file, done) = (dir.join("database-corruption.yaml"), host.path().join("done"));
    let text = format!(
        "name: database-corruption\ndisaster: database-corruption\ntitle: Our way\nsteps:\n\
         - {{id: ours, action: shell, with: {{script: 'echo ours >> {}'}}}}\n",
        done.display()
    );
    fs::write(&file, &text).unwrap();
    let ours = listed();
    assert_eq!((ours.len(), &ours[0]["title"]), (1, &"Our way".into()), "{ours:?}");
    assert_eq!(ours[0]["source"], file.to_str().unwrap());
    for command in
        [&["runbook", "run", "database-corruption"][..], &["recover-from", "database-corruption"]]
    {
        let before = fs::read_to_string(&done).unwrap_or_default();
        let run = host.json(command);
        let steps = run["steps"].as_array().unwrap();
        assert_eq!((steps.len(), &steps[0]["id"]), (1, &"ours".into()), "{run}");
        assert_eq!(fs::read_to_string(&done).unwrap(), before + "ours\n", "{command:?}");
    }

    // One that is broken is not passed over for the shipped one, which would do something else.
    fs::write(&file, text.replace("shell", "shel")).unwrap();
    for command in
        [&["runbook", "run", "database-corruption"][..], &["recover-from", "database-corruption"]]
    {
        let ran = host.run(command).failed(2, "runbook_invalid");
        assert!(
            ran.stderr.contains("line 5") && ran.stderr.contains("did you mean `shell`"),
            "{ran:?}"
        );
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(listed()[0]["source"], "built-in");
}

/// Recovers the database with these parameters.
fn recover(host: &Host, parameters: &[&str]) -> Ran {
    let mut words = vec!["recover-from", "database-corruption", "--yes", "--json"];
    parameters.iter().for_each(|parameter| words.extend(["--param", parameter]));
    host.run(&words)
}

fn states(run: &Value, step: &str) -> Value {
    let mut steps = run["steps"].as_array().unwrap().iter();
    steps.find(|one| one["id"] == step).unwrap()["state"].clone()
}

#[test]
fn the_queries_of_a_person_hold_before_anything_goes_live() {
    let host = Host::with_database();
    host.back_up();
    host.database().sql("DELETE FROM item WHERE id > 500");
    let damaged = host.live_state();
    let all = "queries=SELECT count(*) = 1000 FROM item";
    let some =
        |count: u32| format!("queries=SELECT count(*) = {count} FROM item WHERE id IN (1, 2)");

    let ran = recover(&host, &[all, &some(3)]).ended(1);
    assert!(ran.stderr.contains("WHERE id IN (1, 2)` holds"), "{ran:?}");
    assert!(ran.stderr.contains("its first value is f"), "{ran:?}");
    assert_eq!(host.live_state(), damaged, "nothing went live, nothing was left");
    let run = host.json(&["runbook", "status", "latest"])[0].clone();
    assert_eq!(states(&run, "compare:shop"), "FAILED", "{run}");
    for later in ["agree", "swap:shop"] {
        assert_eq!(states(&run, later), "PENDING", "{run}");
    }

    // The last one asks what is not there at all.
    let ran = recover(&host, &[&some(2), "queries=SELECT is_good FROM nothing"]).ended(1);
    assert!(ran.stderr.contains("nothing"), "{ran:?}");
    assert_eq!(host.live_state(), damaged);

    recover(&host, &[all, &some(2)]).ok();
    assert_eq!(host.database().sql("SELECT count(*) FROM item"), "1000");
    let report = host.json(&["runbook", "report", "latest"]);
    let asked = &report["parameters"]["values"]["queries"];
    assert_eq!(asked.as_array().unwrap().len(), 2, "{report}");
    let kept = host.json(&["rollback", "--list"]);
    for one in kept.as_array().unwrap().iter().filter(|one| one["stage"] == "swapped") {
        host.run(&["rollback", one["key"].as_str().unwrap(), "--purge", "--yes"]).ok();
    }
}
