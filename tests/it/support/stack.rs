//! A sample stack of its own for one test: PostgreSQL and the sample application.

use super::load::Load;
use super::need::{self, Need};
use super::port;
use super::shop::{Audit, Shop, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything in a stack may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running sample stack under a project name and on ports of its own. When dropped its
/// containers, volumes and network are removed, also when the test fails.
pub(crate) struct Stack {
    project: String,
    app_port: u16,
    database_port: u16,
}

impl Stack {
    /// A stack that works; none, with a word about it, where no Docker daemon answers.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with variables of `docker-compose.yml` set, e.g. `SHOP_PAUSE_MS`.
    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Option<Self> {
        Self::start_from(variables, None)
    }

    /// The same as people install it: with the compose file and its `.env` in this directory.
    pub(crate) fn start_in(home: &Path) -> Option<Self> {
        Self::start_from(&[], Some(home))
    }

    fn start_from(variables: &[(&str, &str)], home: Option<&Path>) -> Option<Self> {
        need::all(&[Need::Docker]).then(|| {
            let stack = (1..=3).find_map(|attempt| Self::up(variables, home, attempt)).unwrap();
            stack.wait_until("the application is healthy", || stack.healthy());
            stack
        })
    }

    /// Removes everything of it: containers, volumes, networks.
    pub(crate) fn remove(&self) {
        run(script("scripts/remove-stack").arg(&self.project));
    }

    /// The compose project, also the value of the label `backstop.quiesce`.
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// The application's address, `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.app_port)
    }

    /// The address of a database on the stack's server, without the password.
    pub(crate) fn database_url(&self, database: &str) -> String {
        format!("postgres://shop@127.0.0.1:{}/{database}", self.database_port)
    }

    /// The password of the database's only user, `shop`.
    pub(crate) fn password(&self) -> String {
        format!("secret-of-{}", self.project)
    }

    /// The Docker volume of the uploaded files.
    pub(crate) fn volume(&self) -> String {
        format!("{}_uploads", self.project)
    }

    /// Where the uploaded files lie on this host; only root may look.
    pub(crate) fn uploads(&self) -> PathBuf {
        docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &self.volume()]).into()
    }

    /// The id of a service's container, `app` or `db`, whether it runs or not.
    pub(crate) fn container(&self, service: &str) -> String {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        docker(&[
            "ps",
            "--all",
            "--quiet",
            "--no-trunc",
            "--filter",
            &project,
            "--filter",
            &service,
        ])
    }

    /// Whether the application says that it works.
    pub(crate) fn healthy(&self) -> bool {
        Shop::get().healthy(&self.url())
    }

    /// The application's own audit. Uploads under way count as files without row.
    pub(crate) fn audit(&self) -> Audit {
        Shop::get().audit(&self.url()).expect("an audit")
    }

    /// The audit of a restored copy: another database on this server, another directory.
    pub(crate) fn audit_copy(&self, database: &str, uploads: &Path) -> Audit {
        Shop::get().audit_copy(&self.database_url(database), &self.password(), uploads)
    }

    /// Starts a load generator against the application.
    pub(crate) fn load(&self, clients: u32, rate: u32) -> Load {
        Load::start(&self.url(), clients, rate)
    }

    /// Runs a shell command as the superuser in the database's container.
    pub(crate) fn in_database(&self, script: &str) -> String {
        let id = self.container("db");
        docker(&["exec", "--env", "PGUSER=shop", &id, "sh", "-ec", script])
    }

    /// A config that protects this stack, with repository and state below `directory`.
    /// The password is expected in `SHOP_DB_PASSWORD`.
    pub(crate) fn config(&self, directory: &Path) -> String {
        format!(
            r#"
[stack]
name = "{project}"
[repository]
path = "{directory}/repository"
[state]
dir = "{directory}/state"
[[databases]]
name = "shop"
url = "{url}"
password_env = "SHOP_DB_PASSWORD"
[[files]]
name = "uploads"
volume = "{volume}"
exclude = ["*.tmp"]
[[containers]]
select = "label=backstop.quiesce={project}"
"#,
            project = self.project,
            directory = directory.display(),
            url = self.database_url("shop"),
            volume = self.volume(),
        )
    }

    /// Polls until `holds`.
    ///
    /// # Panics
    /// When it takes too long; `what` says what was waited for.
    pub(crate) fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < give_up, "{}: waited in vain until {what}", self.project);
            sleep(Duration::from_millis(100));
        }
    }

    /// Brings a stack up. None when another program was faster to take a port.
    fn up(variables: &[(&str, &str)], home: Option<&Path>, attempt: u32) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let run = std::env::var("BACKSTOP_TEST_RUN")
            .unwrap_or_else(|_| format!("backstop-test-{}", std::process::id()));
        let shop = Shop::get();
        let stack = Self {
            project: format!("{run}-{}", NUMBER.fetch_add(1, Relaxed)),
            app_port: port::free(),
            database_port: port::free(),
        };
        let own = [
            ("BACKSTOP_POSTGRES_IMAGE", shop.postgres_image.clone()),
            ("BACKSTOP_SHOP_IMAGE", shop.image.clone()),
            ("SHOP_PORT", stack.app_port.to_string()),
            ("SHOP_DB_PORT", stack.database_port.to_string()),
            ("SHOP_DB_PASSWORD", stack.password()),
            ("SHOP_QUIESCE", stack.project.clone()),
        ];
        let mut command = script("scripts/compose");
        command.args(["--project-name", &stack.project, "up", "--detach"]);
        match home {
            None => drop(command.envs(own).envs(variables.iter().copied())),
            Some(home) => {
                let file = home.join("docker-compose.yml");
                std::fs::copy("docker-compose.yml", &file).unwrap();
                let lines: String =
                    own.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
                std::fs::write(home.join(".env"), lines).unwrap();
                command.env("COMPOSE_FILE", file).current_dir(home);
                for (name, _) in &own {
                    command.env_remove(name);
                }
            }
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let taken = said.contains("already allocated") || said.contains("already in use");
        assert!(output.status.success() || (taken && attempt < 3), "compose failed: {said}");
        output.status.success().then_some(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        drop(script("scripts/remove-stack").arg(&self.project).output());
    }
}

/// Runs the Docker client and gives what it printed.
///
/// # Panics
/// When it fails.
pub(crate) fn docker(arguments: &[&str]) -> String {
    run(Command::new("docker").args(arguments))
}

fn script(path: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}
