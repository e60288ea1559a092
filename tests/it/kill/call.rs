//! Deaths at chosen system calls: strace(1) delivers SIGKILL as one begins that changes a
//! file, before it has any effect.

use crate::support::host::Host;
use std::collections::BTreeMap;
use std::fmt;
use std::process::{Command, Stdio};

/// The calls through which backstop and DuckDB change what lies on a disk.
const CHANGING: [&str; 17] = [
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "ftruncate",
    "fsync",
    "fdatasync",
    "pwrite64",
    "write",
];

/// A call at which a process dies: the one of this name that a thread makes as its nth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    name: String,
    nth: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.nth)
    }
}

/// Every point of a command, which is run to its end.
pub(super) fn points(host: &Host, arguments: &[&str]) -> Vec<Point> {
    let log = host.path().join("calls");
    let trace = format!("trace={}", CHANGING.join(","));
    let log_name = log.to_str().unwrap();
    let outer = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", log_name, "-e", &trace];
    let output = host.command_under(&outer, arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(log).unwrap();
    let mut made: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut most: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let name = rest.trim_start().split('(').next().unwrap();
        let Some(name) = CHANGING.into_iter().find(|known| *known == name) else { continue };
        let nth = made.entry((thread, name)).or_default();
        *nth += 1;
        let most = most.entry(name).or_default();
        *most = (*most).max(*nth);
    }
    let of_name = |name: &&str| {
        let most = most.get(name).copied().unwrap_or_default();
        (1..=most).map(|nth| Point { name: (*name).to_owned(), nth }).collect::<Vec<_>>()
    };
    CHANGING.iter().flat_map(of_name).collect()
}

/// Runs a command that dies at `point`; false where it never came there.
pub(super) fn killed_at(point: &Point, host: &Host, arguments: &[&str]) -> bool {
    let trace = format!("trace={}", point.name);
    let inject = format!("inject={}:signal=KILL:when={}", point.name, point.nth);
    // Not with --seccomp-bpf, with which strace 6.1 delivers most signals not at all.
    let outer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let mut command: Command = host.command_under(&outer, arguments);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    !status.success()
}

/// How many points of each command are tried, of about equal distance:
/// `BACKSTOP_TEST_KILL_POINTS`, a number or `all`.
pub(super) fn chosen(points: &[Point]) -> Vec<Point> {
    let wanted = std::env::var("BACKSTOP_TEST_KILL_POINTS").unwrap_or_else(|_| "12".into());
    let wanted = wanted.parse().unwrap_or(points.len()).clamp(1, points.len());
    (0..wanted).map(|place| points[place * points.len() / wanted].clone()).collect()
}
