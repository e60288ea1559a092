//! A repository behind SSH.

use super::*;
use crate::support::host::Ran;
use crate::support::need::{self, Need};
use crate::support::ssh::SshServer;

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
    let run = |arguments: &[&str]| {
        Ran::of(&host.command(arguments).env("PATH", &path).output().unwrap())
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
    assert!(!there.exists());

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
