//! A sample stack, what protects it, and what must hold of both after a death.

use super::attempt::Attempt;
use crate::support::image::TestContainer;
use crate::support::shop::{Audit, run};
use crate::support::stack::{Stack, docker};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const EXE: &str = env!("CARGO_BIN_EXE_backstop");

/// Within this time of a death every container that ran before runs again.
const RESUMED_WITHIN: Duration = Duration::from_secs(5);
/// What a busy machine may add: tests run side by side, and each look at the containers
/// is a program of its own.
const SLACK: Duration = Duration::from_secs(5);

pub(super) struct Site {
    pub(super) stack: Stack,
    /// A container whose restart policy is `always`.
    _restarting: TestContainer,
    /// A selected container that does not run.
    stopped: TestContainer,
    ran: Vec<String>,
    dir: tempfile::TempDir,
}

impl Site {
    /// A stack with some uploads, and with two more selected containers: one that Docker
    /// itself restarts, and one that does not run.
    pub(super) fn start(more: &str) -> Option<Self> {
        let stack = Stack::start()?;
        let label = format!("backstop.quiesce={}", stack.project());
        let restarting = TestContainer::run(&["--label", &label, "--restart", "always"], &[]);
        let stopped = TestContainer::create(&["--label", &label, "--restart", "always"], &[]);
        let dir = tempfile::tempdir().unwrap();
        let config = stack.config(dir.path()) + "stop_timeout = \"3s\"\n" + more;
        std::fs::write(dir.path().join("backstop.toml"), config).unwrap();
        let ran = vec![stack.container("app"), restarting.id.clone()];
        let site = Self { stack, _restarting: restarting, stopped, ran, dir };
        site.upload(25);
        Some(site)
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(EXE);
        command
            .args(arguments)
            .args(["--json", "--config"])
            .arg(self.dir.path().join("backstop.toml"))
            .env("SHOP_DB_PASSWORD", self.stack.password());
        command
    }

    /// Runs a command to its end.
    pub(super) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The result of a command that succeeds.
    pub(super) fn result(&self, arguments: &[&str]) -> Value {
        let output = self.output(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{said}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    /// Lets the application store some more.
    pub(super) fn upload(&self, count: u32) {
        let count = count.to_string();
        let url = self.stack.url();
        let shop = crate::support::shop::Shop::get();
        run(&mut shop.command(&["load", "--url", &url, "--rate", "0", "--count", &count]));
    }

    /// The audit, once the application is back.
    pub(super) fn audit(&self) -> Audit {
        self.stack.wait_until("the application is back", || self.stack.healthy());
        self.stack.audit()
    }

    /// Waits until nobody undoes anything any more. Since `death`, no container that ran
    /// before may have been seen down after the time that is promised.
    pub(super) fn await_resumed(&self, death: Instant, what: &str) -> Duration {
        let mut last_down = Duration::ZERO;
        loop {
            let (all_run, settled) = (self.all_run(), names(&self.state().join("journal"), "json"));
            if !all_run {
                last_down = death.elapsed();
                assert!(last_down < RESUMED_WITHIN + SLACK, "{what}: still down\n{}", self.log());
            } else if settled.is_empty() {
                break;
            }
            assert!(death.elapsed() < Duration::from_secs(60), "{what}: {settled:?} stays");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(self.all_run(), "{what}: down again");
        self.assert_stopped_stays(what);
        last_down
    }

    pub(super) fn assert_all_run(&self, what: &str) {
        assert!(self.all_run(), "{what}: a container is down\n{}", self.log());
        self.assert_stopped_stays(what);
    }

    fn assert_stopped_stays(&self, what: &str) {
        assert_eq!(self.stopped.state(), "created", "{what}: it did not run before");
    }

    fn all_run(&self) -> bool {
        let mut arguments = vec!["inspect", "--format", "{{.State.Status}}"];
        arguments.extend(self.ran.iter().map(String::as_str));
        docker(&arguments).lines().all(|state| state == "running")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.state().join("guardian.log")).unwrap_or_default()
    }

    /// The backups as `backstop list` shows them, none of them half.
    pub(super) fn list(&self, what: &str) -> Vec<Value> {
        let listed = self.result(&["list"]);
        let listed = listed.as_array().unwrap().clone();
        let known = ["completed", "verified", "failed"];
        for backup in &listed {
            assert!(known.contains(&backup["status"].as_str().unwrap()), "{what}: {backup}");
        }
        let mut lying = names(&self.repository().join("backups"), "");
        let mut complete: Vec<String> = listed
            .iter()
            .filter(|backup| backup["status"] != "failed")
            .map(|backup| backup["name"].as_str().unwrap().to_string())
            .collect();
        lying.sort();
        complete.sort();
        assert_eq!(lying, complete, "{what}");
        listed
    }

    /// What restores left in the database server and beside the uploads.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let sql = "SELECT datname FROM pg_database WHERE datname LIKE 'shop\\_%'";
        let databases = self.stack.in_database(&format!("psql -d postgres -Atc \"{sql}\""));
        let uploads = self.stack.uploads();
        let beside = names(uploads.parent().unwrap(), "").into_iter();
        let inside = names(&uploads, "").into_iter();
        beside
            .chain(inside)
            .filter(|name| name.starts_with(".backstop-"))
            .chain(databases.lines().map(str::to_string))
            .collect()
    }

    /// Begins a command that is going to die.
    pub(super) fn attempt(&self, arguments: &[&str]) -> Attempt {
        Attempt::start(self.command(arguments), self.state())
    }

    /// The steps that an undisturbed run announces, in their order.
    pub(super) fn steps(&self, arguments: &[&str]) -> Vec<String> {
        let (steps, output) = self.attempt(arguments).finish();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(steps.len() > 3, "{steps:?}");
        steps
    }
}

/// The names in a directory, of one ending.
fn names(dir: &Path, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(ending)).collect()
}
