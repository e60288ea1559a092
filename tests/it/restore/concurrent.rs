//! Two restores to the same place at the same time: one wins, and keeps what it made.

use crate::support::cluster::Cluster;
use crate::support::host::{Host, Ran, listing};
use std::fs;
use std::process::{Child, Stdio};

const RUNS: usize = 4;

fn all_at_once(host: &Host, arguments: &[&str]) -> Vec<Ran> {
    let start = |_| -> Child {
        let mut command = host.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..RUNS).map(start).collect();
    children.into_iter().map(|child| Ran::of(&child.wait_with_output().unwrap())).collect()
}

#[track_caller]
fn assert_one_wins(ran: Vec<Ran>) {
    let (won, lost): (Vec<Ran>, Vec<Ran>) = ran.into_iter().partition(|ran| ran.code == 0);
    assert_eq!(won.len(), 1, "{lost:?}");
    for ran in lost {
        ran.failed(1, "restore_failed");
    }
}

#[test]
fn of_several_restores_to_one_place_exactly_one_wins() {
    let host = Host::with_database();
    host.back_up();
    let original = listing(&host.live());
    for round in 0..3 {
        let to = host.path().join(format!("to-{round}"));
        assert_one_wins(all_at_once(&host, &["restore", "latest", "--to", to.to_str().unwrap()]));
        assert_eq!(listing(&to.join("files/uploads")), original);
        assert_eq!(fs::read_dir(to.join("files")).unwrap().count(), 1, "nothing else is left");

        let new = format!("{}_copy", host.database().name());
        let renaming = format!("shop={new}");
        assert_one_wins(all_at_once(&host, &["restore", "latest", "--database", &renaming]));
        let cluster = Cluster::shared();
        assert_eq!(cluster.psql(&new, "SELECT count(*) FROM item"), "1000");
        cluster.psql("postgres", &format!("DROP DATABASE {new}"));
        let own = host.database().name().to_owned() + "_";
        let left = format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{own}')");
        assert_eq!(cluster.psql("postgres", &left), "");
    }
    assert_eq!(host.json(&["rollback", "--list"]), serde_json::json!([]));
}

#[test]
fn what_a_killed_restore_has_built_elsewhere_is_removed() {
    let host = Host::with_database();
    host.database()
        .sql("CREATE TABLE big AS SELECT md5(i::text) FROM generate_series(1, 200000) i");
    host.back_up();
    let (to, new) = (host.path().join("look"), format!("{}_look", host.database().name()));
    let renaming = format!("shop={new}");
    let arguments = ["restore", "latest", "--to", to.to_str().unwrap(), "--database", &renaming];
    let mut child = host.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
    while fs::read_dir(to.join("files")).map_or(0, Iterator::count) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it was too fast");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    host.run(&["recover", "--lock-wait", "60s"]).ok();
    assert_eq!(fs::read_dir(to.join("files")).unwrap().count(), 0);
    let own = host.database().name().to_owned() + "_";
    let left = format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{own}')");
    assert_eq!(Cluster::shared().psql("postgres", &left), "");
    host.run(&arguments).ok();
    Cluster::shared().psql("postgres", &format!("DROP DATABASE {new}"));
}

#[test]
fn a_directory_inside_of_what_must_not_be_touched_is_refused() {
    let host = Host::with_files();
    host.back_up();
    let before = host.live_state();
    std::os::unix::fs::symlink(host.live(), host.path().join("link")).unwrap();
    let inside = [
        host.live(),
        host.live().join("below/new"),
        host.path().join("link/elsewhere"),
        host.repository().join("look"),
    ];
    for to in inside {
        let ran = host.run(&["restore", "latest", "--to", to.to_str().unwrap()]);
        assert!(ran.failed(1, "restore_failed").stderr.contains("inside of"), "{}", to.display());
    }
    assert_eq!(host.live_state(), before);
}
