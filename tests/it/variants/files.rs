//! Files that cannot be read, and files that change while they are.

use super::*;
use crate::support::cluster::{Cluster, PASSWORD, SUPERUSER, encode};
use crate::support::need::{self, Need};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn an_unreadable_file_is_named_and_makes_the_backup_degraded() {
    if !need::all(&[Need::Root]) {
        return;
    }
    let site = Site::new("", "[[files]]\nname = \"uploads\"\npath = \"live\"\n").unprivileged();
    let live = site.path().join("live");
    fs::create_dir_all(live.join("closed")).unwrap();
    for name in ["open", "secret", "closed/inside"] {
        fs::write(live.join(name), name).unwrap();
    }
    for name in ["secret", "closed"] {
        fs::set_permissions(live.join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let ran = site.run(&["backup", "--json"]).ended(3);
    let record = ran.json();
    assert_eq!(record["status"], "completed");
    let manifest = site.manifest(&record);
    let unreadable = &component(&manifest, "uploads")["unreadable"];
    let named: Vec<&str> = unreadable.as_array().unwrap().iter().flat_map(Value::as_str).collect();
    assert_eq!(named, ["closed", "secret"]);
    assert!(ran.stderr.contains("secret") && ran.stderr.contains("closed"), "{}", ran.stderr);
    let listed = site.run(&["list"]).ok().stdout;
    assert!(listed.contains("files (partial: not all of uploads)"), "{listed}");
    let plan = site.run(&["restore", "latest", "--dry-run", "--json"]).ok().json();
    assert_eq!(plan["replaces"][0]["left_out"], serde_json::json!(["closed", "secret"]), "{plan}");
    let to = site.path().join("to");
    site.run(&["restore", "latest", "--to", to.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(to.join("files/uploads/open")).unwrap(), "open");
}

#[test]
fn a_file_that_changes_under_the_reader_is_recorded() {
    let cluster = Cluster::shared();
    let database = cluster.database("changes");
    let url =
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{}", cluster.port(), encode(database.name()));
    let site = Site::new(
        PASSWORD,
        &format!(
            "[[databases]]\nname = \"shop\"\nurl = \"{url}\"\n\
             password_env = \"SHOP_DB_PASSWORD\"\n\
             [[files]]\nname = \"uploads\"\npath = \"live\"\ncapture = \"archive\"\n"
        ),
    );
    let live = site.path().join("live");
    fs::create_dir(&live).unwrap();
    fs::write(live.join("still"), "still").unwrap();
    let growing = live.join("growing");
    fs::write(&growing, vec![1; 40 << 20]).unwrap();
    let done = AtomicBool::new(false);
    let record = thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(&growing).unwrap();
            while !done.load(Ordering::SeqCst) {
                file.write_all(b"more").unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        });
        let ran = site.run(&["backup", "--json"]);
        done.store(true, Ordering::SeqCst);
        ran.ok().json()
    });
    let consistency = &record["consistency"];
    assert_eq!(level(&record), "snapshot", "{consistency}");
    let changed = consistency["files_changed_during_capture"].as_array().unwrap();
    assert_eq!(changed, &["uploads/growing"]);
    site.run(&["verify", "latest"]).ok();
    site.run(&["backup", "--require-consistency", "fenced"]).ended(3);
}
