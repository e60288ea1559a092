//! Another repository than the config's own: one of its copies, any place, or several at once.

use crate::support::host::{Host, Ran, listing};
use crate::support::store::{BUCKET, KEY_ID, S3Server, SECRET};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Runs the program where there is no config, with these variables.
fn run_without_config(host: &Host, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = host.command(arguments);
    command
        .env_remove("BACKSTOP_CONFIG")
        .env("BACKSTOP_STATE__DIR", host.path().join("state of nobody"))
        .envs(variables.iter().copied())
        .current_dir(host.path().join("live"));
    Ran::of(&command.output().unwrap())
}

fn restored(run: &dyn Fn(&[&str]) -> Ran, to: &Path) -> String {
    let _ = fs::remove_dir_all(to);
    run(&["restore", "latest", "--only", "files", "--to", to.to_str().unwrap()]).ok();
    listing(&to.join("files/uploads"))
}

#[test]
fn every_command_works_on_a_copy() {
    let (host, server) = (Host::with_database(), S3Server::start());
    host.configure_repository(&format!(
        "path = {:?}\n[[repository.copies]]\nname = \"disk\"\npath = {:?}\n\
         [[repository.copies]]\nname = \"offsite\"\n{}",
        host.repository(),
        host.path().join("disk"),
        host.store(&server, "copy")
    ));
    let full = host.back_up();
    host.write("new.txt", "new");
    host.back_up();
    // Whatever happens to the repository itself, the copies do not look at it.
    fs::write(host.backup_dir(&full).join("files/uploads.tar.zst"), "").unwrap();
    host.run(&["verify", "--all"]).ended(6);
    let to = host.path().join("restored");
    for copy in ["disk", "offsite"] {
        let run = |arguments: &[&str]| host.run(&[&["--copy", copy], arguments].concat());
        let json = |arguments: &[&str]| host.json(&[&["--copy", copy], arguments].concat());
        assert_eq!(json(&["list"]).as_array().unwrap().len(), 2);
        run(&["verify", "--all"]).ok();
        assert_eq!(run(&["cat", "latest", "uploads/one.txt"]).ok().stdout, "one");
        assert_eq!(json(&["ls", "latest", "uploads"]).as_array().unwrap().len(), 3);
        assert_eq!(json(&["find", "new.txt"]).as_array().unwrap().len(), 1);
        assert_eq!(json(&["history", "uploads/new.txt"])[0]["event"], "created");
        assert_eq!(json(&["sql", "SELECT count(*) AS n FROM backups"])[0]["n"], 2);
        assert!(run(&["dump", "latest", "--database", "shop"]).ok().stdout.contains("item"));
        assert_eq!(restored(&run, &to), listing(&host.live()));
    }
    host.run(&["--copy", "nowhere", "list"]).failed(2, "usage");
    // What was found of a copy is not said of the repository.
    let own = host.json(&["show", "latest"]);
    assert_eq!(own["last_verification"]["ok"], false, "{own}");
}

#[test]
fn a_repository_is_restored_from_without_any_config() {
    let (host, server) = (Host::with_files(), S3Server::start());
    host.back_up();
    let to = host.path().join("restored");
    let repository = host.repository();
    let repository = repository.to_str().unwrap();
    let local = |arguments: &[&str]| {
        run_without_config(&host, &[], &[&["--repository", repository], arguments].concat())
    };
    assert!(local(&["list"]).ok().stdout.contains("files"));
    assert_eq!(restored(&local, &to), listing(&host.live()));

    host.configure_repository(&host.store(&server, "web 1"));
    host.back_up();
    let endpoint = server.endpoint();
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let url = format!("s3://{BUCKET}/web 1");
    let remote = |arguments: &[&str]| {
        run_without_config(&host, &variables, &[&["--repository", &url], arguments].concat())
    };
    assert_eq!(remote(&["cat", "latest", "uploads/one.txt"]).ok().stdout, "one");
    assert_eq!(restored(&remote, &to), listing(&host.live()));
    // Without a config, and without a repository, there is nothing to work on.
    run_without_config(&host, &[], &["list"]).failed(2, "config_not_found");
    let nowhere = host.path().join("nowhere");
    let nowhere = ["--repository", nowhere.to_str().unwrap(), "cat", "latest", "uploads/one.txt"];
    run_without_config(&host, &[], &nowhere).failed(5, "repository_not_found");
    let nothing = ["--repository", nowhere[1], "list"];
    run_without_config(&host, &[], &nothing).failed(5, "repository_not_found");
    let backup = ["--repository", repository, "backup"];
    run_without_config(&host, &[], &backup).failed(2, "config_not_found");
}

#[test]
fn the_repositories_of_a_fleet_are_asked_together() {
    let server = S3Server::start();
    let hosts = [Host::with_files(), Host::with_files()];
    for (number, host) in hosts.iter().enumerate() {
        host.write("mine.txt", &format!("of host {number}"));
        host.configure_repository(&host.store(&server, &format!("fleet/web-{number}")));
        host.back_up();
    }
    hosts[1].back_up();
    let question = "SELECT repository, count(DISTINCT b.id) AS backups, \
                    count(DISTINCT sha256) AS contents FROM backups b JOIN files f \
                    ON f.backup = b.id WHERE f.path = 'mine.txt' GROUP BY 1 ORDER BY 2";
    let all = format!("s3://{BUCKET}/fleet/*");
    let answer = hosts[0].json(&["--repository", &all, "sql", question]);
    let counts: Vec<(&Value, &Value)> =
        answer.as_array().unwrap().iter().map(|row| (&row["backups"], &row["contents"])).collect();
    assert_eq!(counts, [(&1.into(), &1.into()), (&2.into(), &1.into())], "{answer}");
    hosts[0].run(&["--repository", &all, "list"]).failed(2, "usage");
    let none = format!("s3://{BUCKET}/nobody/*");
    hosts[0].run(&["--repository", &none, "sql", question]).failed(5, "repository_not_found");
}

#[test]
fn the_latest_backup_is_never_another_stacks() {
    let host = Host::with_files();
    let ours = host.back_up();
    let tree = host.path().join("other");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("theirs.txt"), "theirs").unwrap();
    let config = host.path().join("other.toml");
    let text = format!(
        "[stack]\nname = \"other\"\n[repository]\npath = {:?}\n[state]\ndir = {:?}\n\
         [[files]]\nname = \"uploads\"\npath = {tree:?}\n",
        host.repository(),
        host.path().join("state of the other"),
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let theirs = host.json(&["--config", config, "backup"]);
    assert_eq!(host.json(&["show", "latest"])["id"], ours["id"]);
    assert_eq!(host.json(&["--config", config, "show", "latest"])["id"], theirs["id"]);
    let id = theirs["id"].as_str().unwrap();
    host.run(&["restore", id, "--yes"]).failed(2, "usage");
    assert_eq!(fs::read_to_string(host.live().join("one.txt")).unwrap(), "one");
    let repository = host.repository();
    let latest = ["--repository", repository.to_str().unwrap(), "cat", "latest", "uploads/one.txt"];
    run_without_config(&host, &[], &latest).failed(2, "backup_ambiguous");
}

#[test]
fn a_copy_takes_nothing_but_what_is_sent_and_says_when_it_is_damaged_or_gone() {
    let host = Host::with_files();
    let copy = host.path().join("disk");
    host.configure_repository(&format!(
        "path = {:?}\n[[repository.copies]]\nname = \"disk\"\npath = {copy:?}\n",
        host.repository(),
    ));
    let first = host.back_up();
    host.run(&["--copy", "disk", "backup"]).failed(2, "usage");

    // What only the copy holds is kept as the copy says.
    let second = host.json(&["backup", "--kind", "full"]);
    host.run(&["delete", first["id"].as_str().unwrap(), "--yes"]).ok();
    host.run(&["--copy", "disk", "keep", first["id"].as_str().unwrap(), "--reason", "audit"]).ok();
    host.run(&["sync"]).ok();
    assert_eq!(
        host.json(&["--copy", "disk", "show", first["id"].as_str().unwrap()])["pin"]["reason"],
        "audit"
    );

    // Damage there is mended, and not sent there from here.
    let name = second["name"].as_str().unwrap();
    let archive = copy.join("backups").join(name).join("files/uploads.tar.zst");
    fs::write(&archive, "").unwrap();
    assert_eq!(host.json(&["sync"])[0]["mended"], serde_json::json!([name]));
    host.run(&["--copy", "disk", "verify", name]).ok();
    host.run(&["--copy", "disk", "delete", name, "--yes"]).ok();
    host.run(&["sync"]).ok();
    host.run(&["--copy", "disk", "verify", name]).ok();
    fs::remove_dir_all(copy.join("backups").join(name)).unwrap();
    let manifest = host.backup_dir(&second).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"file_count\": ", "\"file_count\": 7")).unwrap();
    host.run(&["sync"]).ended(6);
    assert!(!copy.join("backups").join(name).exists());

    // What is lost here is known from then on, though the copy has it.
    fs::write(&manifest, text).unwrap();
    host.run(&["sync"]).ok();
    host.run(&["verify", name]).ok();
    fs::remove_file(host.backup_dir(&second).join("files/uploads.tar.zst")).unwrap();
    for said in [true, false] {
        let ran = host.run(&["sync"]).ok();
        assert_eq!(ran.stderr.contains("whole in the copy"), said, "{ran:?}");
    }
    assert_eq!(host.json(&["show", name])["last_verification"]["ok"], false);

    // A disk that is not mounted is no place to begin a new copy.
    fs::remove_dir_all(&copy).unwrap();
    fs::create_dir(&copy).unwrap();
    let ran = host.run(&["sync"]);
    assert_eq!(ran.code, 5, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(fs::read_dir(&copy).unwrap().count(), 0);
}

/// A host with a copy on a disk, and two backups that are not there yet, of which each takes some
/// time to send.
fn with_unsent() -> (Host, [Value; 2]) {
    let host = Host::with_files();
    host.configure_repository(&format!(
        "path = {:?}\n[[repository.copies]]\nname = \"disk\"\npath = {:?}\n",
        host.repository(),
        host.path().join("disk"),
    ));
    let mut noise = vec![0; 96 << 20];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    fs::write(host.live().join("noise.bin"), noise).unwrap();
    let take = || host.run(&["backup", "--local-only", "--kind", "full", "--json"]).ok().json();
    let both = [take(), take()];
    (host, both)
}

/// What becomes of a `sync` when `meanwhile` happens while it sends the first backup.
fn while_sending(host: &Host, meanwhile: impl FnOnce()) -> Ran {
    let mut command = host.command(&["sync", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(" to disk") {
        assert_ne!(reader.read_line(&mut said).unwrap(), 0, "{said}");
    }
    meanwhile();
    reader.read_to_string(&mut said).unwrap();
    let mut ran = Ran::of(&child.wait_with_output().unwrap());
    ran.stderr = said;
    ran
}

#[test]
fn a_repository_that_goes_away_while_it_is_sent_is_not_taken_for_a_copy_that_has_all() {
    let (host, both) = with_unsent();
    let away = host.path().join("away");
    let ran = while_sending(&host, || fs::rename(host.repository(), &away).unwrap()).ended(5);
    let synced = ran.json();
    assert_eq!(synced[0]["complete"], false, "{synced}");
    assert_eq!(synced[0]["error"]["code"], "repository_not_found", "{synced}");
    fs::rename(&away, host.repository()).unwrap();
    for record in host.json(&["list"]).as_array().unwrap() {
        assert_eq!(record["last_verification"], Value::Null, "{record}");
    }
    assert_eq!(host.json(&["sync"])[0]["sent"].as_array().unwrap().len(), both.len());
}

#[test]
fn a_backup_that_is_deleted_while_it_is_sent_need_not_be_sent() {
    let (host, [first, second]) = with_unsent();
    let gone = host.path().join("gone");
    let ran = while_sending(&host, || {
        // All of it but what is read last was found, and is open.
        let incoming = host.path().join("disk/incoming").join(first["id"].as_str().unwrap());
        let is_large = |entry: std::io::Result<fs::DirEntry>| {
            entry.is_ok_and(|it| it.metadata().is_ok_and(|found| found.len() > 1 << 20))
        };
        while !fs::read_dir(incoming.join("files")).is_ok_and(|mut found| found.any(is_large)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        fs::rename(host.backup_dir(&first), &gone).unwrap();
    })
    .ok();
    let synced = ran.json();
    assert_eq!(synced[0]["sent"], serde_json::json!([second["name"]]), "{synced}");
    assert_eq!(synced[0]["complete"], true, "{synced}");
    assert!(!ran.stderr.contains("backup_damaged"), "{ran:?}");
}
