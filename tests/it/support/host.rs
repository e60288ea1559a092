//! A machine as the program sees it: a config, a repository, a state directory, a live tree
//! and a database, with the program itself.

use super::cluster::{Cluster, PASSWORD, SUPERUSER, TestDatabase, USER, encode};
use super::store::{BUCKET, KEY_ID, S3Server, SECRET};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The name of the environment variable that holds the database's password.
const PASSWORD_ENV: &str = "SHOP_DB_PASSWORD";

/// One machine, removed after the test.
pub(crate) struct Host {
    place: tempfile::TempDir,
    cluster: Option<&'static Cluster>,
    database: Option<TestDatabase<'static>>,
}

/// What a run of the program ended with.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Host {
    /// The keys of a store at `prefix` of the config, whose secrets lie in files of the host.
    pub(crate) fn store(&self, server: &S3Server, prefix: &str) -> String {
        fs::write(self.path().join("key-id"), KEY_ID).unwrap();
        fs::write(self.path().join("secret"), SECRET).unwrap();
        format!(
            "url = \"s3://{BUCKET}/{prefix}\"\noptions = {{ endpoint = \"{}\" }}\n\
             credentials = {{ key_id_file = \"key-id\", secret_file = \"secret\" }}\n",
            server.endpoint()
        )
    }

    /// With the live tree only, no database.
    pub(crate) fn with_files() -> Self {
        let place = tempfile::Builder::new().prefix("backstop-host-").tempdir().unwrap();
        let host = Self { place, cluster: None, database: None };
        host.write("one.txt", "one");
        host.write("below/two.bin", &"two ".repeat(5000));
        host.configure("");
        host
    }

    /// With a database of 1,000 rows in the table `item` as well.
    pub(crate) fn with_database() -> Self {
        Self::with_database_on(Cluster::shared())
    }

    /// The same on a server of its own, whose roles no other test dumps and restores. It lives
    /// as long as the tests.
    pub(crate) fn with_own_server() -> Self {
        Self::with_database_on(Box::leak(Box::new(Cluster::start())))
    }

    fn with_database_on(cluster: &'static Cluster) -> Self {
        let mut host = Self::with_files();
        host.cluster = Some(cluster);
        let database = cluster.database("host");
        database.sql(
            "CREATE TABLE item (id int PRIMARY KEY, name text); \
             INSERT INTO item SELECT i, md5(i::text) FROM generate_series(1, 1000) i",
        );
        host.database = Some(database);
        host.configure("");
        host
    }

    /// Writes the config, with `more` at its end.
    pub(crate) fn configure(&self, more: &str) {
        self.configure_database("", more);
    }

    /// Writes the config, with further keys of the database.
    pub(crate) fn configure_database(&self, keys: &str, more: &str) {
        let url = self.database.as_ref().map(|database| self.url(SUPERUSER, database.name()));
        self.configure_url(url.as_deref(), keys, more);
    }

    /// Writes the config, with this url of the database, if any.
    pub(crate) fn configure_url(&self, url: Option<&str>, keys: &str, more: &str) {
        let repository = format!("path = {:?}", self.repository());
        self.configure_all(&repository, url, keys, more);
    }

    /// Writes the config, with these keys of the repository.
    pub(crate) fn configure_repository(&self, keys: &str) {
        let url = self.database.as_ref().map(|database| self.url(SUPERUSER, database.name()));
        self.configure_all(keys, url.as_deref(), "", "");
    }

    fn configure_all(&self, repository: &str, url: Option<&str>, keys: &str, more: &str) {
        let mut text = format!(
            "[stack]\nname = \"shop\"\n[state]\ndir = {:?}\n[repository]\n{repository}\n",
            self.state()
        );
        if let Some(url) = url {
            text.push_str(&format!(
                "[[databases]]\nname = \"shop\"\nurl = {url:?}\n\
                 password_env = \"{PASSWORD_ENV}\"\n{keys}\n"
            ));
        }
        text.push_str(&format!("[[files]]\nname = \"uploads\"\npath = {:?}\n", self.live()));
        fs::write(self.config(), text + more).unwrap();
    }

    /// A url without password.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let port = self.cluster().port();
        format!("postgres://{user}@127.0.0.1:{port}/{}", encode(database))
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("backstop.toml")
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.path().join("repository")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.path().join("live/uploads")
    }

    pub(crate) fn cluster(&self) -> &'static Cluster {
        self.cluster.unwrap_or_else(Cluster::shared)
    }

    pub(crate) fn database(&self) -> &TestDatabase<'static> {
        self.database.as_ref().expect("a host with a database")
    }

    /// Writes a file of the live tree.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.live().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The program with these arguments, in an environment of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_under(&[], arguments)
    }

    /// The same as the last words of another command, as of `strace -f`.
    pub(crate) fn command_under(&self, outer: &[&str], arguments: &[&str]) -> Command {
        let words = [outer, &[env!("CARGO_BIN_EXE_backstop")], arguments].concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.path())
            .env("BACKSTOP_CONFIG", self.config())
            .env(PASSWORD_ENV, PASSWORD)
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// Runs the program, which must succeed, and returns the JSON it prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).ok().json()
    }

    /// Takes a backup and returns its record.
    pub(crate) fn back_up(&self) -> Value {
        self.json(&["backup"])
    }

    /// The directory of the backup that a record describes.
    pub(crate) fn backup_dir(&self, record: &Value) -> PathBuf {
        self.repository().join("backups").join(record["name"].as_str().unwrap())
    }

    /// How many backups and how many half-written ones the repository holds.
    pub(crate) fn backups_and_incoming(&self) -> (usize, usize) {
        let count = |name| fs::read_dir(self.repository().join(name)).map_or(0, Iterator::count);
        (count("backups"), count("incoming"))
    }

    /// Everything that a restore must not touch: the live tree field by field, what lies
    /// beside it, and the server's databases with their rows.
    pub(crate) fn live_state(&self) -> String {
        let tree = listing(self.live().parent().unwrap());
        match &self.database {
            None => tree,
            Some(database) => {
                // Other tests create databases on the same server at the same time.
                let own = database.name().to_owned() + "_";
                let sql =
                    format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{own}')");
                let names = Cluster::shared().psql("postgres", &sql);
                let rows = database
                    .sql("SELECT count(*), md5(string_agg(name, '' ORDER BY id)) FROM item");
                format!("{tree}\n{names}\n{rows}")
            }
        }
    }
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same, which must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.ended(0)
    }

    /// The same, which must have ended with this exit code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self
    }

    /// The same, which must have failed so. An error says what was attempted and what helps.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, name: &str) -> Self {
        let ran = self.ended(code);
        let start = format!("error[{name}]: cannot ");
        assert!(ran.stderr.contains(&start), "{name} expected: {}", ran.stderr);
        let hint = ran.stderr.lines().find_map(|line| line.strip_prefix("hint: "));
        assert!(hint.is_some_and(|hint| hint.len() > 10), "{}", ran.stderr);
        ran
    }

    /// What was printed, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}{}", self.stdout, self.stderr))
    }
}

/// A line for everything below `root`, not itself: type, mode, owner, size, time, target and content.
pub(crate) fn listing(root: &Path) -> String {
    let mut lines = BTreeMap::new();
    list(root, root, &mut lines);
    lines.into_values().collect::<Vec<_>>().join("\n")
}

fn list(root: &Path, path: &Path, lines: &mut BTreeMap<Vec<u8>, String>) {
    let found = fs::symlink_metadata(path).unwrap();
    let content = match (found.is_file(), found.is_symlink()) {
        (true, _) => backstop::repository::hash_file(&Default::default(), path).unwrap().1,
        (_, true) => fs::read_link(path).unwrap().display().to_string(),
        _ => String::new(),
    };
    // A directory's own size and link count depend on its file system's history.
    let size = if found.is_dir() { 0 } else { found.size() };
    let links = if found.is_dir() { 0 } else { found.nlink() };
    // The top directory's own time changes with what is built beside the live tree.
    let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
    let line = format!(
        "{} {:o} {}:{} {size} {links} {}.{:09} {content}",
        name.escape_ascii(),
        found.mode(),
        found.uid(),
        found.gid(),
        found.mtime(),
        found.mtime_nsec(),
    );
    if path != root {
        lines.insert(name, line);
    }
    if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            list(root, &entry.unwrap().path(), lines);
        }
    }
}

/// Every file below `root` that holds one of the passwords' spellings.
pub(crate) fn files_with_password(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => dirs.push(path),
                kind if kind.is_file() && tells_password(&fs::read(&path).unwrap()) => {
                    found.push(path);
                }
                _ => {}
            }
        }
    }
    found
}

/// Whether the text holds the password, plain, percent-encoded or escaped.
pub(crate) fn tells_password(text: &[u8]) -> bool {
    let json = serde_json::to_string(PASSWORD).unwrap();
    let spellings = [PASSWORD.to_owned(), encode(PASSWORD), json.trim_matches('"').to_owned()];
    spellings.iter().any(|secret| text.windows(secret.len()).any(|part| part == secret.as_bytes()))
}

/// The role that owns the test databases.
pub(crate) const OWNER: &str = USER;

/// Writes the `SHA256SUMS` of a backup anew, after its manifest was changed.
pub(crate) fn sign(backup: &Path) {
    let script = "find . -type f ! -name 'SHA256SUMS*' -printf '%P\\0' | LC_ALL=C sort -z | \
                  xargs -0 sha256sum > SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS";
    assert!(
        Command::new("sh").args(["-ec", script]).current_dir(backup).status().unwrap().success()
    );
}

/// The command lines of processes that carry the mark of a run.
pub(crate) fn processes_of(run: &str) -> Vec<String> {
    let mark = format!("BACKSTOP_RUN={run}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        })
        .map(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ")
        })
        .collect()
}
