//! The repository as a whole: `backstop repo`.

use crate::support::host::{Host, listing};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

/// The tree of a backup, restored elsewhere.
fn restored(host: &Host, wanted: &str) -> String {
    let to = host.path().join("restored");
    let _ = fs::remove_dir_all(&to);
    host.run(&["restore", wanted, "--to", to.to_str().unwrap()]).ok();
    listing(&to.join("files/uploads"))
}

/// The kinds of irregularities, with the exit code that must come with them.
fn irregular(host: &Host, code: i32) -> Vec<(String, String)> {
    let found = host.run(&["repo", "check", "--json"]).ended(code).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found.as_array().unwrap().iter().map(|one| (text(&one["kind"]), text(&one["path"]))).collect()
}

#[test]
fn check_names_everything_that_is_not_as_it_should_be() {
    let host = Host::with_files();
    let full = host.back_up();
    let incremental = host.back_up();
    assert_eq!(irregular(&host, 0), []);
    let repository = host.repository();
    let dir = host.backup_dir(&full);
    let name = |path: &Path| path.strip_prefix(&repository).unwrap().to_str().unwrap().to_owned();

    let untidy = [
        ("stray", repository.join("notes.txt")),
        ("leftover", repository.join("incoming/0000")),
        ("leftover", repository.join("trash/1111")),
        ("stray", repository.join("backups/lost+found")),
        ("stray", dir.join("files/extra")),
    ];
    for (kind, path) in &untidy {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(irregular(&host, 0), [((*kind).into(), name(path))]);
        fs::remove_file(path).unwrap();
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(irregular(&host, 0), [("wrong_mode".into(), name(&dir))]);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();

    let archive = dir.join("files/uploads.tar.zst");
    fs::rename(&archive, host.path().join("kept")).unwrap();
    let kinds: Vec<String> = irregular(&host, 6).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds.contains(&"damaged".into()) && kinds.contains(&"dangling".into()), "{kinds:?}");
    fs::rename(host.path().join("kept"), &archive).unwrap();

    let manifest = dir.join("manifest.json");
    let text = fs::read(&manifest).unwrap();
    fs::write(&manifest, "{").unwrap();
    assert!(irregular(&host, 6).contains(&("unreadable".into(), name(&dir))));
    fs::remove_file(&manifest).unwrap();
    assert!(irregular(&host, 6).contains(&("no_manifest".into(), name(&dir))));
    fs::copy(host.backup_dir(&incremental).join("manifest.json"), &manifest).unwrap();
    assert!(irregular(&host, 6).contains(&("unreadable".into(), name(&dir))));
    fs::write(&manifest, &text).unwrap();
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o600)).unwrap();

    // A copy of a backup under another name, with a manifest that says so.
    let copy = repository.join("backups/copy");
    assert!(Command::new("cp").arg("-a").arg(&dir).arg(&copy).status().unwrap().success());
    let changed = String::from_utf8(text).unwrap().replace(full["name"].as_str().unwrap(), "copy");
    fs::write(copy.join("manifest.json"), changed).unwrap();
    crate::support::host::sign(&copy);
    fs::set_permissions(copy.join("SHA256SUMS"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(irregular(&host, 6), [("duplicate".into(), "backups/copy".into())]);
    fs::remove_dir_all(copy).unwrap();
    assert_eq!(irregular(&host, 0), []);
}

#[test]
fn check_says_that_it_read_no_content_and_what_is_known_of_it() {
    let host = Host::with_files();
    let record = host.back_up();
    let said = host.run(&["repo", "check"]).ok().stdout;
    assert!(said.contains("No content was read") && !said.contains("damaged"), "{said}");
    let archive = host.backup_dir(&record).join("files/uploads.tar.zst");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    host.run(&["verify"]).ended(6);
    let said = host.run(&["repo", "check"]).ok().stdout;
    assert!(said.contains("1 backup is known to be damaged"), "{said}");
}

#[test]
fn a_rebuilt_catalog_knows_what_repository_and_journal_know() {
    let host = Host::with_files();
    let full = host.back_up();
    host.back_up();
    host.run(&["verify", id(&full)]).ok();
    fs::rename(host.live(), host.path().join("away")).unwrap();
    host.run(&["backup"]).ended(1);
    fs::rename(host.path().join("away"), host.live()).unwrap();
    let before = host.json(&["list"]);
    assert_eq!(before.as_array().unwrap().len(), 3);

    let rebuilt = host.json(&["repo", "rebuild-catalog"]);
    assert_eq!((&rebuilt["published"], &rebuilt["failed"]), (&2.into(), &1.into()), "{rebuilt}");
    assert!(Path::new(rebuilt["aside"].as_str().unwrap()).is_file());
    assert_eq!(host.json(&["list"]), before);
    // What cannot be read is named, and all else is there.
    fs::write(host.backup_dir(&full).join("manifest.json"), "").unwrap();
    let ran = host.run(&["repo", "rebuild-catalog", "--json"]).ended(3);
    assert_eq!(ran.json()["published"], 1);
    assert!(ran.json()["unreadable"].to_string().contains("manifest.json"), "{ran:?}");
}

#[test]
fn a_lost_header_is_missed_and_written_again_by_hand() {
    let host = Host::with_files();
    let record = host.back_up();
    fs::remove_dir_all(host.state()).unwrap();
    let header = host.repository().join("backstop-repository.json");
    let was: Value = serde_json::from_str(&fs::read_to_string(&header).unwrap()).unwrap();
    for damage in [None, Some("{\"for")] {
        match damage {
            None => fs::remove_file(&header).unwrap(),
            Some(text) => fs::write(&header, text).unwrap(),
        }
        for command in [&["list"][..], &["backup"], &["restore", "latest", "--dry-run"]] {
            let ran = host.run(command).failed(1, "repository_format");
            assert!(ran.stderr.contains("repository-format.md"), "{ran:?}");
        }
    }
    let page = include_str!("../../docs/repository-format.md");
    let script = page.split("```sh\nid=").nth(1).unwrap().split("```").next().unwrap();
    let script = format!("set -e\nid={script}");
    let mut shell = Command::new("bash");
    assert!(shell.args(["-c", &script]).current_dir(host.repository()).status().unwrap().success());
    let now: Value = serde_json::from_str(&fs::read_to_string(&header).unwrap()).unwrap();
    assert_eq!((&now["id"], &now["format"]), (&was["id"], &was["format"]));
    // The attempts that failed are listed too.
    assert_eq!(host.json(&["list", "--status", "completed"])[0]["id"], record["id"]);
    host.back_up();
}

/// A chain of backups of a tree that changes, and the tree of its end.
fn chain(host: &Host) -> (Vec<Value>, String) {
    for number in 0..50 {
        host.write(&format!("many/{number:02}"), &format!("{number} ").repeat(2000));
    }
    let mut state = 88_172_645_463_325_252_u64;
    let noise = (0..3 << 20).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    fs::create_dir_all(host.live().join("big")).unwrap();
    fs::write(host.live().join("big/noise"), noise.collect::<Vec<u8>>()).unwrap();
    let mut records = vec![host.back_up()];
    host.write("many/07", "changed");
    fs::hard_link(host.live().join("many/08"), host.live().join("link")).unwrap();
    records.push(host.back_up());
    fs::rename(host.live().join("big"), host.live().join("moved")).unwrap();
    fs::remove_file(host.live().join("many/20")).unwrap();
    std::os::unix::fs::symlink("many/09", host.live().join("symlink")).unwrap();
    records.push(host.json(&["backup", "--label", "keep=yes"]));
    (records, listing(&host.live()))
}

#[test]
fn the_end_of_a_chain_becomes_a_full_backup() {
    let host = Host::with_database();
    let (records, tree) = chain(&host);
    let last = records.last().unwrap();
    let made = host.json(&["repo", "consolidate", "latest"]);
    let new = &made["backup"];
    assert_eq!((&new["kind"], &new["parent"]), (&"full".into(), &Value::Null));
    assert_eq!((&made["from"], &new["labels"]["consolidated-from"]), (&last["id"], &last["id"]));
    assert_eq!(new["labels"]["keep"], "yes");
    for field in ["consistency", "started_at", "sequence", "source_bytes", "file_count"] {
        assert_eq!(new[field], last[field], "{field}");
    }
    let (copied, compressed) =
        (made["copied_bytes"].as_u64().unwrap(), made["compressed_bytes"].as_u64().unwrap());
    assert!(copied > 0, "{copied} copied, {compressed} compressed");
    assert_eq!(host.json(&["repo", "check"]), Value::Array(Vec::new()));

    // It needs no other backup: those before it may go.
    for record in records.iter().rev() {
        host.run(&["delete", id(record), "--yes"]).ok();
    }
    host.run(&["verify", "--all", "--level", "deep"]).ok();
    assert_eq!(restored(&host, "latest"), tree);
    host.run(&["repo", "consolidate", "latest"]).failed(2, "usage");

    // By hand, and as something to build upon.
    let by_hand = host.path().join("by-hand");
    fs::create_dir(&by_hand).unwrap();
    let archive = host.backup_dir(new).join("files/uploads.tar.zst");
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "-xpf"]).arg(&archive).arg("-C").arg(&by_hand);
    assert!(tar.status().unwrap().success());
    assert_eq!(listing(&by_hand), tree);
    fs::remove_dir_all(&by_hand).unwrap();
    host.write("later", "later");
    let next = host.back_up();
    assert_eq!((&next["kind"], &next["parent"]), (&"incremental".into(), &new["id"]));
    assert_eq!(restored(&host, "latest"), listing(&host.live()));
    host.run(&["verify", "--level", "deep"]).ok();
}

#[test]
fn a_consolidated_backup_that_is_damaged_is_made_again() {
    let host = Host::with_files();
    host.back_up();
    host.write("new", "new");
    let last = host.back_up();
    // A label that anybody may have given says nothing.
    let label = format!("consolidated-from={}", id(&last));
    host.json(&["backup", "--label", &label]);
    let consolidate = || host.json(&["repo", "consolidate", id(&last)])["backup"].clone();
    let first = consolidate();
    assert_eq!(first["sequence"], last["sequence"]);
    assert_eq!(consolidate()["id"], first["id"], "made once");
    fs::write(host.backup_dir(&first).join("files/uploads.tar.zst"), "cut").unwrap();
    let second = consolidate();
    assert_ne!(second["id"], first["id"]);
    host.run(&["verify", id(&second), "--level", "deep"]).ok();
}

#[test]
fn what_is_damaged_is_not_put_together() {
    let host = Host::with_files();
    let full = host.back_up();
    host.write("new", "new");
    let last = host.back_up();
    let archive = host.backup_dir(&full).join("files/uploads.tar.zst");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    host.run(&["repo", "consolidate", id(&last)]).failed(6, "backup_damaged");
    assert_eq!(host.backups_and_incoming(), (2, 0));
}

#[test]
fn whenever_consolidation_dies_nothing_is_lost_and_it_can_be_run_again() {
    let host = Host::with_files();
    let (records, tree) = chain(&host);
    let last = id(records.last().unwrap());
    for milliseconds in [0, 30, 80, 150, 250, 400, 600, 900] {
        let mut child = host
            .command(&["repo", "consolidate", last])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = child.kill();
        let done = child.wait().unwrap().success();
        let listed = host.json(&["list"]);
        let count = listed.as_array().unwrap().len();
        assert!(count == 3 || count == 4, "{listed}");
        host.run(&["verify", "--all", "--level", "quick"]).ok();
        assert_eq!(restored(&host, last), tree);
        if done || count == 4 {
            break;
        }
    }
    if host.json(&["list"]).as_array().unwrap().len() == 3 {
        host.run(&["repo", "consolidate", last]).ok();
    }
    assert_eq!(restored(&host, "latest"), tree);
    assert_eq!(host.backups_and_incoming(), (4, 0));
    host.run(&["verify", "--all", "--level", "deep"]).ok();
}

/// The same host with another repository in its config.
fn point_to(host: &Host, repository: &Path) {
    let text = fs::read_to_string(host.config()).unwrap();
    let line = text.lines().find(|line| line.starts_with("path = ")).unwrap().to_owned();
    let changed = text.replacen(&line, &format!("path = {repository:?}"), 1);
    fs::write(host.config(), changed).unwrap();
}

/// Inode and link count of every file of the dumps below a repository.
fn dump_links(repository: &Path) -> usize {
    let found = Command::new("find")
        .arg(repository)
        .args(["-path", "*/databases/shop/*", "-links", "+1"])
        .output()
        .unwrap();
    String::from_utf8(found.stdout).unwrap().lines().count()
}

#[test]
fn a_moved_repository_is_whole_in_its_new_place_and_the_old_one_leads_there() {
    let host = Host::with_database();
    let (records, tree) = chain(&host);
    host.run(&["verify", id(&records[0])]).ok();
    // A damaged backup moves as it is.
    let roles = host.backup_dir(&records[1]).join("databases/globals.sql");
    fs::write(&roles, "damaged").unwrap();
    host.run(&["keep", id(&records[2])]).ok();
    let links = dump_links(&host.repository());
    assert!(links > 0);
    let other_disk = tempfile::Builder::new().prefix("backstop-move-").tempdir_in("/dev/shm");
    let other_disk = other_disk.unwrap();
    let mut old = host.repository();
    for (number, new) in
        [host.path().join("here/moved"), other_disk.path().join("moved")].into_iter().enumerate()
    {
        host.run(&["repo", "move", old.join("inside").to_str().unwrap()]).failed(2, "usage");
        host.run(&["repo", "move", host.live().to_str().unwrap()]).failed(2, "usage");
        let moved = host.json(&["repo", "move", new.to_str().unwrap()]);
        assert_eq!((&moved["backups"], moved["to"].as_str()), (&3.into(), new.to_str()));
        assert_eq!(moved["copied_bytes"] == 0, number == 0, "{moved}");
        let ran = host.run(&["list"]).failed(5, "repository_moved");
        assert!(
            ran.stderr.contains(&format!("set repository.path to {}", new.display())),
            "{ran:?}"
        );
        host.run(&["backup"]).failed(5, "repository_moved");
        let again = host.json(&["repo", "move", new.to_str().unwrap()]);
        assert_eq!(again["copied_bytes"], 0);
        let left: Vec<_> = fs::read_dir(&old).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert!(
            left.iter().all(|name| name == "backstop-moved.json" || name == "lock"),
            "{left:?}"
        );

        point_to(&host, &new);
        let listed = host.json(&["list"]);
        let published = listed.as_array().unwrap().iter().filter(|one| !one["path"].is_null());
        let published: Vec<&Value> = published.collect();
        assert_eq!(published.len(), 3);
        assert_eq!(published[2]["status"], "verified", "what is known of a backup stays known");
        assert!(published[0]["pin"].is_object(), "{}", published[0]);
        assert!(published[0]["path"].as_str().unwrap().starts_with(new.to_str().unwrap()));
        assert_eq!(dump_links(&new), links);
        assert_eq!(
            irregular(&host, 6),
            [("damaged".into(), {
                let name = records[1]["name"].as_str().unwrap();
                format!("backups/{name}/databases/globals.sql")
            })]
        );
        assert_eq!(restored(&host, "latest"), tree);
        old = new;
    }
    // It may come back to where it was.
    let first = host.repository();
    host.run(&["repo", "move", first.to_str().unwrap()]).ok();
    point_to(&host, &first);
    assert_eq!(restored(&host, "latest"), tree);
    host.write("later", "later");
    host.back_up();
    assert_eq!(restored(&host, "latest"), listing(&host.live()));
}

#[test]
fn the_target_of_a_move_that_was_given_up_for_another_one_is_no_repository() {
    let host = Host::with_files();
    host.back_up();
    let old = host.repository();
    let (given_up, new) = (host.path().join("given-up"), host.path().join("new"));
    // As a move leaves it that is cut off just before the other place counts.
    let copied = Command::new("cp").arg("-a").arg(&old).arg(&given_up).status().unwrap();
    assert!(copied.success());
    let header = fs::read_to_string(old.join("backstop-repository.json")).unwrap();
    let header: Value = serde_json::from_str(&header).unwrap();
    let moving = serde_json::json!({ "id": header["id"], "from": old });
    fs::write(given_up.join("backstop-moving.json"), moving.to_string()).unwrap();
    host.run(&["repo", "move", new.to_str().unwrap()]).ok();
    point_to(&host, &given_up);
    host.run(&["list"]).failed(5, "repository_moved");
    host.run(&["backup"]).failed(5, "repository_moved");
    point_to(&host, &new);
    host.run(&["list"]).ok();
}

#[test]
fn a_copy_that_moves_or_lost_its_directory_says_what_to_do() {
    let host = Host::with_files();
    let disk = host.path().join("disk");
    host.configure_repository(&format!(
        "path = {:?}\n[[repository.copies]]\nname = \"disk\"\npath = {disk:?}\n",
        host.repository(),
    ));
    host.back_up();
    fs::rename(disk.join("backups"), disk.join("lost")).unwrap();
    let ran = host.run(&["sync"]).failed(5, "repository_not_found");
    assert!(ran.stderr.contains("create it empty"), "{ran:?}");
    fs::create_dir(disk.join("backups")).unwrap();
    host.run(&["sync"]).ok();
    fs::remove_dir_all(disk.join("lost")).unwrap();
    let new = host.path().join("new");
    let ran = host.run(&["--copy", "disk", "repo", "move", new.to_str().unwrap()]).ok();
    assert!(ran.stdout.contains("of the copy disk in"), "{ran:?}");
    assert!(!ran.stdout.contains("repository.path"), "{ran:?}");
}

#[test]
fn a_move_that_goes_on_reads_again_what_it_relies_on() {
    let host = Host::with_files();
    let record = host.back_up();
    let old = host.repository();
    let place = tempfile::Builder::new().prefix("backstop-move-").tempdir_in("/dev/shm").unwrap();
    let new = place.path().join("moved");
    let copied = Command::new("cp").arg("-a").arg(&old).arg(&new).status().unwrap();
    assert!(copied.success());
    let header = fs::read_to_string(old.join("backstop-repository.json")).unwrap();
    let id = serde_json::from_str::<Value>(&header).unwrap()["id"].clone();
    let archive = Path::new("backups").join(record["name"].as_str().unwrap());
    let archive = archive.join("files/uploads.tar.zst");
    let sound = fs::read(old.join(&archive)).unwrap();
    let mut damaged = sound.clone();
    damaged[20] ^= 1;

    // As an attempt leaves it that was cut off after the other place counted.
    fs::write(new.join(&archive), &damaged).unwrap();
    let moved = serde_json::json!({ "id": id, "to": new });
    fs::write(old.join("backstop-moved.json"), moved.to_string()).unwrap();
    let to = new.to_str().unwrap();
    host.run(&["repo", "move", to]).failed(6, "backup_damaged");
    assert_eq!(fs::read(old.join(&archive)).unwrap(), sound);

    // And before.
    fs::remove_file(old.join("backstop-moved.json")).unwrap();
    let moving = serde_json::json!({ "id": id, "from": old });
    fs::write(new.join("backstop-moving.json"), moving.to_string()).unwrap();
    host.run(&["repo", "move", to]).ok();
    assert!(!old.join("backups").exists());
    point_to(&host, &new);
    host.run(&["verify", "--all"]).ok();
}

#[test]
fn whenever_a_move_dies_one_whole_repository_is_found_and_the_move_goes_on() {
    for on_other_disk in [true, false] {
        let host = Host::with_files();
        let (_, tree) = chain(&host);
        let place = match on_other_disk {
            true => tempfile::Builder::new().prefix("backstop-move-").tempdir_in("/dev/shm"),
            false => tempfile::tempdir_in(host.path()),
        };
        let place = place.unwrap();
        let new = place.path().join("moved");
        let (old, config) = (host.repository(), fs::read_to_string(host.config()).unwrap());
        let mut done = false;
        for milliseconds in [0, 5, 10, 20, 30, 45, 60, 80, 110, 150, 200, 300] {
            let mut child = host
                .command(&["repo", "move", new.to_str().unwrap()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(milliseconds));
            let _ = child.kill();
            done |= child.wait().unwrap().success();
            let ran = host.run(&["list", "--json"]);
            if ran.code != 0 {
                let ran = ran.ended(5);
                assert!(ran.stderr.contains("repository_moved"), "{ran:?}");
                point_to(&host, &new);
            }
            assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 3);
            host.run(&["verify", "--all"]).ok();
            assert_eq!(restored(&host, "latest"), tree);
            fs::write(host.config(), &config).unwrap();
        }
        if !done {
            host.run(&["repo", "move", new.to_str().unwrap()]).ok();
        }
        assert!(!old.join("backups").exists());
        point_to(&host, &new);
        assert_eq!(irregular(&host, 0), []);
        assert_eq!(restored(&host, "latest"), tree);
    }
}
