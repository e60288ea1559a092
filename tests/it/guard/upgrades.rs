//! Upgrades that work, and all the ways in which they do not.

use super::new_version::{Deployment, running};
use crate::support::host::Ran;
use crate::support::stack::docker;
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What `guard status` says of the newest guard.
fn newest(deployment: &Deployment) -> Value {
    deployment.site.ran(&["guard", "status", "--json"]).ok().json()
}

fn rolled_back(deployment: &Deployment, ran: &Ran, state: &str, what: &str) {
    let said = format!("{what}: {ran:?}");
    assert_eq!(ran.code, 20, "{said}");
    assert!(ran.stderr.contains("upgrade_rolled_back"), "{said}");
    deployment.assert_as_before(state, what);
    let guard = newest(deployment);
    assert_eq!(guard["standing"], "rolled_back", "{guard}");
    let rollback = guard["runs"][2]["id"].as_str().unwrap();
    let kept = deployment.site.path().join("state/runs").join(rollback).join("failed");
    let logs = fs::read_dir(kept).unwrap().flatten().map(|it| it.file_name());
    let logs: Vec<String> = logs.map(|it| it.to_string_lossy().into_owned()).collect();
    assert!(!logs.is_empty(), "{what}: no log of the failure is kept");
    deployment.site.purge(&deployment.site.path().join("state/runs"));
}

#[test]
fn an_upgrade_that_fails_in_any_way_is_undone() {
    let Some(deployment) = Deployment::start() else { return };
    let site = &deployment.site;
    let state = site.state();

    let half = deployment.script(
        "half",
        "echo to-stdout; echo to-stderr >&2; echo \"backup $BACKSTOP_BACKUP_ID\"\n\
         sql 'ALTER TABLE uploads ADD COLUMN added int'\n\
         sql 'UPDATE uploads SET added = 1 WHERE id < 5; DELETE FROM uploads WHERE id > 15'\n\
         exit 3\n",
    );
    let ran = deployment.guard(&["--version-label", "2.0"], &half);
    rolled_back(&deployment, &ran, &state, "half a migration");
    assert!(ran.stdout.starts_with("to-stdout\nbackup "), "{ran:?}");
    assert!(ran.stderr.contains("to-stderr") && ran.stderr.contains("exit code 3"), "{ran:?}");

    let broken = deployment.script("broken", "sql 'ALTER TABLE uploads RENAME TO gone'\n");
    let ran = deployment.guard(&["--health-command", "exit 1"], &broken);
    assert_eq!(ran.code, 21, "what never is well is not well after going back either: {ran:?}");
    assert!(ran.stderr.contains("go on by hand"), "{ran:?}");
    assert!(ran.stderr.contains("backstop guard resume"), "{ran:?}");
    deployment.site.assert_sound("it went back all the same");
    assert_eq!(site.state(), state);
    assert!(!deployment.held().is_empty(), "a rollback that failed still needs the images");
    let ran = deployment.site.ran(&["guard", "resume", "latest"]);
    assert_eq!(ran.code, 21, "{ran:?}");
    let ran = deployment.guard(&[], &half);
    assert!(ran.code == 1 && ran.stderr.contains("run_refused"), "first the stack: {ran:?}");
    let found = site.ran(&["doctor"]);
    assert!(found.code == 3 && found.stdout.contains("rollback_failed"), "{found:?}");
    let warned = site.ran(&["backup", "--json"]).ok();
    assert!(warned.stderr.contains("between two versions"), "{warned:?}");
    site.ran(&["guard", "close", "latest"]).ok();
    assert_eq!(newest(&deployment)["standing"], "closed");
    assert_eq!(deployment.held(), Vec::<String>::new());
    site.ran(&["doctor"]).ok();
    site.purge(&site.path().join("state/runs"));

    let broken = deployment.script("broken", "sql 'ALTER TABLE uploads RENAME TO gone'\n");
    let ran = deployment.guard(&[], &broken);
    let ran_well = newest(&deployment);
    assert_eq!(ran_well["exit_code"], 0, "{ran_well}");
    rolled_back(&deployment, &ran, &state, "exit code 0, and a broken application");

    let stopped = deployment.script("stopped", "docker stop $APP\n");
    let ran = deployment.guard(&[], &stopped);
    rolled_back(&deployment, &ran, &state, "the application was stopped");

    let deletes = deployment.script("deletes", "rm -rf $UPLOADS/*\nexit 1\n");
    let ran = deployment.guard(&[], &deletes);
    rolled_back(&deployment, &ran, &state, "files were deleted");

    let hangs = deployment.script("hangs", "docker stop $APP\nsleep 4321 & wait\n");
    let ran = deployment.guard(&["--timeout", "4s"], &hangs);
    rolled_back(&deployment, &ran, &state, "it hangs");
    assert!(ran.stderr.contains("longer than 4s"), "{ran:?}");

    let moved = deployment.script(
        "moved",
        &format!(
            "docker tag {} {}\n             docker run --detach --name {project}-extra --restart always \
             --label com.docker.compose.project={project} \
             --label com.docker.compose.service=extra {} serve\n\
             docker stop $APP\nexit 1\n",
            deployment.crashes.0,
            deployment.live.0,
            deployment.crashes.0,
            project = site.stack.project(),
        ),
    );
    let ran = deployment.guard(&[], &moved);
    rolled_back(&deployment, &ran, &state, "a tag was moved, a container added");
    assert_eq!(docker(&["inspect", "--format", "{{.Id}}", &deployment.live.0]), deployment.old);
    let extra = format!("{}-extra", site.stack.project());
    let policy = "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}";
    assert_eq!(docker(&["inspect", "--format", policy, &extra]), "false no");
    docker(&["rm", "--force", &extra]);

    let removes = deployment.script(
        "removes",
        &format!(
            "compose down\nBACKSTOP_SHOP_IMAGE={} compose up --detach\n",
            deployment.crashes.0
        ),
    );
    let ran = deployment.guard(&[], &removes);
    rolled_back(&deployment, &ran, &state, "containers removed, and the new image crashes");
}

#[test]
fn an_upgrade_that_works_stays_and_can_still_be_taken_back() {
    let Some(deployment) = Deployment::start() else { return };
    let site = &deployment.site;
    let works = deployment.script(
        "works",
        &format!(
            "sql 'ALTER TABLE uploads ADD COLUMN added int'\n\
             BACKSTOP_SHOP_IMAGE={} compose up --detach\n",
            deployment.works.0
        ),
    );
    let state = site.state();
    let planned = deployment.guard(&["--dry-run"], &works).ok().stdout;
    assert!(planned.contains("would dump database shop"), "{planned}");
    assert_eq!(site.ran(&["guard", "list", "--json"]).ok().json(), serde_json::json!([]));
    let ran = deployment.guard(&["--version-label", "2.0"], &works).ok();
    site.assert_sound("the new version");
    assert_ne!(running(site), deployment.old, "{ran:?}");
    assert_eq!(deployment.held(), Vec::<String>::new());
    let guard = newest(&deployment);
    assert_eq!((&guard["standing"], &guard["over"]), (&"upgraded".into(), &true.into()));
    assert_eq!((&guard["version_label"], &guard["exit_code"]), (&"2.0".into(), &0.into()));
    site.ran(&["guard", "resume"]).ok();

    let newer = deployment.site.sql("SELECT count(*) FROM uploads");
    site.upload(4);
    let what = site.ran(&["rollback", "--dry-run"]).ok().stdout;
    assert!(what.contains("before 2.0") && what.contains("4"), "{what}");
    assert_eq!(deployment.site.sql("SELECT count(*) FROM uploads WHERE id > 0"), {
        let newer: u32 = newer.parse().unwrap();
        (newer + 4).to_string()
    });
    let refused = site.ran(&["rollback"]);
    assert!(refused.code == 2 && refused.stderr.contains("confirmation_required"), "{refused:?}");
    site.ran(&["rollback", "--yes"]).ok();
    deployment.assert_as_before(&state, "back by hand");
    let again = site.ran(&["rollback", "--dry-run"]).ok().stdout;
    assert!(again.contains("before the restore of"), "the last change goes first: {again}");
    let half = site.ran(&["rollback", "--yes"]);
    assert!(half.code == 1 && half.stderr.contains("run_refused"), "not half of it: {half:?}");
    deployment.assert_as_before(&state, "half of it is refused");

    let backup = guard["backup"].as_str().unwrap();
    let shown = site.ran(&["show", backup, "--json"]).ok().json();
    assert_eq!(shown["reason"], "pre-upgrade");
    let containers = shown["components"].as_array().unwrap().iter();
    let containers: Vec<&Value> = containers.filter(|it| it["type"] == "container").collect();
    assert_eq!(containers.len(), 2, "the database's container belongs to the application: {shown}");
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{text}\n[retention]\nkeep_last = 1\n")).unwrap();
    site.ran(&["backup"]).ok();
    let pruned = site.ran(&["prune", "--dry-run"]).ok().stdout;
    assert!(pruned.contains("guard.keep is 7d"), "{pruned}");
    fs::write(
        site.config(),
        format!("{text}\n[retention]\nkeep_last = 1\n[guard]\nkeep = \"1s\"\n"),
    )
    .unwrap();
    let pruned = site.ran(&["prune", "--dry-run"]).ok().stdout;
    assert!(!pruned.contains("guard.keep"), "{pruned}");
}

#[test]
fn without_a_backup_there_is_no_upgrade_unless_it_is_allowed() {
    let Some(deployment) = Deployment::start() else { return };
    let site = &deployment.site;
    let state = site.state();
    let touched = site.path().join("touched");
    let touch = deployment.script("touch", &format!("touch {}\n", touched.display()));
    let repository = site.path().join("repository");
    let aside = site.path().join("aside");
    fs::rename(&repository, &aside).unwrap();
    let ran = deployment.guard(&[], &touch);
    assert!(ran.code == 1 && ran.stderr.contains("upgrade_not_begun"), "{ran:?}");
    assert!(!touched.exists());
    assert_eq!(newest(&deployment)["standing"], "given_up");
    deployment.assert_as_before(&state, "no backup");
    deployment.guard(&["--allow-unprotected"], &touch).ok();
    assert!(touched.exists());
    fs::rename(&aside, &repository).unwrap();

    let mistyped = site.ran(&["guard", "--", "./no-such-script"]);
    assert!(mistyped.code == 1 && mistyped.stderr.contains("no-such-script"), "{mistyped:?}");

    let stop = deployment.script("stop", "docker stop $APP\nexit 9\n");
    let ran = deployment.guard(&["--no-rollback"], &stop);
    assert!(ran.code == 1 && ran.stderr.contains("upgrade_failed"), "{ran:?}");
    assert_eq!(newest(&deployment)["standing"], "failed");
    assert!(!site.stack.healthy());
    let id = newest(&deployment)["id"].as_str().unwrap().to_owned();
    site.ran(&["guard", "resume"]).ok();
    assert!(!site.stack.healthy(), "it was said to stay as it is");
    let ran = site.ran(&["guard", "resume", &id]);
    rolled_back(&deployment, &ran, &state, "later, by hand");
}

#[test]
fn a_signal_is_the_commands_own_affair() {
    let Some(deployment) = Deployment::start() else { return };
    let site = &deployment.site;
    let ready = site.path().join("ready");
    let text = format!(
        "trap 'echo got-it; exit 0' TERM\ntouch {}\nwhile :; do sleep 0.1; done\n",
        ready.display()
    );
    let script = deployment.script("traps", &text).display().to_string();
    let mut command = site.command(&["guard", "--settle", "0s", "--", &script]);
    let guard = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready.exists() {
        assert!(Instant::now() < deadline, "the command did not begin");
        sleep(Duration::from_millis(50));
    }
    let pid = rustix::process::Pid::from_raw(guard.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ran = Ran::of(&guard.wait_with_output().unwrap()).ok();
    assert_eq!(ran.stdout, "got-it\n");
    site.assert_sound("after the signal");
}

#[test]
fn a_guard_at_work_is_left_alone() {
    let Some(deployment) = Deployment::start() else { return };
    let site = &deployment.site;
    let go = site.path().join("go");
    let waits = format!("while [ ! -e {} ]; do sleep 0.1; done\n", go.display());
    let script = deployment.script("waits", &waits).display().to_string();
    let mut command = site.command(&["guard", "--settle", "0s", "--", &script]);
    let guard = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let standing = || {
        let guards = site.ran(&["guard", "list", "--json"]).ok().json();
        guards[0]["standing"].as_str().unwrap_or_default().to_owned()
    };
    loop {
        assert!(Instant::now() < deadline, "the command did not begin");
        let before = standing();
        if before.is_empty() {
            continue;
        }
        let others = [&["guard", "resume"][..], &["guard", "--", "true"], &["rollback", "--yes"]];
        // There is nothing to go back to before there is a backup.
        let some = if before == "upgrading" { 3 } else { 2 };
        for other in &others[..some] {
            let ran = site.ran(other);
            assert_eq!(ran.code, 4, "{before}: {ran:?}");
        }
        if before == "upgrading" {
            break;
        }
    }
    fs::write(&go, "").unwrap();
    Ran::of(&guard.wait_with_output().unwrap()).ok();
    assert_eq!(newest(&deployment)["standing"], "upgraded");
}
