//! The sample stack as people install it: a project directory, a config, a repository.

use super::host::processes_of;
use super::host::{Ran, listing};
use super::need::{self, Need};
use super::shop::Shop;
use super::stack::{Stack, docker};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the names of trees begin that a swap has replaced.
pub(crate) const KEPT_TREE: &str = ".backstop-kept-";

/// One installation, removed when dropped.
pub(crate) struct Site {
    pub(crate) stack: Stack,
    place: tempfile::TempDir,
}

impl Site {
    /// With twenty uploads and a backup of them; none without Docker and root.
    pub(crate) fn with_backup() -> Option<(Self, Value)> {
        if !need::all(&[Need::Docker, Need::Root]) {
            return None;
        }
        let place = tempfile::Builder::new().prefix("backstop-site-").tempdir().unwrap();
        let project = place.path().join("project");
        fs::create_dir(&project).unwrap();
        let site = Self { stack: Stack::start_in(&project)?, place };
        let password = site.path().join("password");
        fs::write(&password, site.stack.password()).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(site.config(), site.config_text(&site.path().join("state"))).unwrap();
        site.upload(20);
        let backup = site.ran(&["backup", "--json"]).ok().json();
        Some((site, backup))
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("backstop.toml")
    }

    pub(crate) fn project_dir(&self) -> PathBuf {
        self.path().join("project")
    }

    /// A config of the stack with this state directory.
    pub(crate) fn config_text(&self, state: &Path) -> String {
        let usual = format!("dir = \"{}/state\"", self.path().display());
        let password = self.path().join("password");
        self.stack
            .config(self.path())
            .replace(&usual, &format!("dir = \"{}\"", state.display()))
            .replace(
                "password_env = \"SHOP_DB_PASSWORD\"",
                &format!("password_file = \"{}\"", password.display()),
            )
    }

    /// The program on this host.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
        command
            .args(arguments)
            .env_clear()
            .envs(
                ["PATH", "DOCKER_HOST"]
                    .into_iter()
                    .filter_map(|name| std::env::var_os(name).map(|value| (name, value))),
            )
            .env("HOME", self.path())
            .env("BACKSTOP_CONFIG", self.config())
            .current_dir(self.path());
        command
    }

    pub(crate) fn ran(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// Stores files through the application.
    pub(crate) fn upload(&self, count: u32) {
        let (url, count) = (self.stack.url(), count.to_string());
        let mut load = Shop::get().command(&["load", "--url", &url, "--count", &count]);
        let output = load.args(["--rate", "0"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Asks the live database.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.sql_in("shop", sql)
    }

    pub(crate) fn sql_in(&self, database: &str, sql: &str) -> String {
        let sql = sql.replace('"', "\\\"");
        self.stack.in_database(&format!("psql --no-psqlrc -qAtX -d {database} -c \"{sql}\""))
    }

    /// Rows and files as they are.
    pub(crate) fn state(&self) -> String {
        let rows = self.sql("SELECT string_agg(to_jsonb(u)::text, ' ' ORDER BY id) FROM uploads u");
        format!("{rows}\n{}", listing(&self.stack.uploads()))
    }

    /// Whether the application works and agrees with itself.
    pub(crate) fn assert_sound(&self, what: &str) {
        self.stack.wait_until("the application is healthy", || self.stack.healthy());
        let audit = self.stack.audit();
        assert!(audit.clean(), "{what}: {audit:?}");
    }

    /// What a finished run must not leave: scratch databases and trees, sessions, containers that
    /// do not run, processes.
    pub(crate) fn left_over(&self, run: &str) -> Vec<String> {
        let mut found = processes_of(run);
        let scratch = "SELECT datname FROM pg_database WHERE datname ~ '_restore_'";
        let sessions =
            "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'backstop%'";
        for question in [scratch, sessions] {
            found.extend(self.sql(question).lines().map(str::to_owned));
        }
        for service in ["app", "db"] {
            let id = self.stack.container(service);
            let state = docker(&["inspect", "-f", "{{.State.Status}}", &id]);
            if state != "running" {
                found.push(format!("{service} is {state}"));
            }
        }
        let beside = self.stack.uploads().parent().unwrap().to_owned();
        for entry in fs::read_dir(beside).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            if name.starts_with(".backstop") && !name.starts_with(KEPT_TREE) {
                found.push(name);
            }
        }
        found
    }

    /// Removes what runs have kept, so that it does not fill the disk.
    pub(crate) fn purge(&self, state: &Path) {
        let kept = self.sql("SELECT datname FROM pg_database WHERE datname ~ '_(before|restore)_'");
        for name in kept.lines() {
            self.sql_in("postgres", &format!("DROP DATABASE \"{name}\""));
        }
        for entry in fs::read_dir(self.stack.uploads().parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with(KEPT_TREE) {
                fs::remove_dir_all(path).unwrap();
            }
        }
        let _ = fs::remove_dir_all(state);
    }
}
