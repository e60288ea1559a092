//! An upgrade that kills Docker's daemon, on one of its own.

use super::new_version::Deployment;
use crate::support::daemon::Daemon;
use crate::support::need::{self, Need};
use crate::support::shop::Shop;
use std::process::Command;

const NAME: &str = "guard::daemon::an_upgrade_that_kills_dockers_daemon_is_undone";
/// Set in the process that has a network namespace of its own.
const ALONE: &str = "BACKSTOP_TEST_ALONE";
/// Set in the process that works with the daemon: the file with its pid.
const PID_FILE: &str = "BACKSTOP_TEST_DAEMON_PID";

#[test]
fn an_upgrade_that_kills_dockers_daemon_is_undone() {
    let exe = std::env::current_exe().unwrap();
    let exe = exe.to_str().unwrap();
    // Namespaces and DOCKER_HOST are a whole process's, and other tests run beside this one.
    if let Ok(pid_file) = std::env::var(PID_FILE) {
        kill_the_daemon(&pid_file);
    } else if std::env::var_os(ALONE).is_some() {
        let shop = Shop::get();
        let daemon = Daemon::with_images(&[&shop.postgres_image, &shop.image]);
        let mut command = Command::new(exe);
        command.env("DOCKER_HOST", daemon.host()).env(PID_FILE, daemon.pid_file());
        passes(&mut command);
    } else if need::all(&[Need::Docker, Need::Root]) {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\"", exe]);
        let run = format!("backstop-test-daemon-{}", std::process::id());
        passes(command.env(ALONE, "1").env("BACKSTOP_TEST_RUN", run));
    }
}

/// Runs this test in another process.
#[track_caller]
fn passes(command: &mut Command) {
    let output = command.args(["--exact", NAME, "--nocapture"]).output().unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    let said = String::from_utf8_lossy(out) + String::from_utf8_lossy(err);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn kill_the_daemon(pid_file: &str) {
    let deployment = Deployment::start().unwrap();
    let state = deployment.site.state();
    let kills = deployment.script(
        "kills",
        &format!("sql 'DELETE FROM uploads WHERE id > 3'\nkill -9 $(cat {pid_file})\nexit 1\n"),
    );
    let ran = deployment.guard(&[], &kills);
    assert_eq!(ran.code, 20, "{ran:?}");
    deployment.assert_as_before(&state, "the daemon was killed");
    deployment.site.purge(&deployment.site.path().join("state/runs"));
}
