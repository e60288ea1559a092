//! A private PostgreSQL server.
//!
//! A keeper process removes it as soon as the test process is gone, whatever ended that: it
//! waits for the end of a pipe that only the test process holds open.

use backstop::config;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The superuser of every cluster.
pub(crate) const SUPERUSER: &str = "postgres";

/// A role that may create databases and nothing else. It owns the test databases.
pub(crate) const USER: &str = "shop";

/// The password of both, odd on purpose.
pub(crate) const PASSWORD: &str = r#"p@ss/w:rd 'x" \ü%"#;

/// One server with its data directory, socket and port.
pub(crate) struct Cluster {
    directory: PathBuf,
    port: u16,
    keeper: Child,
}

impl Cluster {
    /// The server that all tests of this process share. Databases in it have unique names.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of one's own, for tests that look at the server as a whole.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// As [`Cluster::start`], with further lines of `postgresql.conf`.
    pub(crate) fn start_with(settings: &str) -> Self {
        // Somebody else may take the free port before the server does.
        let cluster = (0..3).find_map(|_| Self::try_start(settings)).expect("the server starts");
        cluster.psql(
            "postgres",
            &format!("CREATE ROLE {USER} LOGIN CREATEDB PASSWORD {}", literal(PASSWORD)),
        );
        cluster
    }

    fn try_start(settings: &str) -> Option<Self> {
        let directory = private_directory();
        let keeper = keep(&directory);
        let mut cluster = Self { port: free_port(), keeper, directory };
        cluster.init(settings);
        writeln!(cluster.keeper.stdin.as_mut()?, "{}", cluster.port).unwrap();
        let log = cluster.directory.join("log");
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("database system is ready to accept connections") {
                return Some(cluster);
            }
            if said.contains("FATAL:") {
                eprintln!("{said}");
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn init(&self, settings: &str) {
        let secret = self.directory.join("password");
        fs::write(&secret, PASSWORD).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        let done = as_server_user("initdb")
            .args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--auth=scram-sha-256", "--username", SUPERUSER, "--pwfile"])
            .arg(&secret)
            .arg("--pgdata")
            .arg(self.data())
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mut conf =
            fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf")).unwrap();
        write!(
            conf,
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n\
             fsync = off\nfull_page_writes = off\nautovacuum = off\nmax_wal_senders = 0\n\
             wal_level = minimal\nshared_buffers = 16MB\nmax_connections = 100\n{settings}\n",
            self.directory.display(),
        )
        .unwrap();
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The directory of its Unix socket.
    pub(crate) fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// The TCP port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A URL of `database` over TCP, as `user`, with the password.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let (password, database) = (encode(PASSWORD), encode(database));
        format!("postgres://{}:{password}@127.0.0.1:{}/{database}", encode(user), self.port)
    }

    /// A database component of this name for `database`, as `user`.
    pub(crate) fn component(&self, name: &str, user: &str, database: &str) -> config::Database {
        let value = serde_json::json!({ "name": name, "url": self.url(user, database) });
        serde_json::from_value(value).unwrap()
    }

    /// Creates an empty database whose name begins with `prefix` and that [`USER`] owns.
    pub(crate) fn database(&self, prefix: &str) -> TestDatabase<'_> {
        TestDatabase::create(self, prefix)
    }

    /// Runs SQL as the superuser and returns what it prints, one row a line.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let output = self.try_psql(SUPERUSER, database, sql);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {said}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Runs SQL as `user`.
    pub(crate) fn try_psql(&self, user: &str, database: &str, sql: &str) -> Output {
        Command::new(bin_dir().join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password"])
            .args(["--set=ON_ERROR_STOP=1", "--command", sql])
            .env("PGHOST", &self.directory)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", user)
            .env("PGDATABASE", database)
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A database of one test, dropped after it.
pub(crate) struct TestDatabase<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl<'a> TestDatabase<'a> {
    fn create(cluster: &'a Cluster, prefix: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        cluster.psql("postgres", &format!("CREATE DATABASE {} OWNER {USER}", identifier(&name)));
        Self { cluster, name }
    }

    /// Its name on the server.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A component for it, named `shop`, as [`USER`].
    pub(crate) fn component(&self) -> config::Database {
        self.cluster.component("shop", USER, &self.name)
    }

    /// Runs SQL in it as [`USER`].
    pub(crate) fn sql(&self, sql: &str) -> String {
        let output = self.cluster.try_psql(USER, &self.name, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

impl Drop for TestDatabase<'_> {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(&self.name));
        let _ = self.cluster.try_psql(SUPERUSER, "postgres", &sql);
    }
}

/// The newest installed server's programs.
pub(crate) fn bin_dir() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = versions
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
            .map(|(version, path): (u32, PathBuf)| (version, path.join("bin")))
            .filter(|(_, path)| path.join("initdb").exists())
            .max();
        newest.map(|(_, path)| path).unwrap_or_else(|| {
            let path = std::env::var_os("PATH").expect("PATH is set");
            std::env::split_paths(&path)
                .find(|directory| directory.join("initdb").exists())
                .expect("a PostgreSQL server is installed")
        })
    })
}

/// `name` as an SQL identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text`, percent-encoded for a URL.
pub(crate) fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// `text` as an SQL literal.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A server program, as a user that PostgreSQL accepts: it refuses to run as root.
fn as_server_user(program: &str) -> Command {
    let program = bin_dir().join(program);
    let mut command = match server_user() {
        None => Command::new(program),
        Some((uid, gid)) => {
            let mut command = Command::new("setpriv");
            command
                .args([format!("--reuid={uid}"), format!("--regid={gid}")])
                .arg("--clear-groups")
                .arg(program);
            command
        }
    };
    command.env_remove("PGDATA").current_dir("/").stdin(Stdio::null());
    command
}

/// The ids that a root process takes on for the server; `None` where we are not root.
fn server_user() -> Option<(u32, u32)> {
    static IDS: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *IDS.get_or_init(|| {
        let id = |arguments: &[&str]| -> Option<u32> {
            let output = Command::new("id").args(arguments).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        if id(&["-u"]) != Some(0) {
            return None;
        }
        let of = |user: &str| Some((id(&["-u", user])?, id(&["-g", user])?));
        Some(of("postgres").or_else(|| of("nobody")).expect("a user to run PostgreSQL as"))
    })
}

fn private_directory() -> PathBuf {
    let directory = tempfile::Builder::new().prefix("backstop-pg-").tempdir().unwrap().keep();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    if let Some((uid, gid)) = server_user() {
        chown(&directory, Some(uid), Some(gid)).unwrap();
    }
    directory
}

/// Starts the process that removes the directory when our end of the pipe is closed. Told a
/// port, it runs the server as its own child until then.
fn keep(directory: &Path) -> Child {
    const SCRIPT: &str = r#"
        trap '' INT TERM HUP
        directory=$1; shift
        if read -r port; then
            "$@" -D "$directory/data" -p "$port" >"$directory/log" 2>&1 </dev/null &
            server=$!
            read -r _
            kill -QUIT $server
            wait $server
        fi
        rm -rf "$directory"
    "#;
    let server = as_server_user("postgres");
    let mut words = vec![server.get_program().to_owned()];
    words.extend(server.get_args().map(ToOwned::to_owned));
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "keeper"])
        .arg(directory)
        .args(words)
        .env_remove("PGDATA")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
