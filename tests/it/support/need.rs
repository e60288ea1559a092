//! What a test needs of the machine, and what happens where that is missing.
//!
//! A user sees which tests were skipped and why. `BACKSTOP_TEST_REQUIRE=docker,root` or `all`
//! names what must not be missing: there such a test fails instead.

use super::ssh::SshServer;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;
use std::sync::OnceLock;

/// Something a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A Docker daemon that answers.
    Docker,
    /// To run as root.
    Root,
    /// Python, which can do to files what Rust does not without `unsafe`.
    Python,
    /// Python with pyarrow, a reader of Parquet that is not ours.
    Pyarrow,
    /// Python with jsonschema, which checks documents as editors do.
    Jsonschema,
    /// strace(1), and the right to trace.
    Strace,
    /// The `age` command, which did not come from here.
    Age,
    /// An SSH server that can be started, and its client.
    Sshd,
    /// A kernel that mounts FUSE file systems.
    Fuse,
    /// Ansible.
    Ansible,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Root => "root",
            Self::Python => "python",
            Self::Pyarrow => "pyarrow",
            Self::Jsonschema => "jsonschema",
            Self::Strace => "strace",
            Self::Age => "age",
            Self::Sshd => "sshd",
            Self::Fuse => "fuse",
            Self::Ansible => "ansible",
        }
    }

    fn met(self) -> bool {
        match self {
            Self::Docker => docker_answers(),
            Self::Root => rustix::process::geteuid().is_root(),
            Self::Python => succeeds("python3", &["--version"]),
            Self::Pyarrow => succeeds(&python(), &["-c", "import pyarrow.parquet"]),
            Self::Jsonschema => {
                succeeds("python3", &["-c", "from jsonschema import Draft202012Validator"])
            }
            Self::Strace => succeeds("strace", &["-f", "--seccomp-bpf", "-qq", "true"]),
            Self::Age => succeeds("age", &["--version"]),
            Self::Sshd => SshServer::is_there(),
            Self::Fuse => std::path::Path::new("/dev/fuse").exists(),
            Self::Ansible => succeeds("ansible-playbook", &["--version"]),
        }
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|it| it.status.success())
}

/// The Python that `scripts/test` gave pyarrow to.
pub(crate) fn python() -> String {
    std::env::var("BACKSTOP_TEST_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Whether everything is there; says on the terminal what is not.
///
/// # Panics
/// Where the missing one is named in `BACKSTOP_TEST_REQUIRE`.
pub(crate) fn all(needs: &[Need]) -> bool {
    let Some(missing) = needs.iter().find(|need| !need.met()).map(|need| need.name()) else {
        return true;
    };
    let required = std::env::var("BACKSTOP_TEST_REQUIRE").unwrap_or_default();
    let strict = required.split(',').any(|name| ["all", missing].contains(&name.trim()));
    assert!(!strict, "this test needs {missing}, which BACKSTOP_TEST_REQUIRE demands");
    let thread = std::thread::current();
    let line = format!("skipped: {} needs {missing}\n", thread.name().unwrap_or("a test"));
    // Written past the test harness, which keeps back what a passing test prints.
    drop(std::io::stderr().write_all(line.as_bytes()));
    if let Some(path) = std::env::var_os("BACKSTOP_TEST_SKIPPED") {
        let list = OpenOptions::new().create(true).append(true).open(path);
        list.and_then(|mut list| list.write_all(line.as_bytes())).unwrap();
    }
    false
}

fn docker_answers() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    *ANSWERS.get_or_init(|| {
        let asked = Command::new("timeout").args(["20", "docker", "version"]).output();
        asked.is_ok_and(|output| output.status.success())
    })
}
