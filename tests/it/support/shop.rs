//! The sample application's program and images.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The images of the sample stack, and the application's binary.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) postgres_image: String,
    pub(crate) image: String,
    pub(crate) binary: PathBuf,
}

/// What an audit found.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) rows: u64,
    pub(crate) files: u64,
    pub(crate) rows_without_file: Vec<String>,
    pub(crate) files_without_row: Vec<String>,
    pub(crate) mismatched: Vec<String>,
}

impl Audit {
    /// Whether every row has its file and every file its row.
    pub(crate) fn clean(&self) -> bool {
        let differing = [&self.rows_without_file, &self.files_without_row, &self.mismatched];
        differing.iter().all(|names| names.is_empty())
    }

    fn parse(output: &Output) -> Option<Self> {
        let said: Value = serde_json::from_slice(&output.stdout).ok()?;
        let names = |key: &str| -> Option<Vec<String>> {
            said[key].as_array()?.iter().map(|name| Some(name.as_str()?.to_owned())).collect()
        };
        Some(Self {
            rows: said["rows"].as_u64()?,
            files: said["files"].as_u64()?,
            rows_without_file: names("rows_without_file")?,
            files_without_row: names("files_without_row")?,
            mismatched: names("mismatched")?,
        })
    }
}

impl Shop {
    /// Builds what is missing, once a process, with `scripts/images`; `scripts/test` has
    /// done that before.
    pub(crate) fn get() -> &'static Self {
        static SHOP: OnceLock<Shop> = OnceLock::new();
        SHOP.get_or_init(|| {
            let names = "BACKSTOP_POSTGRES_IMAGE BACKSTOP_SHOP_IMAGE BACKSTOP_SHOP_BINARY";
            let script = format!(
                r#"set -e; for name in {names}; do
                       [ -n "${{!name:-}}" ] || {{ out=$(scripts/images); eval "$out"; break; }}
                   done
                   for name in {names}; do echo "${{!name}}"; done"#
            );
            let said = run(Command::new("bash").args(["-c", &script]));
            let mut lines = said.lines().map(str::to_owned);
            let mut next = || lines.next().expect("scripts/images names three things");
            Self { postgres_image: next(), image: next(), binary: next().into() }
        })
    }

    /// The program with `arguments`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        command
    }

    /// The audit that the service at `url` makes; none while it cannot make one.
    pub(crate) fn audit(&self, url: &str) -> Option<Audit> {
        Audit::parse(&self.command(&["audit", "--url", url]).output().unwrap())
    }

    /// The audit of a restored copy.
    pub(crate) fn audit_copy(&self, database: &str, password: &str, uploads: &Path) -> Audit {
        let mut command = self.command(&["audit", "--database-url", database, "--uploads"]);
        let output = command.arg(uploads).env("PGPASSWORD", password).output().unwrap();
        Audit::parse(&output).unwrap_or_else(|| panic!("no audit: {output:?}"))
    }

    /// Whether the service at `url` says that it works.
    pub(crate) fn healthy(&self, url: &str) -> bool {
        self.command(&["health", "--url", url]).output().unwrap().status.success()
    }
}

/// Runs a command in the project's directory and gives what it printed.
///
/// # Panics
/// When it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}\n{complained}");
    said
}
