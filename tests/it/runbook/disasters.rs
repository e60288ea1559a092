//! The shipped runbooks on the sample stack: what they bring back, and what they leave alone.

use crate::support::host::listing;
use crate::support::site::Site;
use crate::support::stack::docker;
use serde_json::Value;
use std::fs;
use std::process::Command;

fn steps(run: &Value) -> Vec<String> {
    let steps = run["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| format!("{} {}", step["id"].as_str().unwrap(), step["state"].as_str().unwrap()))
        .collect()
}

/// Recovers with everything agreed to; the run.
fn recover(site: &Site, arguments: &[&str]) -> Value {
    let words = [&["recover-from"], arguments, &["--yes", "--json"]].concat();
    let ran = site.ran(&words);
    let said = format!("{} {}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 0, "{said}");
    let run = ran.json();
    assert_eq!(run["state"], "SUCCEEDED", "{said}");
    assert_eq!(site.left_over(run["id"].as_str().unwrap()), Vec::<String>::new(), "{said}");
    run
}

#[test]
fn damaged_databases_and_files_are_replaced_and_can_be_had_back() {
    let Some((site, backup)) = Site::with_backup() else { return };
    let sound = site.state();

    site.sql("DELETE FROM uploads WHERE id % 2 = 0; UPDATE uploads SET sha256 = 'x'");
    let damaged = site.state();
    let plan = site.ran(&["runbook", "plan", "database-corruption", "--json"]).ok().json();
    assert_eq!(site.state(), damaged, "a plan changes nothing: {plan}");
    let run = recover(&site, &["database-corruption"]);
    assert_eq!(site.state(), sound);
    site.assert_sound("the database is back");
    assert_eq!(
        steps(&run)[..8],
        [
            "choose SUCCEEDED",
            "check SUCCEEDED",
            "build:shop SUCCEEDED",
            "compare:shop SUCCEEDED",
            "agree SUCCEEDED",
            "stop-application SUCCEEDED",
            "swap:shop SUCCEEDED",
            "start-application SUCCEEDED",
        ]
    );
    let report = site.ran(&["runbook", "report", "latest", "--json"]).ok().json();
    assert_eq!(report["approvals"][0]["step"], "agree", "{report}");
    assert!(report["measured_rto_seconds"].as_f64().unwrap() > 0.0);
    assert!(report["measured_rpo_seconds"].as_f64().unwrap() > 0.0);
    assert!(report["evidence"].as_array().unwrap().len() >= 3, "{report}");
    assert_eq!((&report["rto_met"], &report["rpo_met"]), (&true.into(), &true.into()), "{report}");
    assert_eq!(report["restores"][0]["stage"], "swapped", "{report}");
    let said = site.ran(&["rollback", "--dry-run"]).ok().stdout;
    assert!(said.contains(&format!("abort {} --rollback", run["id"].as_str().unwrap())), "{said}");
    // What was replaced is there, and what was written since is not lost by going back to it.
    site.upload(3);
    let rows = "SELECT count(*) FROM uploads";
    let since = site.sql(rows);
    site.ran(&["runbook", "abort", "latest", "--rollback"]).ok();
    assert_eq!(site.sql(rows), "10", "as it was when it was damaged");
    let aside = site.sql("SELECT datname FROM pg_database WHERE datname ~ '_restore_'");
    assert_eq!(site.sql_in(&aside, rows), since);
    let report = site.ran(&["runbook", "report", "latest"]).ok().stdout;
    assert!(report.contains("by now rolled_back") && report.contains("1d, met"), "{report}");
    let kept = site.ran(&["rollback", "--list", "--json"]).ok().json();
    assert_eq!(kept[0]["stage"], "rolled_back", "{kept}");
    site.ran(&["restore", backup["id"].as_str().unwrap(), "--yes", "--no-safety"]).ok();
    assert_eq!(site.state(), sound);
    site.purge(&site.path().join("state"));

    for entry in fs::read_dir(site.stack.uploads()).unwrap() {
        fs::write(entry.unwrap().path(), "encrypted by somebody else").unwrap();
    }
    let before = backup["finished_at"].as_str().unwrap();
    let before = format!("before={before}");
    let url = format!("health_url={}/health", site.stack.url());
    recover(&site, &["file-system-corruption", "--param", &before, "--param", &url]);
    assert_eq!(site.state(), sound);
    site.assert_sound("the files are back");
}

#[test]
fn what_could_not_work_is_refused_before_anything_is_done() {
    let Some((site, _)) = Site::with_backup() else { return };
    let before = site.state();
    let refused = |arguments: &[&str], exit: i32, words: &str| {
        for command in [&["runbook", "plan"][..], &["runbook", "run", "--yes"]] {
            let ran = site.ran(&[command, arguments].concat());
            assert!(ran.code == exit && ran.stderr.contains(words), "{ran:?}");
        }
    };
    refused(&["database-corruption", "--param", "incident_at=2999-01-01"], 2, "in the future");
    let plan = ["runbook", "plan", "file-system-corruption", "--param", "containers=nope"];
    let ran = site.ran(&plan);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("nope"), "{ran:?}");
    let run = ["runbook", "run", "file-system-corruption", "--param", "containers=nope", "--yes"];
    let ran = site.ran(&run);
    assert!(ran.code == 1 && ran.stderr.contains("nope"), "{ran:?}");
    let run = site.ran(&["runbook", "status", "latest", "--json"]).ok().json();
    assert_eq!(steps(&run[0])[..2], ["choose FAILED", "check PENDING"], "nothing was built");

    // The password lies elsewhere now, and nobody has put it there.
    let config = fs::read_to_string(site.config()).unwrap();
    let (text, file) = ("password_env = \"SHOP_PASSWORD\"", site.path().join("password"));
    let config = config.replace(&format!("password_file = \"{}\"", file.display()), text);
    fs::write(site.config(), config).unwrap();
    refused(&["database-corruption"], 1, "SHOP_PASSWORD is not set");
    site.ran(&["runbook", "plan", "file-system-corruption"]).ok();
    assert_eq!(site.state(), before);
}

#[test]
fn a_database_that_cannot_be_recovered_is_left_as_it_was() {
    let Some((site, _)) = Site::with_backup() else { return };
    site.sql("DELETE FROM uploads WHERE id = 1");
    let damaged = site.state();
    // Nothing answers there: the application would not be back.
    let url = "health_url=http://127.0.0.1:9/";
    let ran = site.ran(&["recover-from", "database-corruption", "--param", url, "--yes", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(site.state(), damaged, "everything was turned back");
    let run = site.ran(&["runbook", "status", "latest", "--json"]).ok().json();
    assert_eq!(run[0]["state"], "FAILED");
    // What was live for a moment may hold what was written then.
    let kept = site.ran(&["rollback", "--list", "--json"]).ok().json();
    assert_eq!(kept[0]["stage"], "rolled_back", "{kept}");
    site.ran(&["rollback", kept[0]["key"].as_str().unwrap(), "--purge", "--yes"]).ok();
    assert_eq!(site.left_over(run[0]["id"].as_str().unwrap()), Vec::<String>::new());
    site.stack.wait_until("the application is healthy", || site.stack.healthy());
}

#[test]
fn lost_rows_and_files_come_back_and_newer_ones_stay() {
    let Some((site, _)) = Site::with_backup() else { return };
    site.upload(5);
    let whole = site.state();
    let names = site.sql("SELECT name FROM uploads WHERE id IN (2, 5, 7) ORDER BY id");
    site.sql("DELETE FROM uploads WHERE id IN (2, 5, 7)");
    for name in names.lines() {
        fs::remove_file(site.stack.uploads().join(name)).unwrap();
    }
    let lossy = site.state();

    // Without a terminal nobody agrees: it waits, and has shown what it found.
    let ran = site.ran(&["recover-from", "partial-data-loss", "--json"]);
    assert_eq!(ran.code, 7, "{ran:?}");
    let run = ran.json();
    assert_eq!(site.state(), lossy);
    let asked = run["waiting"]["reason"].as_str().unwrap();
    assert!(asked.contains("3 files"), "{asked}");
    let id = run["id"].as_str().unwrap();
    let log = site.ran(&["runbook", "log", id, "missing-rows:shop"]).ok().stdout;
    assert!(log.contains("3 rows"), "{log}");
    let ran = site.ran(&["runbook", "approve", id, "bring-files:uploads", "--json"]);
    assert_eq!(ran.code, 7, "the rows are asked about by themselves: {ran:?}");
    site.ran(&["runbook", "approve", id, "bring-rows:shop", "--json"]).ok();
    assert_eq!(site.state(), whole, "nothing else was touched");
    assert_eq!(site.left_over(id), Vec::<String>::new());
    site.assert_sound("rows and files are back");

    // Nothing is missing any more: it finds nothing and asks for nothing.
    let run = site.ran(&["recover-from", "partial-data-loss", "--json"]).ok().json();
    let steps = steps(&run);
    assert!(steps.contains(&"bring-rows:shop SKIPPED".to_owned()), "{steps:?}");
    // And the run that brought them back can be taken back.
    site.ran(&["runbook", "abort", id, "--rollback", "--reason", "they were meant to be gone"])
        .ok();
    assert_eq!(site.state(), lossy);
}

#[test]
fn with_yes_alone_files_are_replaced_and_what_is_missing_comes_back() {
    let Some((site, _)) = Site::with_backup() else { return };
    let sound = site.state();
    for entry in fs::read_dir(site.stack.uploads()).unwrap().take(7) {
        fs::write(entry.unwrap().path(), "encrypted by somebody else").unwrap();
    }
    assert_ne!(site.state(), sound);
    let run = recover(&site, &["file-system-corruption"]);
    assert_eq!(site.state(), sound, "{run}");
    site.assert_sound("the files are back");

    let names = site.sql("SELECT name FROM uploads WHERE id IN (3, 4, 11) ORDER BY id");
    site.sql("DELETE FROM uploads WHERE id IN (3, 4, 11)");
    for name in names.lines() {
        fs::remove_file(site.stack.uploads().join(name)).unwrap();
    }
    let run = recover(&site, &["partial-data-loss"]);
    assert_eq!(site.state(), sound, "{run}");
    site.assert_sound("rows and files are back");
    let steps = steps(&run);
    for step in ["bring-files:uploads SUCCEEDED", "bring-rows:shop SUCCEEDED"] {
        assert!(steps.contains(&step.to_owned()), "{steps:?}");
    }
    let report = site.ran(&["runbook", "report", "latest", "--json"]).ok().json();
    assert!(report["approvals"].as_array().unwrap().iter().all(|it| it["means"] == "yes"));
    assert_eq!(report["approvals"].as_array().unwrap().len(), 2, "{report}");
}

#[test]
fn a_damaged_configuration_comes_back_and_its_containers_with_it() {
    let Some((site, _)) = Site::with_backup() else { return };
    let sound = site.state();
    let (compose, env) =
        (site.project_dir().join("docker-compose.yml"), site.project_dir().join(".env"));
    let texts = (fs::read_to_string(&compose).unwrap(), fs::read_to_string(&env).unwrap());
    fs::write(&compose, "services: {app: {image: nothing}}\n").unwrap();
    fs::remove_file(&env).unwrap();
    docker(&["rm", "--force", &site.stack.container("app")]);

    let run = recover(&site, &["configuration-corruption"]);
    assert_eq!((fs::read_to_string(&compose).unwrap(), fs::read_to_string(&env).unwrap()), texts);
    site.assert_sound("the configuration is back");
    assert_eq!(site.state(), sound);
    let steps = steps(&run);
    assert!(steps.contains(&"make-containers SUCCEEDED".to_owned()), "{steps:?}");
    let entries = fs::read_dir(site.project_dir()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let kept: Vec<String> = names.filter(|name| name.contains(".before-")).collect();
    assert_eq!(kept.len(), 1, "what was replaced is kept: {kept:?}");

    // backstop's own config is damaged too.
    fs::write(site.config(), "[stack\n").unwrap();
    assert_eq!(site.ran(&["list"]).code, 2);
    let repository = site.path().join("repository").display().to_string();
    recover(&site, &["configuration-corruption", "--repository", &repository, "--recorded-config"]);
    site.ran(&["list"]).ok();
}

#[test]
fn a_stack_comes_back_on_an_empty_host() {
    let Some((site, _)) = Site::with_backup() else { return };
    let sound = site.state();
    let copy = site.path().join("copy");
    site.stack.remove();
    for gone in ["project", "state"] {
        fs::remove_dir_all(site.path().join(gone)).unwrap();
    }
    fs::remove_file(site.config()).unwrap();
    // The repository lies elsewhere than on the old host.
    fs::rename(site.path().join("repository"), &copy).unwrap();

    let ran = site.ran(&["recover-from", "complete-system-failure", "--yes"]);
    assert_eq!(ran.code, 2, "without config and repository: {ran:?}");
    let repository = copy.display().to_string();
    let plan = ["runbook", "plan", "complete-system-failure", "--repository", &repository];
    let planned = site.ran(&plan).ok().stdout;
    assert!(planned.contains("server:shop") && !site.config().exists(), "{planned}");
    recover(&site, &["complete-system-failure", "--repository", &repository]);
    assert_eq!(site.state(), sound);
    site.assert_sound("everything is back");
    assert!(site.config().exists(), "the config is where it was");
    let listed = site.ran(&["list", "--repository", &repository, "--json"]).ok().json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "the recovered state is backed up: {listed}");
}

/// Replaces the database's password: for itself, and where the application and backstop read it.
const ROTATE: &str = r#"#!/bin/sh -e
IFS= read -r secret || [ -n "$secret" ]
case $1 in
rotate)
    docker exec --env PGUSER=shop CONTAINER psql -qAtX -d shop -c "ALTER ROLE shop PASSWORD '$secret'"
    sed -i "s/^SHOP_DB_PASSWORD=.*/SHOP_DB_PASSWORD=$secret/" PROJECT/.env
    printf %s "$secret" >PASSWORD
    ;;
check) grep -qx "SHOP_DB_PASSWORD=$secret" PROJECT/.env ;;
esac
"#;

/// The program for the database's password; the parameters that name it.
pub(super) fn write_rotation(site: &Site) -> Vec<String> {
    let (rotate, secrets) = (site.path().join("rotate.d"), site.path().join("secrets"));
    for dir in [&rotate, &secrets] {
        fs::create_dir_all(dir).unwrap();
    }
    let program = ROTATE
        .replace("CONTAINER", &site.stack.container("db"))
        .replace("PROJECT", &site.project_dir().display().to_string())
        .replace(">PASSWORD", &format!(">{}", site.path().join("password").display()));
    let file = rotate.join("database-password");
    fs::write(&file, program).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&file).status().unwrap().success());
    vec![
        "rotate=database-password".to_owned(),
        format!("rotate_dir={}", rotate.display()),
        format!("secrets_dir={}", secrets.display()),
    ]
}

/// Every hash of the evidence is that of its file, by a program that is not ours.
fn assert_hashes_hold(site: &Site, evidence: &Value) {
    fn sums(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| sums(item, found)),
            Value::Object(entries) => {
                if let (Some(hash), Some(file)) = (value["sha256"].as_str(), value["file"].as_str())
                {
                    found.push(format!("{hash}  {file}\n"));
                }
                entries.values().for_each(|inner| sums(inner, found));
            }
            _ => {}
        }
    }
    let check = |list: &str, dir: &std::path::Path| {
        let file = site.path().join("sums");
        fs::write(&file, list).unwrap();
        let mut program = Command::new("sha256sum");
        let ran = program.args(["--check", "--strict", "--quiet"]).arg(&file).current_dir(dir);
        let ran = ran.output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    let mut found = Vec::new();
    sums(evidence, &mut found);
    // The container's log, definition, changes and files, and those of its project.
    assert!(found.len() >= 4 + 8, "{found:#?} {evidence:#}");
    check(&found.concat(), site.path());
    // Of the backup it is the hash of its list of hashes.
    let backups = site.path().join("repository/backups");
    let mut listed = 0;
    for one in evidence.as_array().unwrap() {
        let Some(hash) = one["evidence"]["sha256_of_sha256sums"].as_str() else { continue };
        let dirs = fs::read_dir(&backups).unwrap().map(|entry| entry.unwrap().path());
        let dirs: Vec<_> = dirs
            .filter(|dir| {
                backstop::repository::hash_file(&Default::default(), &dir.join("SHA256SUMS"))
                    .is_ok_and(|(_, it)| it == hash)
            })
            .collect();
        assert_eq!(dirs.len(), 1, "{one}");
        check(&fs::read_to_string(dirs[0].join("SHA256SUMS")).unwrap(), &dirs[0]);
        listed += 1;
    }
    assert!(listed > 0, "{evidence:#}");
    // A byte that is changed is found.
    let hash = found[0].split("  ").next().unwrap();
    let other = found[0].replacen(hash, &"0".repeat(64), 1);
    fs::write(site.path().join("sums"), other).unwrap();
    let sums = Command::new("sha256sum").arg("--check").arg(site.path().join("sums")).output();
    assert!(!sums.unwrap().status.success());
}

#[test]
fn a_breach_is_isolated_preserved_and_undone_with_new_secrets() {
    let Some((site, backup)) = Site::with_backup() else { return };
    let sound = site.state();
    let since = backup["finished_at"].as_str().unwrap();
    let since = format!("compromised_since={since}");
    site.sql("INSERT INTO uploads (name, size, sha256) VALUES ('backdoor', 1, 'x')");
    fs::write(site.stack.uploads().join("backdoor.php"), "<?php").unwrap();
    let compromised = site.state();
    let compromised_files = listing(&site.stack.uploads());
    let old = site.stack.container("app");

    let ran = site.ran(&["recover-from", "security-breach", "--yes"]);
    assert_eq!(ran.code, 2, "the instant is needed: {ran:?}");
    assert_eq!(site.state(), compromised);

    let rotation = write_rotation(&site);
    let secrets = site.path().join("secrets");
    let evidence = site.path().join("evidence");
    let mut parameters = rotation;
    parameters.extend([since, format!("evidence_dir={}", evidence.display())]);
    let mut arguments = vec!["security-breach"];
    parameters.iter().for_each(|parameter| arguments.extend(["--param", parameter]));
    let run = recover(&site, &arguments);
    site.assert_sound("it is as before the compromise");
    assert_eq!(site.state(), sound);

    let secret = fs::read_to_string(secrets.join("database-password")).unwrap();
    assert_ne!(secret, site.stack.password());
    let env = fs::read_to_string(site.project_dir().join(".env")).unwrap();
    assert!(env.contains(&secret), "the application has the new one");
    assert_ne!(site.stack.container("app"), old, "the container was made anew");
    let id = run["id"].as_str().unwrap();
    for shown in [["runbook", "report"], ["runbook", "log"]] {
        let shown = site.ran(&[shown[0], shown[1], id]).ok().stdout;
        assert!(!shown.contains(&secret), "{shown}");
    }

    // The evidence: the compromised state, the logs, all with hashes.
    let order = steps(&run);
    let place = |step: &str| order.iter().position(|known| known.starts_with(step)).unwrap();
    assert_eq!(place("isolate"), 0);
    assert!(place("data-evidence") < place("swap-files"));
    assert!(place("rotate:") < place("make-containers"));
    let names: Vec<String> = fs::read_dir(&evidence)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, [id], "one directory a run");
    let kept = fs::read_dir(evidence.join(id)).unwrap().count();
    assert_eq!(kept, 4 + 1, "log, definition, changes, files, and those of the whole project");
    assert_eq!(fs::read_dir(evidence.join(id).join("projects")).unwrap().count(), 8);
    let report = site.ran(&["runbook", "report", id, "--json"]).ok().json();
    let text = report["evidence"].to_string();
    assert!(text.contains("sha256_of_sha256sums") && text.contains(".log"), "{text}");
    assert_hashes_hold(&site, &report["evidence"]);
    let log = fs::read_dir(evidence.join(id)).unwrap().map(|entry| entry.unwrap().path());
    let log = log.into_iter().find(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
    assert!(fs::metadata(&log).unwrap().len() > 0, "what the application said is in {log:?}");
    let kept = site.ran(&["list", "--reason", "safety", "--json"]).ok().json();
    let kept = kept.as_array().unwrap().iter().find(|it| it["labels"]["evidence"] == id).unwrap();
    assert!(kept["pin"].is_object(), "{kept}");
    let there = site.path().join("there");
    let to = there.display().to_string();
    site.ran(&["restore", kept["id"].as_str().unwrap(), "--only", "uploads", "--to", &to]).ok();
    let tree = listing(&there);
    assert!(tree.contains("backdoor.php") && compromised_files.contains("backdoor.php"), "{tree}");
}

#[test]
fn without_programs_a_breach_waits_until_a_person_has_replaced_the_secrets() {
    let Some((site, backup)) = Site::with_backup() else { return };
    let since = format!("compromised_since={}", backup["finished_at"].as_str().unwrap());
    let ran = site.ran(&["recover-from", "security-breach", "--param", &since, "--yes", "--json"]);
    assert_eq!(ran.code, 7, "{ran:?}");
    let run = ran.json();
    assert_eq!(run["waiting"]["step"], "rotate-by-hand");
    let app = site.stack.container("app");
    assert_eq!(docker(&["inspect", "-f", "{{.State.Running}}", &app]), "false");
    site.ran(&["runbook", "approve", run["id"].as_str().unwrap(), "rotate-by-hand"]).ok();
    site.assert_sound("it goes on once they are replaced");
}

#[test]
fn what_the_pages_say_to_type_is_what_a_shell_reads() {
    let pages = fs::read_dir("docs/runbooks").unwrap().map(|entry| entry.unwrap().path());
    let mut read = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let Some((_, by_hand)) = text.split_once("## By hand") else { continue };
        let commands = by_hand.split("```").nth(1).unwrap().trim_start_matches("sh\n");
        let shell = Command::new("bash").args(["-n", "-c", commands]).output().unwrap();
        assert!(shell.status.success() && shell.stderr.is_empty(), "{page:?}: {shell:?}");
        read += 1;
    }
    assert_eq!(read, 6);
}
