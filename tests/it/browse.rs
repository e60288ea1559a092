//! Looking into backups, through the program.

mod unreadable;

use crate::support::host::{Host, Ran};
use serde_json::Value;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

fn texts<'a>(array: &'a Value, field: &str) -> Vec<&'a str> {
    array.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap()).collect()
}

/// A host with three backups of a tree that changes, and their ids.
fn changing() -> (Host, Vec<String>) {
    let host = Host::with_files();
    let mut ids = Vec::new();
    let mut back_up = || ids.push(host.back_up()["id"].as_str().unwrap().to_owned());
    host.write("a/photo.jpg", &"first ".repeat(1000));
    fs::write(host.live().join("a/sparse"), "x").unwrap();
    fs::File::options()
        .write(true)
        .open(host.live().join("a/sparse"))
        .unwrap()
        .set_len(3 << 20)
        .unwrap();
    fs::hard_link(host.live().join("a/photo.jpg"), host.live().join("z-link")).unwrap();
    std::os::unix::fs::symlink("a/photo.jpg", host.live().join("symlink")).unwrap();
    fs::write(host.live().join(std::ffi::OsStr::from_bytes(b"not\xff utf8")), "odd").unwrap();
    back_up();
    host.write("a/photo.jpg", &"second ".repeat(1000));
    fs::rename(host.live().join("below"), host.live().join("renamed")).unwrap();
    back_up();
    fs::remove_file(host.live().join("a/photo.jpg")).unwrap();
    back_up();
    (host, ids)
}

#[test]
fn files_are_listed_and_read_out_of_any_backup() {
    let (host, ids) = changing();
    assert_eq!(texts(&host.json(&["ls", &ids[0]]), "component"), ["uploads"]);
    let top = host.json(&["ls", &ids[0], "uploads"]);
    assert_eq!(texts(&top, "path"), ["a", "below", "not%FF utf8", "one.txt", "symlink", "z-link"]);
    assert_eq!(top[4]["link_target"], "a/photo.jpg");
    assert_eq!(
        texts(&host.json(&["ls", &ids[1], "uploads/a"]), "path"),
        ["a/photo.jpg", "a/sparse"]
    );
    let all = host.json(&["ls", &ids[1], "uploads/renamed", "--recursive"]);
    assert_eq!(texts(&all, "path"), ["renamed/two.bin"]);
    let shown = host.run(&["ls", "latest", "uploads"]).ok().stdout;
    assert!(shown.contains("symlink -> a/photo.jpg") && shown.contains("drwx"), "{shown}");
    host.run(&["ls", &ids[2], "uploads/a/photo.jpg"]).failed(5, "file_not_found");

    let cat = |id: &str, path: &str| host.command(&["cat", id, path]).output().unwrap();
    for (id, path, content) in [
        (&ids[0], "uploads/a/photo.jpg", "first ".repeat(1000)),
        (&ids[1], "uploads/a/photo.jpg", "second ".repeat(1000)),
        (&ids[1], "uploads/z-link", "second ".repeat(1000)),
        (&ids[2], "uploads/renamed/two.bin", "two ".repeat(5000)),
        (&ids[2], "uploads/a/sparse", format!("x{}", "\0".repeat((3 << 20) - 1))),
    ] {
        let output = cat(id, path);
        assert!(output.status.success() && output.stdout == content.as_bytes(), "{id} {path}");
    }
    let mut raw = host.command(&["cat", &ids[0]]);
    let raw = raw.arg(std::ffi::OsStr::from_bytes(b"uploads/not\xff utf8")).output().unwrap();
    assert_eq!(raw.stdout, b"odd");
    // What is printed can be typed.
    assert_eq!(cat(&ids[0], "uploads/not%FF utf8").stdout, b"odd");
    host.run(&["cat", &ids[0], "uploads/a"]).failed(5, "file_not_found");
    host.run(&["cat", &ids[0], "uploads/symlink"]).failed(5, "file_not_found");
    host.run(&["cat", &ids[0], "uploads/../x"]).failed(2, "usage");
}

#[test]
fn one_file_or_subtree_is_restored_by_its_path() {
    let (host, ids) = changing();
    let to = host.path().join("to");
    let target = to.to_str().unwrap();
    let paths = ["--path", "uploads/a/photo.jpg", "--path", "uploads/below"];
    host.run(&[&["restore", &ids[0], "--to", target], &paths[..]].concat()).ok();
    let restored = crate::support::host::listing(&to.join("files/uploads"));
    let names: Vec<&str> = restored.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["a", "a/photo.jpg", "below", "below/two.bin"]);
    assert_eq!(
        fs::read(to.join("files/uploads/a/photo.jpg")).unwrap(),
        "first ".repeat(1000).as_bytes()
    );
    let gone = ["restore", &ids[2], "--to", "elsewhere", "--path", "uploads/a/photo.jpg"];
    host.run(&gone).failed(5, "file_not_found");
    assert!(!host.path().join("elsewhere/files").exists());
    host.run(&["restore", &ids[0], "--path", "uploads/a"]).ended(2);
}

#[test]
fn files_are_found_with_their_history() {
    let (host, ids) = changing();
    let found = host.json(&["find", "photo.jpg"]);
    let versions = found.as_array().unwrap();
    assert_eq!(versions.len(), 2, "{found}");
    assert_eq!(
        (&versions[0]["first_backup"], &versions[0]["last_backup"]),
        (&ids[0].as_str().into(), &ids[0].as_str().into())
    );
    assert_eq!(versions[1]["first_backup"], ids[1].as_str());
    assert_eq!(
        texts(&host.json(&["find", "uploads/*/two.bin"]), "path"),
        ["below/two.bin", "renamed/two.bin"]
    );
    let hash = versions[0]["sha256"].as_str().unwrap();
    assert_eq!(texts(&host.json(&["find", "--sha256", &hash[..12]]), "path"), ["a/photo.jpg"]);
    assert_eq!(texts(&host.json(&["find", "*", "--min-size", "1MiB"]), "path"), ["a/sparse"]);
    assert_eq!(host.json(&["find", "*", "--until", "2001-01-01"]), serde_json::json!([]));
    assert_eq!(host.json(&["find", "*", "--reason", "migration"]), serde_json::json!([]));
    assert_eq!(
        host.json(&["find", "*", "--since", "2001-01-01", "--limit", "2"])
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(host.run(&["find", "nowhere"]).ok().stdout.contains("No backup"));
    host.run(&["find", "*", "--since", "soon"]).ended(2);

    let history = host.json(&["history", "uploads/a/photo.jpg"]);
    assert_eq!(texts(&history, "event"), ["created", "changed", "deleted"]);
    assert_eq!(texts(&history, "backup"), ids.iter().map(String::as_str).collect::<Vec<_>>());
    let constant = host.json(&["history", "uploads/one.txt"]);
    assert_eq!((constant.as_array().unwrap().len(), &constant[0]["backups"]), (1, &3.into()));
    host.run(&["history", "uploads/never"]).failed(5, "file_not_found");

    let diff = host.json(&["diff", &ids[0], &ids[2]]);
    let told: Vec<(&str, &str)> = diff
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["change"].as_str().unwrap(), one["path"].as_str().unwrap()))
        .filter(|(change, _)| *change != "metadata")
        .collect();
    assert_eq!(
        told,
        [
            ("removed", "a/photo.jpg"),
            ("removed", "below"),
            ("added", "renamed"),
            ("renamed", "renamed/two.bin"),
            ("changed", "z-link"),
        ]
    );
    let stat = host.json(&["diff", &ids[0], &ids[2], "--stat"]);
    assert_eq!((&stat[0]["removed"], &stat[0]["renamed"]), (&2.into(), &1.into()));
    assert_eq!(host.json(&["diff", &ids[0], &ids[0]]), serde_json::json!([]));
}

#[test]
fn sql_answers_and_changes_nothing() {
    let (host, ids) = changing();
    let count = host.json(&[
        "sql",
        "SELECT backup, count(*) AS files FROM files GROUP BY 1, sequence ORDER BY sequence",
    ]);
    assert_eq!(texts(&count, "backup"), ids.iter().map(String::as_str).collect::<Vec<_>>());
    let csv = host
        .run(&["sql", "--csv", "SELECT kind, count(*) AS n FROM backups GROUP BY 1 ORDER BY 1;"])
        .ok();
    assert_eq!(csv.stdout, "kind,n\nfull,1\nincremental,2\n");
    let table = host.run(&["sql", "SELECT kind, count(*) AS n FROM backups GROUP BY 1 ORDER BY 1"]);
    let lines: Vec<String> = table.ok().stdout.lines().map(str::to_owned).collect();
    assert!(
        lines[0].to_lowercase().starts_with("kind") && lines[1].starts_with("full"),
        "{lines:?}"
    );
    host.run(&["sql", "SELECT 1; DROP TABLE backups"]).failed(2, "usage");
    host.run(&["sql", "COPY backups TO 'x.csv'"]).failed(2, "usage");
    host.run(&["sql", "SELECT nothing FROM backups"]).failed(2, "usage");
    assert!(!host.path().join("x.csv").exists());

    // A damaged index is left out with a warning; the others answer.
    let first = host.json(&["show", &ids[0]]);
    fs::write(host.backup_dir(&first).join("files/index.parquet"), "damaged").unwrap();
    let question = "SELECT count(DISTINCT backup) AS n FROM files";
    let ran = host.run(&["sql", question, "--json"]).ended(3);
    assert_eq!(ran.json()[0]["n"], 2);
    assert!(ran.stderr.contains("left out"), "{ran:?}");
    // What is not about files does not need it.
    assert_eq!(host.json(&["sql", "SELECT count(*) AS n FROM backups"])[0]["n"], 3);

    let wrong = host.run(&["sql", "SELECT nothing FROM backups"]).failed(2, "usage");
    assert!(wrong.stderr.contains("LINE 1: SELECT nothing FROM backups"), "{wrong:?}");
}

#[test]
fn the_page_of_the_views_names_every_column() {
    const PAGE: &str = include_str!("../../docs/sql.md");
    let host = Host::with_files();
    host.back_up();
    for view in ["backups", "components", "files", "events", "runs"] {
        let start = PAGE.find(&format!("## `{view}`")).expect(view);
        let section = &PAGE[start + 4..];
        let section = &section[..section.find("\n## ").unwrap_or(section.len())];
        let csv = host.run(&["sql", "--csv", &format!("SELECT * FROM {view} LIMIT 0")]).ok().stdout;
        for column in csv.trim().split(',') {
            assert!(section.contains(&format!("`{column}`")), "{view}.{column}");
        }
    }
}

#[test]
fn a_dump_comes_out_as_sql_or_as_it_is_stored() {
    let host = Host::with_database();
    for format in ["directory", "custom", "plain", "tar"] {
        host.configure_database(&format!("format = \"{format}\""), "");
        host.json(&["backup", "--only", "shop"]);
        let sql = host.run(&["dump", "latest", "--database", "shop", "--sql"]).ok();
        assert!(sql.stdout.contains("COPY public.item"), "{format}: {}", sql.stderr);
        let stored = host.command(&["dump", "latest", "--database", "shop"]).output().unwrap();
        let starts = match format {
            "custom" => &b"PGDMP"[..],
            "tar" => b"toc.dat",
            _ => b"--",
        };
        let head = stored.stdout.trim_ascii_start();
        assert!(head.starts_with(starts), "{format}: {:?}", &head[..20]);
    }
    host.run(&["dump", "latest", "--database", "other"]).failed(5, "component_not_found");

    // A reader that goes away early is no failure worth a panic.
    let mut child = host
        .command(&["dump", "latest", "--database", "shop", "--sql"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!Ran::of(&output).stderr.contains("panicked"));
}
