//! The sample stack itself: it can pass an audit, and it can fail one.

use crate::support::need::{self, Need};
use crate::support::shop::Shop;
use crate::support::stack::{Stack, docker};
use backstop::config::{Config, Selector};
use std::process::{Command, Stdio};

#[test]
fn stopped_gracefully_under_load_it_audits_clean() {
    let Some(stack) = Stack::start() else { return };
    let app = stack.container("app");
    let load = stack.load(4, 50);
    for _ in 0..3 {
        let before = stack.audit().rows;
        stack.wait_until("more was written", || stack.audit().rows >= before + 20);
        docker(&["stop", "--time", "30", &app]);
        assert_eq!(docker(&["inspect", "--format", "{{.State.ExitCode}}", &app]), "0");
        docker(&["start", &app]);
        stack.wait_until("the application is back", || stack.healthy());
        // Taken while the load goes on, so uploads under way may show: nothing else may.
        let audit = stack.audit();
        assert!(audit.rows_without_file.is_empty() && audit.mismatched.is_empty(), "{audit:?}");
    }
    let stored = load.stop();
    let audit = stack.audit();
    assert!(audit.clean(), "{audit:?}");
    assert_eq!((audit.rows, audit.files), (stored, stored));
}

#[test]
fn killed_in_the_middle_of_an_upload_it_audits_unclean() {
    // The pause is as long as the test may take, so the kill always falls into it.
    let Some(stack) = Stack::start_with(&[("SHOP_PAUSE_MS", "600000")]) else { return };
    let app = stack.container("app");
    let mut upload = Shop::get()
        .command(&["load", "--url", &stack.url(), "--count", "1"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    stack.wait_until("a file waits for its row", || !stack.audit().files_without_row.is_empty());
    upload.kill().unwrap();
    upload.wait().unwrap();
    docker(&["kill", "--signal", "KILL", &app]);
    docker(&["start", &app]);
    stack.wait_until("the application is back", || stack.healthy());
    let audit = stack.audit();
    assert!(!audit.clean());
    assert_eq!((audit.rows, audit.files, audit.files_without_row.len()), (0, 1, 1), "{audit:?}");
}

#[test]
fn a_dump_and_a_copy_taken_at_two_moments_audit_unclean() {
    if !need::all(&[Need::Docker, Need::Root]) {
        return;
    }
    let Some(stack) = Stack::start() else { return };
    let load = stack.load(4, 50);
    stack.wait_until("something was written", || stack.audit().rows > 0);
    stack.in_database("createdb copy; pg_dump shop | psql --quiet --dbname=copy");
    let before = stack.audit().rows;
    stack.wait_until("more was written", || stack.audit().rows > before);
    let place = tempfile::tempdir().unwrap();
    // An unfinished upload may be renamed while it is copied, which fails the copy.
    let copy = || Command::new("cp").arg("-a").arg(stack.uploads()).arg(place.path()).status();
    assert!((0..5).any(|_| copy().unwrap().success()));
    load.stop();
    let audit = stack.audit_copy("copy", &place.path().join("_data"));
    assert!(!audit.files_without_row.is_empty(), "{audit:?}");
    assert!(stack.audit().clean());
}

#[test]
fn its_config_is_accepted_and_selects_only_its_own_containers() {
    let Some(stack) = Stack::start() else { return };
    let text = stack.config("/nowhere".as_ref());
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backstop.toml");
    std::fs::write(&file, &text).unwrap();
    let config = Config::load(Some(&file)).unwrap().config;
    let Selector::Label(label) = &config.containers[0].select else { panic!("{config:?}") };
    let selected = docker(&["ps", "--quiet", "--no-trunc", "--filter", &format!("label={label}")]);
    assert_eq!(selected, stack.container("app"));
    assert!(label.ends_with(stack.project()));
}
