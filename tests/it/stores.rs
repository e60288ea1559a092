//! Repositories on object stores, and copies of repositories there.

mod mending;
mod moves;
mod sftp;

use crate::support::cluster::bin_dir;
use crate::support::host::{Host, listing};
use crate::support::store::{S3Server, SECRET, WebdavServer};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a directory and a store are given as copies of a repository in a directory.
fn copies(host: &Host, server: &S3Server) -> String {
    format!(
        "path = {:?}\n[[repository.copies]]\nname = \"disk\"\npath = {:?}\n\
         [[repository.copies]]\nname = \"offsite\"\n{}",
        host.repository(),
        disk(host),
        host.store(server, "copy")
    )
}

fn disk(host: &Host) -> PathBuf {
    host.path().join("disk")
}

/// All objects below a prefix of the server's bucket, by name.
fn objects(server: &S3Server, prefix: &str) -> Vec<String> {
    let dir = server.objects().join(prefix);
    let found = Command::new("find").arg(&dir).args(["-type", "f"]).output().unwrap();
    let text = String::from_utf8(found.stdout).unwrap();
    let mut names: Vec<String> = text
        .lines()
        .map(|path| Path::new(path).strip_prefix(&dir).unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn restored(host: &Host) -> String {
    let to = host.path().join("restored");
    let _ = fs::remove_dir_all(&to);
    host.run(&["restore", "latest", "--only", "files", "--to", to.to_str().unwrap()]).ok();
    listing(&to.join("files/uploads"))
}

fn name(record: &Value) -> &str {
    record["name"].as_str().unwrap()
}

#[test]
fn a_store_may_be_the_only_home_of_a_repository() {
    let (host, server) = (Host::with_database(), S3Server::start());
    host.configure_repository(&host.store(&server, "only home"));
    let doctor = host.run(&["config", "show"]).ok();
    assert!(!doctor.stdout.contains(SECRET), "{}", doctor.stdout);
    let full = host.back_up();
    host.write("new.txt", "new");
    let next = host.back_up();
    assert_eq!((&full["kind"], &next["kind"]), (&"full".into(), &"incremental".into()));
    assert!(!host.repository().exists());
    assert_eq!(fs::read_dir(host.state().join("staging")).unwrap().count(), 0);
    let there = objects(&server, "only home");
    assert!(!there.iter().any(|object| object.starts_with("leases/")), "{there:?}");
    let header = server.objects().join("only home/backstop-repository.json");
    let header: Value = serde_json::from_slice(&fs::read(header).unwrap()).unwrap();
    assert_eq!(header["store"]["conditional_writes"], "honoured");

    assert_eq!(restored(&host), listing(&host.live()));
    assert_eq!(host.run(&["cat", "latest", "uploads/new.txt"]).ok().stdout, "new");
    host.run(&["verify", "latest"]).ok();
    assert_eq!(host.json(&["repo", "check"]), Value::Array(Vec::new()));
    host.run(&["keep", name(&full)]).ok();
    host.run(&["unkeep", name(&full)]).ok();
    host.run(&["delete", name(&full), "--yes"]).failed(1, "backup_needed");

    // A host that never saw it reads it all the same.
    fs::remove_dir_all(host.state()).unwrap();
    assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 2);
    let ran = host.run(&["delete", name(&next), "--yes", "--json"]).ok();
    assert!(ran.stderr.contains("waiting 20 s"), "{ran:?}");
    assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 1);
    let left = objects(&server, "only home");
    assert!(!left.iter().any(|object| object.contains(name(&next))), "{left:?}");
    host.write("another.txt", "another");
    host.back_up();
    assert_eq!(restored(&host), listing(&host.live()));
}

#[test]
fn copies_have_what_the_repository_has_and_stand_for_themselves() {
    let (host, server) = (Host::with_database(), S3Server::start());
    host.configure_repository(&copies(&host, &server));
    host.back_up();
    host.write("new.txt", "new");
    let next = host.back_up();
    for copy in [disk(&host), server.objects().join("copy")] {
        let sums = copy.join("backups").join(name(&next));
        let checked = Command::new("sha256sum")
            .args(["--check", "--quiet", "SHA256SUMS"])
            .current_dir(&sums)
            .status()
            .unwrap();
        assert!(checked.success(), "{}", sums.display());
        assert_eq!(fs::read_dir(copy.join("backups")).unwrap().count(), 2);
    }
    let listed = host.json(&["list"]);
    for record in listed.as_array().unwrap() {
        assert_eq!(record["copies"], serde_json::json!(["disk", "offsite"]));
    }
    assert!(host.run(&["list"]).ok().stdout.contains("2 of 2"));
    assert!(host.run(&["show"]).ok().stdout.contains("copies       disk, offsite"));
    let doctor = host.json(&["doctor"]);
    let copies = doctor.as_array().unwrap().iter().filter(|finding| {
        let (subject, detail) = (&finding["subject"], finding["detail"].as_str().unwrap());
        subject.as_str().unwrap().starts_with("copy ") && detail.ends_with(": 2 backups")
    });
    assert_eq!(copies.count(), 2, "{doctor}");
    let synced = host.json(&["sync"]);
    for one in synced.as_array().unwrap() {
        assert_eq!((&one["complete"], &one["sent_bytes"]), (&true.into(), &0.into()), "{one}");
    }
    host.run(&["sync", "nowhere"]).failed(2, "usage");
    let ran = host.run(&["--copy", "disk", "sync"]).failed(2, "usage");
    assert!(ran.stderr.contains("leave --copy"), "{ran:?}");

    // The repository is lost; each copy takes its place.
    fs::remove_dir_all(host.repository()).unwrap();
    let live = listing(&host.live());
    for copy in [format!("path = {:?}", disk(&host)), host.store(&server, "copy")] {
        fs::remove_dir_all(host.state()).unwrap();
        host.configure_repository(&copy);
        assert_eq!(restored(&host), live);
        host.run(&["verify", "--all"]).ok();
    }
}

#[test]
fn a_copy_out_of_reach_is_a_warning_and_the_next_sync_catches_up() {
    let (host, server) = (Host::with_files(), S3Server::start());
    host.configure_repository(&copies(&host, &server));
    server.answer_only(0);
    let ran = host.run(&["backup"]).ok();
    assert!(ran.stderr.contains("degraded: not everywhere: offsite"), "{}", ran.stderr);
    assert!(!ran.stderr.contains(SECRET), "{}", ran.stderr);
    let ran = host.run(&["backup", "--strict"]).ended(3);
    assert!(ran.stderr.contains("error[degraded]"), "{}", ran.stderr);
    let before = server.requests();
    assert!(!host.run(&["backup", "--local-only"]).ok().stderr.contains("degraded"));
    let mut alone = host.command(&["backup"]);
    assert!(alone.env("BACKUP_LOCAL_ONLY", "true").output().unwrap().status.success());
    assert_eq!(server.requests(), before);
    host.run(&["sync", "offsite"]).failed(1, "storage_unreachable");
    let doctor = host.run(&["doctor"]).ended(3).stdout;
    assert!(doctor.contains("FAIL  copy offsite"), "{doctor}");
    assert!(doctor.contains("2 backups wait for `backstop sync`"), "{doctor}");
    let shown = host.run(&["show"]).ok().stdout;
    assert!(shown.contains("not in       disk, offsite; `backstop sync` sends it"), "{shown}");
    assert_eq!(fs::read_dir(disk(&host).join("backups")).unwrap().count(), 2);
    server.answer_only(usize::MAX);
    let synced = host.json(&["sync"]);
    let sent = |copy: usize| synced[copy]["sent"].as_array().unwrap().len();
    assert_eq!((sent(0), sent(1)), (2, 4), "{synced}");
    let there = objects(&server, "copy");
    assert_eq!(there.iter().filter(|object| object.ends_with("/manifest.json")).count(), 4);
}

#[test]
fn an_interrupted_sync_goes_on_where_it_stopped() {
    let (host, server) = (Host::with_database(), S3Server::start());
    let trial = format!(
        "path = {:?}\n[[repository.copies]]\nname = \"trial\"\n{}",
        host.repository(),
        host.store(&server, "trial")
    );
    host.configure_repository(&trial);
    host.run(&["backup", "--local-only"]).ok();
    let before = server.requests();
    host.run(&["sync"]).ok();
    let all = server.requests() - before;
    host.configure_repository(&copies(&host, &server));
    // Enough for the repository to be created and some objects to arrive.
    server.answer_only(all * 3 / 4);
    host.run(&["sync", "offsite"]).failed(1, "storage_unreachable");
    let arrived = objects(&server, "copy");
    let arrived: Vec<_> = arrived.iter().filter(|it| it.starts_with("backups/")).collect();
    assert!(!arrived.is_empty() && !arrived.iter().any(|it| it.ends_with("manifest.json")));
    server.answer_only(usize::MAX);
    let synced = host.json(&["sync", "offsite"]);
    let kept = fs::read_dir(server.directory()).unwrap().flatten();
    let parts = kept.filter(|it| it.file_name().to_string_lossy().contains("upload_id"));
    assert_eq!(parts.count(), 0, "parts of uploads that never ended");
    let repository = host.repository().join("backups");
    let backup = fs::read_dir(repository).unwrap().next().unwrap().unwrap().path();
    let manifest = fs::read(backup.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let sizes = manifest["objects"].as_array().unwrap().iter();
    let whole: u64 = sizes.map(|object| object["size"].as_u64().unwrap()).sum();
    let again = synced[0]["sent_bytes"].as_u64().unwrap();
    assert!(synced[0]["complete"] == true && again < whole, "{synced} of {whole}");
    let left = objects(&server, "copy");
    assert!(!left.iter().any(|object| object.starts_with("leases/")), "{left:?}");
}

#[test]
fn a_copy_on_webdav_is_whole_and_can_be_restored_from() {
    let (host, server) = (Host::with_files(), WebdavServer::start());
    host.write("big.bin", &"not much to compress? ".repeat(1 << 20));
    let url = format!("url = \"webdav://{}/backups of/shop\"\n", server.authority());
    let path = format!("path = {:?}\n", host.repository());
    host.configure_repository(&format!("{path}[[repository.copies]]\nname = \"dav\"\n{url}"));
    let record = host.back_up();
    let there = server.objects().join("backups of/shop/backups").join(name(&record));
    assert!(there.join("manifest.json").is_file());
    assert_eq!(host.json(&["sync"])[0]["complete"], true);
    fs::remove_dir_all(host.repository()).unwrap();
    fs::remove_dir_all(host.state()).unwrap();
    host.configure_repository(&url);
    assert_eq!(restored(&host), listing(&host.live()));
}

#[test]
fn damage_is_not_passed_on_to_copies() {
    let (host, server) = (Host::with_files(), S3Server::start());
    host.configure_repository(&copies(&host, &server));
    let damaged: Value = host.run(&["backup", "--local-only", "--json"]).ok().json();
    let sound: Value =
        host.run(&["backup", "--local-only", "--kind", "full", "--json"]).ok().json();
    let archive = host.backup_dir(&damaged).join("files/uploads.tar.zst");
    let mut bytes = fs::read(&archive).unwrap();
    bytes[20] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let ran = host.run(&["sync"]).failed(6, "backup_damaged");
    assert!(ran.stderr.contains("--salvage"), "{ran:?}");
    for copy in [disk(&host), server.objects().join("copy")] {
        assert!(copy.join("backups").join(name(&sound)).join("manifest.json").is_file());
        assert!(!copy.join("backups").join(name(&damaged)).join("manifest.json").exists());
    }
    let left = objects(&server, "copy");
    let is_rest = |it: &&String| it.starts_with("leases/") || it.contains(name(&damaged));
    assert_eq!(left.iter().filter(is_rest).count(), 0, "{left:?}");
    assert_eq!(fs::read_dir(disk(&host).join("incoming")).unwrap().count(), 0);
}

#[test]
fn what_a_sync_finds_damaged_is_known_from_then_on_and_not_built_upon() {
    let host = Host::with_files();
    host.configure_repository(&format!(
        "path = {:?}\n[[repository.copies]]\nname = \"disk\"\npath = {:?}\n",
        host.repository(),
        disk(&host)
    ));
    let damaged: Value = host.run(&["backup", "--local-only", "--json"]).ok().json();
    let archive = host.backup_dir(&damaged).join("files/uploads.tar.zst");
    let whole = fs::read(&archive).unwrap();
    let mut bytes = whole.clone();
    bytes[20] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let events = "SELECT event FROM events WHERE event = 'backup_verified'";
    // What is known already is not recorded again.
    for _ in 0..2 {
        host.run(&["sync"]).failed(6, "backup_damaged");
        let last = host.json(&["show", name(&damaged)])["last_verification"].clone();
        assert_eq!(last["ok"], false, "{last}");
        assert_eq!(last["damages"][0]["object"], "files/uploads.tar.zst", "{last}");
        assert_eq!(host.json(&["sql", events]).as_array().unwrap().len(), 1);
    }
    // Nor does a look at sizes make it forgotten, or the loss of the catalog.
    host.run(&["verify", "--level", "quick"]).ok();
    fs::remove_file(host.state().join("catalog.duckdb")).unwrap();
    let ran = host.run(&["backup", "--strict", "--json"]).ended(3);
    let next = ran.json();
    assert_eq!((&next["kind"], &next["parent"]), (&"full".into(), &Value::Null), "{ran:?}");
    assert!(!ran.stderr.contains("catches up"), "{ran:?}");
    let there = disk(&host).join("backups");
    assert!(there.join(name(&next)).is_dir() && !there.join(name(&damaged)).exists());

    // Mended, it is sent, and is sound once it was read.
    fs::write(&archive, whole).unwrap();
    host.run(&["sync"]).ok();
    assert!(there.join(name(&damaged)).is_dir());
    host.run(&["verify", name(&damaged)]).ok();
    assert_eq!(host.json(&["show", name(&damaged)])["status"], "verified");
}

#[test]
fn a_copy_that_is_gone_is_begun_anew_without_forgetting_the_repository() {
    let host = Host::with_files();
    host.configure_repository(&format!(
        "path = {:?}\n[[repository.copies]]\nname = \"disk\"\npath = {:?}\n",
        host.repository(),
        disk(&host)
    ));
    let record = host.back_up();
    fs::remove_dir_all(disk(&host)).unwrap();
    fs::create_dir(disk(&host)).unwrap();
    for arguments in [&["sync"][..], &["--copy", "disk", "list"]] {
        let ran = host.run(arguments).failed(5, "repository_not_found");
        assert!(ran.stderr.contains("take the entry"), "{ran:?}");
        assert!(!ran.stderr.contains("catalog.duckdb"), "{ran:?}");
    }
    let file = host.state().join("repositories.json");
    let mut known: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let ours = host.repository().to_str().unwrap().to_owned();
    known.as_object_mut().unwrap().retain(|place, _| *place == ours);
    assert_eq!(known.as_object().unwrap().len(), 1, "{known}");
    fs::write(&file, known.to_string()).unwrap();
    host.run(&["sync"]).ok();
    assert!(disk(&host).join("backups").join(name(&record)).is_dir());
}

#[test]
fn what_is_not_published_on_a_store_is_no_damage() {
    let (host, server) = (Host::with_files(), S3Server::start());
    host.configure_repository(&host.store(&server, "shared"));
    let record = host.back_up();
    // As while another host writes.
    let other = server.objects().join("shared/backups/backup_full_manual_being_written_0000");
    fs::create_dir_all(other.join("files")).unwrap();
    fs::write(other.join("files/uploads.tar.zst"), "so far").unwrap();
    let ran = host.run(&["verify", "--all", "--json"]).ok();
    assert!(ran.stderr.contains("being_written") && ran.stderr.contains("repo check"), "{ran:?}");
    assert!(!ran.stdout.contains("being_written"), "{ran:?}");
    // What was published, and lost its manifest, is damaged.
    let there = server.objects().join("shared/backups").join(name(&record));
    fs::remove_file(there.join("manifest.json")).unwrap();
    host.run(&["verify", "--all"]).ended(6);
}

#[test]
fn a_backup_that_fails_on_its_way_leaves_nothing_on_its_store() {
    let (host, server) = (Host::with_database(), S3Server::start());
    host.configure_repository(&host.store(&server, "failing"));
    let programs = host.path().join("bin");
    fs::create_dir(&programs).unwrap();
    let real = bin_dir();
    for name in ["pg_dumpall", "pg_restore"] {
        std::os::unix::fs::symlink(real.join(name), programs.join(name)).unwrap();
    }
    // It tells its version and nothing else.
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {}/pg_dump --version\nexit 1\n",
        real.display()
    );
    fs::write(programs.join("pg_dump"), script).unwrap();
    crate::support::make_executable(&programs.join("pg_dump"));
    let mut failing = host.command(&["backup"]);
    let ran = failing.env("BACKSTOP_DATABASES__SHOP__BIN_DIR", &programs).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("error[database_failed]") && !said.contains("panicked"), "{said}");
    assert_eq!(objects(&server, "failing"), ["backstop-repository.json"]);
}
