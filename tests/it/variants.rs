//! The ways in which a stack may differ, each through the program.

mod capture;
mod containers;
mod databases;
mod files;
mod volumes;

use crate::support::host::Ran;
use crate::support::shop::Audit;
use crate::support::stack::{Stack, docker};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program beside a stack, with a config, a repository and a state of its own.
struct Site {
    place: tempfile::TempDir,
    program: Vec<String>,
    password: String,
}

impl Site {
    /// With this config, in which `{dir}` stands for the site's directory.
    fn new(password: &str, config: &str) -> Self {
        let place = tempfile::Builder::new().prefix("backstop-site-").tempdir().unwrap();
        let program = vec![env!("CARGO_BIN_EXE_backstop").to_owned()];
        let site = Self { place, program, password: password.to_owned() };
        site.configure(config);
        site
    }

    fn of(stack: &Stack, config: &str) -> Self {
        Self::new(&stack.password(), config)
    }

    /// The same site for a user who is not root but may talk to Docker.
    fn unprivileged(mut self) -> Self {
        const NOBODY: u32 = 65534;
        let program = self.path().join("backstop");
        fs::copy(&self.program[0], &program).unwrap();
        for path in [self.path(), &self.path().join("backstop.toml")] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let socket = fs::metadata("/var/run/docker.sock");
        let group = socket.map_or(NOBODY, |found| std::os::unix::fs::MetadataExt::gid(&found));
        self.program = vec![
            "setpriv".into(),
            format!("--reuid={NOBODY}"),
            format!("--regid={NOBODY}"),
            format!("--groups={group}"),
            program.display().to_string(),
        ];
        self
    }

    fn configure(&self, config: &str) {
        let dir = self.path().display();
        let text = format!(
            "[stack]\nname = \"shop\"\n[repository]\npath = \"{dir}/repository\"\n\
             [state]\ndir = \"{dir}/state\"\n{config}"
        );
        fs::write(self.path().join("backstop.toml"), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.path())
            .env("BACKSTOP_CONFIG", self.path().join("backstop.toml"))
            .env("SHOP_DB_PASSWORD", &self.password)
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).ok().json()
    }

    fn manifest(&self, record: &Value) -> Value {
        let backup = self.path().join("repository/backups").join(record["name"].as_str().unwrap());
        serde_json::from_slice(&fs::read(backup.join("manifest.json")).unwrap()).unwrap()
    }

    /// Starts the program, which is left alone once it has reported `step`.
    fn start_until(&self, arguments: &[&str], step: &str) -> Child {
        let mut child = self
            .command(&[arguments, &["--json"]].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let wanted = format!("\"step\":\"{step}\"");
        assert!(lines.any(|line| line.unwrap().contains(&wanted)), "no step {step}");
        child
    }

    /// Restores a copy of the backup into `database` and a directory, and audits it.
    #[track_caller]
    fn audit_copy(&self, stack: &Stack, record: &Value, database: &str) -> Audit {
        let to = self.path().join(format!("copy-{database}"));
        let id = record["id"].as_str().unwrap();
        let renaming = format!("shop={database}");
        let to_text = to.to_str().unwrap();
        self.run(&["restore", id, "--to", to_text, "--database", &renaming]).ok();
        stack.audit_copy(database, &to.join("files/uploads"))
    }
}

/// The component of this name.
fn component<'a>(record: &'a Value, name: &str) -> &'a Value {
    let components = record["components"].as_array().unwrap();
    components.iter().find(|component| component["name"] == name).unwrap_or_else(|| {
        panic!("no component {name}: {record}");
    })
}

fn level(record: &Value) -> &str {
    record["consistency"]["level"].as_str().unwrap()
}

/// The names of the containers that were held.
fn held(record: &Value) -> Vec<&str> {
    let downtime = record["downtime"].as_array().unwrap();
    downtime.iter().map(|held| held["container"].as_str().unwrap()).collect()
}

fn running(container: &str) -> bool {
    docker(&["inspect", "--format", "{{.State.Status}}", container]) == "running"
}

fn started_at(container: &str) -> String {
    docker(&["inspect", "--format", "{{.State.StartedAt}}", container])
}

fn name_of(container: &str) -> String {
    let name = docker(&["inspect", "--format", "{{.Name}}", container]);
    name.trim_start_matches('/').to_owned()
}

/// What backstop keeps for itself in `dir`.
fn own_entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("/.backstop-")).collect()
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < give_up, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
