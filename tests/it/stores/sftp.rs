//! A repository behind SSH.

use super::*;
use crate::support::host::Ran;
use crate::support::need::{self, Need};
use crate::support::ssh::{self, SshServer};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn a_repository_behind_ssh_takes_backups_and_gives_them_back() {
    if !need::all(&[Need::Sshd]) {
        return;
    }
    let (host, server) = (Host::with_files(), SshServer::start());
    let far = host.path().join("far");
    fs::create_dir(&far).unwrap();
    let user = Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(user.stdout).unwrap();
    let store = format!(
        "url = \"sftp://{}@{}{}/shop\"\ncredentials = {{ secret_file = {:?} }}\n",
        user.trim(),
        server.authority(),
        far.display(),
        server.key()
    );
    let path = format!("{}:{}", server.programs().display(), std::env::var("PATH").unwrap());
    // Where ssh's connections have their sockets, which names them among all processes.
    let sockets = host.path().join("ssh");
    let command = |arguments: &[&str]| {
        let mut command = host.command(arguments);
        command.env("PATH", &path).env("XDG_STATE_HOME", &sockets);
        command
    };
    let run = |arguments: &[&str]| {
        let ran = Ran::of(&command(arguments).output().unwrap());
        no_connection_is_left(&sockets);
        ran
    };

    // As the only home.
    host.configure_repository(&store);
    let full = run(&["backup", "--json"]).ok().json();
    host.write("new.txt", "new");
    let next = run(&["backup", "--json"]).ok().json();
    assert_eq!((&full["kind"], &next["kind"]), (&"full".into(), &"incremental".into()));
    let there = far.join("shop/backups").join(name(&next));
    let checked = Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(&there)
        .status();
    assert!(checked.unwrap().success(), "{}", there.display());
    assert_eq!(run(&["cat", "latest", "uploads/new.txt"]).ok().stdout, "new");
    let to = host.path().join("restored");
    run(&["restore", "latest", "--to", to.to_str().unwrap()]).ok();
    assert_eq!(listing(&to.join("files/uploads")), listing(&host.live()));
    run(&["verify", "--all", "--level", "deep"]).ok();
    run(&["delete", name(&next), "--yes"]).ok();
    let left = Command::new("find").arg(&far).args(["-type", "f"]).output().unwrap();
    let left = String::from_utf8(left.stdout).unwrap();
    assert!(left.contains(name(&full)) && !left.contains(name(&next)), "{left}");

    // A signal may come at any moment of a question and of an operation.
    for arguments in [vec!["list"], vec!["verify", "--all"]] {
        for milliseconds in [100, 250, 400] {
            let mut silent = command(&arguments);
            let mut child = silent.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(milliseconds));
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            let code = child.wait().unwrap().code();
            // Before it listens to signals, it dies of this one.
            assert!([None, Some(0), Some(130)].contains(&code), "{arguments:?}: {code:?}");
            no_connection_is_left(&sockets);
        }
    }

    // As a copy, which is not reached and catches up.
    let copy = store.replace("/shop\"", "/copy\"");
    fs::remove_dir_all(host.state()).unwrap();
    host.configure_repository(&format!(
        "path = {:?}\n[[repository.copies]]\nname = \"nas\"\n{copy}",
        host.repository()
    ));
    run(&["backup"]).ok();
    drop(server);
    let ran = run(&["backup"]).ok();
    assert!(ran.stderr.contains("degraded: local-only: nas"), "{ran:?}");
    assert_eq!(fs::read_dir(far.join("copy/backups")).unwrap().count(), 1);
}

/// A connection that was told to end answers first, and then ends.
fn no_connection_is_left(sockets: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = ssh::naming(sockets);
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let left = fs::read_dir(sockets).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{}", sockets.display());
}
