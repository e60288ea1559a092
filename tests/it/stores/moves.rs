//! Repositories that move from and to stores.

use super::*;
use crate::support::host::Ran;
use crate::support::store::KEY_ID;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A run that knows of the server what the environment says.
fn command(host: &Host, server: &S3Server, arguments: &[&str]) -> Command {
    let mut command = host.command(arguments);
    command
        .env("AWS_ENDPOINT_URL", server.endpoint())
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    command
}

fn run(host: &Host, server: &S3Server, arguments: &[&str]) -> Ran {
    Ran::of(&command(host, server, arguments).output().unwrap())
}

fn url(prefix: &str) -> String {
    format!("s3://bucket/{prefix}")
}

fn path(directory: &Path) -> String {
    format!("path = {directory:?}\n")
}

/// What is known of the published backups, newest first, but for where they lie.
fn known(host: &Host) -> Vec<Value> {
    let Value::Array(mut listed) = host.json(&["list"]) else { panic!("a list") };
    // Those that were refused are known as well.
    listed.retain(|record| record["status"] != "failed");
    for record in &mut listed {
        record.as_object_mut().unwrap().remove("path");
    }
    listed
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_repository_moves_to_a_store_to_another_one_and_back() {
    let (host, server) = (Host::with_database(), S3Server::start());
    let full = host.back_up();
    host.write("new.txt", "new");
    host.back_up();
    host.run(&["keep", name(&full), "--reason", "before the audit"]).ok();
    host.run(&["verify", name(&full)]).ok();
    let (before, tree) = (known(&host), listing(&host.live()));
    let moved_to = |place: &str| {
        let ran = host.run(&["list"]).failed(5, "repository_moved");
        assert!(ran.stderr.contains(place), "{ran:?}");
        host.run(&["backup"]).failed(5, "repository_moved");
    };
    let whole = |what: &str| {
        assert_eq!(known(&host), before, "{what}");
        assert_eq!(restored(&host), tree, "{what}");
        assert_eq!(host.json(&["repo", "check"]), Value::Array(Vec::new()), "{what}");
    };

    // From a directory.
    let first = url("first");
    let moved = run(&host, &server, &["repo", "move", &first, "--json"]).ok().json();
    assert_eq!((&moved["backups"], moved["to"].as_str()), (&2.into(), Some(first.as_str())));
    assert!(moved["copied_bytes"].as_u64().unwrap() > 0);
    assert_eq!(entries(&host.repository()), ["backstop-moved.json", "lock"]);
    moved_to(&first);
    let again = run(&host, &server, &["repo", "move", &first, "--json"]).ok().json();
    assert_eq!(again["copied_bytes"], 0);
    run(&host, &server, &["repo", "move", &url("second")]).failed(2, "usage");
    host.configure_repository(&host.store(&server, "first"));
    whole("a store");

    // From one store to another, of the same bucket: spoken to as the config says of it.
    host.run(&["repo", "move", &url("first/below")]).failed(2, "usage");
    let ran = host.run(&["repo", "move", &url("second")]).ok();
    assert!(ran.stdout.contains("set repository.url = \"s3://bucket/second\""), "{ran:?}");
    assert_eq!(objects(&server, "first"), ["backstop-repository.json"]);
    moved_to(&url("second"));
    // Also one who never saw it.
    fs::rename(host.state(), host.path().join("state.kept")).unwrap();
    moved_to(&url("second"));
    fs::remove_dir_all(host.state()).unwrap();
    fs::rename(host.path().join("state.kept"), host.state()).unwrap();
    host.configure_repository(&host.store(&server, "second"));
    whole("another store");

    // Back to where it came from, and to a store where it was.
    let ran = host.run(&["repo", "move", host.repository().to_str().unwrap()]).ok();
    assert!(ran.stdout.contains("remove repository.url"), "{ran:?}");
    moved_to(host.repository().to_str().unwrap());
    host.configure_repository(&path(&host.repository()));
    whole("a directory");
    run(&host, &server, &["repo", "move", &first]).ok();
    host.configure_repository(&host.store(&server, "first"));
    whole("the first store again");
    host.run(&["verify", "--all", "--level", "deep"]).ok();
    host.write("later.txt", "later");
    assert_eq!(host.back_up()["kind"], "incremental");
    assert_eq!(restored(&host), listing(&host.live()));
}

#[test]
fn what_is_damaged_or_somebody_elses_keeps_a_repository_from_moving_to_a_store() {
    let (host, server) = (Host::with_files(), S3Server::start());
    let copy = format!(
        "{}[[repository.copies]]\nname = \"offsite\"\n{}",
        path(&host.repository()),
        host.store(&server, "copy")
    );
    host.configure_repository(&copy);
    let first = host.back_up();
    host.write("new.txt", "new");
    let second = host.json(&["backup", "--kind", "full"]);
    let ran = host.run(&["repo", "move", &url("copy")]).failed(2, "usage");
    assert!(ran.stderr.contains("offsite"), "{ran:?}");

    let archive = host.backup_dir(&first).join("files/uploads.tar.zst");
    let mut bytes = fs::read(&archive).unwrap();
    bytes[10] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let ran = host.run(&["repo", "move", &url("moved")]).failed(6, "backup_damaged");
    assert!(ran.stderr.contains(name(&first)), "{ran:?}");
    assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 2);
    let sent = format!("backups/{}/manifest.json", name(&second));
    let left = objects(&server, "moved");
    assert!(left.contains(&sent), "the sound one has gone ahead");
    let is_rest = |it: &&String| it.starts_with("leases/") || it.contains(name(&first));
    assert_eq!(left.iter().filter(is_rest).count(), 0, "{left:?}");
    assert_eq!(host.json(&["show", name(&first)])["last_verification"]["ok"], false);

    // Who comes too early is told so, and who comes from elsewhere.
    let early = Host::with_files();
    early.configure_repository(&early.store(&server, "moved"));
    early.run(&["list"]).failed(5, "repository_moved");
    early.configure("");
    early.back_up();
    run(&early, &server, &["repo", "move", &url("moved")]).failed(2, "usage");
    run(&early, &server, &["repo", "move", &url("copy")]).failed(2, "usage");

    host.run(&["delete", name(&first), "--yes"]).ok();
    host.run(&["repo", "move", &url("moved")]).ok();
    host.configure_repository(&host.store(&server, "moved"));
    assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 1);
    assert_eq!(restored(&host), listing(&host.live()));
    // Nothing is left of what did not come along, and nobody has to wait for it.
    host.run(&["verify", "--all"]).ok();
    host.run(&["repo", "move", host.repository().to_str().unwrap()]).ok();
}

/// Waits until a request is refused; false where the program ended before.
fn is_refused(server: &S3Server, limit: usize, child: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(180);
    while server.requests() <= limit {
        assert!(Instant::now() < deadline);
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Three backups, one of which needs another one, in a directory or on the store.
fn chain(server: &S3Server, on_store: bool) -> (Host, String) {
    let host = Host::with_files();
    if on_store {
        host.configure_repository(&host.store(server, "here"));
    }
    for (number, kind) in ["full", "incremental", "full"].into_iter().enumerate() {
        host.write(&format!("{number}.txt"), &format!("{number} ").repeat(300));
        host.json(&["backup", "--kind", kind]);
    }
    let tree = listing(&host.live());
    (host, tree)
}

fn destination(host: &Host, on_store: bool) -> String {
    match on_store {
        true => url("there"),
        false => host.path().join("there").display().to_string(),
    }
}

/// How many requests a whole move makes.
fn needed(from_store: bool, to_store: bool) -> usize {
    let server = S3Server::start();
    let (host, _) = chain(&server, from_store);
    let before = server.requests();
    run(&host, &server, &["repo", "move", &destination(&host, to_store)]).ok();
    server.requests() - before
}

/// Kills a move at a request of its own, `share` of the way. Nothing may be lost by it, and the
/// same command must finish the work.
fn dies(from_store: bool, to_store: bool, needed: usize, share: f64) {
    let what = format!("from store: {from_store}, to store: {to_store}, {share} of {needed}");
    let server = S3Server::start();
    let (host, tree) = chain(&server, from_store);
    let config = fs::read_to_string(host.config()).unwrap();
    let to = destination(&host, to_store);
    let arguments = ["repo", "move", &to];
    let answered = 1 + ((needed - 2) as f64 * share) as usize;
    let limit = server.requests() + answered;
    server.answer_only(answered);
    let mut child = command(&host, &server, &arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let refused = is_refused(&server, limit, &mut child);
    let _ = child.kill();
    child.wait().unwrap();
    assert!(refused || share > 0.9, "{what}: {answered} of {needed}");
    server.answer_only(usize::MAX);

    let follow = || match to_store {
        true => host.configure_repository(&host.store(&server, "there")),
        false => host.configure_repository(&path(&host.path().join("there"))),
    };
    let sound = || {
        assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 3, "{what}");
        host.run(&["verify", "--all"]).ok();
        assert_eq!(restored(&host), tree, "{what}");
    };
    let ran = run(&host, &server, &["list"]);
    if ran.code == 0 {
        sound();
    } else {
        ran.failed(5, "repository_moved");
        follow();
        // Between the two marks neither place lets anybody in before the move goes on.
        let ran = host.run(&["list"]);
        if ran.code == 0 {
            sound();
        } else {
            ran.failed(5, "repository_moved");
        }
    }
    fs::write(host.config(), &config).unwrap();
    run(&host, &server, &arguments).ok();
    run(&host, &server, &["list"]).failed(5, "repository_moved");
    follow();
    sound();
    assert_eq!(host.json(&["repo", "check"]), Value::Array(Vec::new()), "{what}");
    match from_store {
        true => {
            let mut left = objects(&server, "here");
            // Those of the dead are cleared away once they are stale.
            left.retain(|name| !name.starts_with("leases/"));
            assert_eq!(left, ["backstop-repository.json"], "{what}");
        }
        false => assert_eq!(entries(&host.repository()), ["backstop-moved.json", "lock"]),
    }
    host.back_up();
}

#[test]
fn wherever_a_move_from_or_to_a_store_dies_nothing_is_lost_and_it_goes_on() {
    // Clearing a store takes its time, in which another one can be tried.
    std::thread::scope(|scope| {
        for (from_store, to_store) in [(false, true), (true, false), (true, true)] {
            scope.spawn(move || {
                let needed = needed(from_store, to_store);
                std::thread::scope(|scope| {
                    for share in [0.0, 0.3, 0.55, 0.7, 0.8, 0.9, 0.97] {
                        scope.spawn(move || dies(from_store, to_store, needed, share));
                    }
                });
            });
        }
    });
}
