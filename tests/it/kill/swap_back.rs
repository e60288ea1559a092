//! A restored state on which a container cannot run: the old one comes back, also when
//! backstop dies on the way.

use super::attempt::{Attempt, Moment, Way};
use crate::support::host::{Host, listing};
use crate::support::image::TestContainer;
use crate::support::need::{self, Need};
use std::time::{Duration, Instant};

/// A host with a backup, and with a container that needs what came after it.
struct Dependent {
    host: Host,
    container: TestContainer,
    live: String,
}

impl Dependent {
    fn up(unhealthy: bool) -> Self {
        let host = Host::with_files();
        host.back_up();
        host.write("needed/file", "written after the backup");
        host.write("one.txt", "changed after the backup");
        let live = host.live();
        let container = if unhealthy {
            let volume = format!("{}:/data", live.display());
            let health = ["--health-cmd", "/busy exists /data/needed", "--health-interval", "1s"];
            TestContainer::run(&[&["-v", &volume][..], &health].concat(), &[])
        } else {
            // Unlike `-v`, Docker makes no such directory: without it nothing starts.
            let mount = format!("type=bind,source={},target=/data", live.join("needed").display());
            TestContainer::run(&["--mount", &mount], &[])
        };
        host.configure(&format!(
            "[[containers]]\nselect = \"name={}\"\nhealth_timeout = \"3s\"\n",
            container.name
        ));
        let live = listing(&live);
        Self { host, container, live }
    }

    fn attempt(&self) -> Attempt {
        let restoring = ["restore", "latest", "--yes", "--no-safety", "--json"];
        Attempt::start(self.host.command(&restoring), self.host.state())
    }

    fn await_undone(&self, way: Way, what: &str) {
        let give_up = Instant::now() + Duration::from_secs(60);
        let journals = || {
            let entries = std::fs::read_dir(self.host.state().join("journal"));
            entries.into_iter().flatten().flatten().count()
        };
        while journals() > 0 {
            assert!(Instant::now() < give_up, "{what}: a journal stays");
            std::thread::sleep(Duration::from_millis(20));
            // Each command does so; a guardian that is just dying is left to its work by the first.
            if way == Way::PowerCut {
                self.host.run(&["recover"]).ok();
            }
        }
        self.assert_as_before(what);
    }

    fn assert_as_before(&self, what: &str) {
        assert_eq!(self.container.state(), "running", "{what}");
        assert_eq!(listing(&self.host.live()), self.live, "{what}");
    }

    /// The stage that the newest restore ended in; what it kept is removed.
    fn purge(&self) -> String {
        self.host.run(&["recover"]).ok();
        let restore = self.host.json(&["rollback", "--list"])[0].clone();
        let stage = restore["stage"].as_str().unwrap().to_owned();
        if stage == "rolled_back" {
            let key = restore["key"].as_str().unwrap();
            self.host.run(&["rollback", key, "--purge", "--yes"]).ok();
        }
        let beside = std::fs::read_dir(self.host.live().parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1, "nothing is left beside the live tree");
        stage
    }
}

#[test]
fn a_container_that_does_not_run_on_the_restored_state_brings_the_old_one_back() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    for unhealthy in [false, true] {
        let stack = Dependent::up(unhealthy);
        let ran = stack.host.run(&["restore", "latest", "--yes", "--no-safety"]);
        let ran = ran.failed(1, "restore_failed");
        assert!(ran.stderr.contains("live again"), "{ran:?}");
        assert!(ran.stderr.contains(&stack.container.name), "{ran:?}");
        stack.assert_as_before("swapped back");
        assert_eq!(stack.purge(), "rolled_back");
    }
}

#[test]
fn whenever_the_way_back_is_cut_short_the_old_state_is_live() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let stack = Dependent::up(false);
    let (steps, _) = stack.attempt().finish();
    assert!(steps.iter().any(|step| step == "swap-back"), "{steps:?}");
    assert_eq!(stack.purge(), "rolled_back");
    let first = steps.iter().position(|step| step == "swap").unwrap();
    for way in [Way::Kill, Way::PowerCut] {
        for (step, name) in steps.iter().enumerate().skip(first) {
            for later in [0, 15, 80] {
                let what = format!("{way:?} {later} ms after {name} ({step})");
                let mut attempt = stack.attempt();
                let moment = Moment { step, later: Duration::from_millis(later) };
                assert!(attempt.wait_for(moment), "{what}");
                attempt.end(way);
                if way == Way::PowerCut {
                    stack.host.run(&["recover"]).ok();
                }
                stack.await_undone(way, &what);
                let stage = stack.purge();
                assert!(["rolled_back", "abandoned"].contains(&&*stage), "{what}: {stage}");
                assert!(name != "swap-back" || stage == "rolled_back", "{what}: {stage}");
            }
        }
    }
}
