//! The README, executed: its commands, its config, and the restore without backstop.

use crate::support::cluster::{Cluster, PASSWORD, SUPERUSER, bin_dir};
use crate::support::host::{Host, Ran, listing};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

const README: &str = include_str!("../../README.md");

/// The first block of `language` in the section under `heading`, without its indentation.
fn block(heading: &str, language: &str) -> String {
    let section = README.split_once(heading).unwrap().1;
    let (before, rest) = section.split_once(&format!("```{language}\n")).unwrap();
    let indent = before.rsplit('\n').next().unwrap();
    let text = rest.split_once("```").unwrap().0;
    text.lines().map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned() + "\n").collect()
}

#[test]
fn a_backup_is_restored_with_the_commands_of_the_readme_alone() {
    let commands = block("## By hand, without backstop", "sh");
    for program in ["sha256sum -c", "tar --zstd", "createdb", "pg_restore"] {
        assert!(commands.contains(program), "{commands}");
    }
    let host = Host::with_database();
    fs::hard_link(host.live().join("one.txt"), host.live().join("again.txt")).unwrap();
    std::os::unix::fs::symlink("one.txt", host.live().join("link")).unwrap();
    let long = host.live().join("d".repeat(200)).join("e".repeat(200));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("deep"), "deep").unwrap();
    let record = host.back_up();

    let target = host.path().join("by hand");
    let path = std::env::join_paths(
        std::iter::once(bin_dir().to_path_buf())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands])
        .env("PATH", path.unwrap())
        .env("BACKUP", host.backup_dir(&record))
        .env("TARGET", &target)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", Cluster::shared().port().to_string())
        .env("PGUSER", SUPERUSER)
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    let ran = Ran::of(&output).ok();
    assert!(ran.stdout.contains("manifest.json: OK"), "{ran:?}");
    assert_eq!(listing(&target), listing(&host.live()));
    let sql = "SELECT count(*), md5(string_agg(name, '' ORDER BY id)) FROM item";
    let by_hand = Cluster::shared().psql("shop_by_hand", sql);
    Cluster::shared().psql("postgres", "DROP DATABASE shop_by_hand");
    assert_eq!(by_hand, host.database().sql(sql));
}

#[test]
fn an_incremental_backup_is_put_together_with_a_parquet_reader_and_tar() {
    const PAGE: &str = include_str!("../../docs/repository-format.md");
    let host = Host::with_files();
    host.write("old name", "renamed later");
    host.write("changes", "before");
    let full = host.back_up();
    fs::rename(host.live().join("old name"), host.live().join("new name")).unwrap();
    host.write("changes", "after");
    let second = host.back_up();
    fs::rename(host.live().join("new name"), host.live().join("newest name")).unwrap();
    let third = host.back_up();
    assert_eq!(third["kind"], "incremental");
    assert_eq!((&second["parent"], &third["parent"]), (&full["id"], &second["id"]));

    let section = PAGE.split_once("## Incremental and differential backups").unwrap().1;
    let sql = section.split_once("```sql\n").unwrap().1.split_once("```").unwrap().0;
    let sql = sql
        .replace("INCREMENTAL", host.backup_dir(&third).to_str().unwrap())
        .replace("REPOSITORY", host.repository().to_str().unwrap());
    let engine = duckdb::Connection::open_in_memory().unwrap();
    let mut statement = engine.prepare(&sql).unwrap();
    let cells = |row: &duckdb::Row<'_>| Ok([0, 1, 2, 3].map(|cell| row.get(cell).unwrap()));
    let rows: Vec<[String; 4]> =
        statement.query_map([], cells).unwrap().collect::<Result<_, _>>().unwrap();
    let files = ["below/two.bin", "changes", "newest name", "one.txt"];
    let mut listed: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    listed.sort_unstable();
    assert_eq!(listed, files);
    for [path, stored_in, archive, member] in &rows {
        let record = [&full, &second, &third].into_iter().find(|one| one["id"] == **stored_in);
        let archive = host.backup_dir(record.unwrap()).join(archive);
        let mut tar = Command::new("tar");
        let output =
            tar.args(["--zstd", "-xOf"]).arg(archive).arg(format!("./{member}")).output().unwrap();
        assert!(output.stdout == fs::read(host.live().join(path)).unwrap(), "{path}");
    }
}

#[test]
fn what_became_of_each_file_is_asked_of_the_changes() {
    const PAGE: &str = include_str!("../../docs/repository-format.md");
    let host = Host::with_files();
    host.write("changes", "before");
    host.write("old name", "renamed later");
    let full = host.back_up();
    assert!(!host.backup_dir(&full).join("files/changes.parquet").exists());
    fs::rename(host.live().join("old name"), host.live().join("new name")).unwrap();
    host.write("changes", "after");
    let second = host.back_up();
    let section = PAGE.split_once("## Changes").unwrap().1;
    let sql = section.split_once("```sql\n").unwrap().1.split_once("```").unwrap().0;
    let sql = sql
        .replace("INCREMENTAL", host.backup_dir(&second).to_str().unwrap())
        .replace("PARENT", host.backup_dir(&full).to_str().unwrap());
    let engine = duckdb::Connection::open_in_memory().unwrap();
    let mut statement = engine.prepare(&sql).unwrap();
    let cells = |row: &duckdb::Row<'_>| Ok([1, 2].map(|cell| row.get(cell).unwrap()));
    let rows: Vec<[String; 2]> =
        statement.query_map([], cells).unwrap().collect::<Result<_, _>>().unwrap();
    let expected =
        [(".", "changed"), ("changes", "changed"), ("new name", "new"), ("old name", "gone")];
    assert_eq!(rows, expected.map(|(path, what)| [path, what].map(str::to_owned)));
}

#[test]
fn archives_and_plain_dumps_are_read_by_zstd_and_psql() {
    let host = Host::with_database();
    host.configure_database("format = \"plain\"", "");
    let dir = host.backup_dir(&host.back_up());
    let zstd = |object: &str| {
        let output =
            Command::new("zstd").args(["-dc", "--no-progress"]).arg(dir.join(object)).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    assert_eq!(&zstd("files/uploads.tar.zst")[257..262], b"ustar");
    let dump = String::from_utf8(zstd("databases/shop.sql.zst")).unwrap();
    assert!(dump.contains("CREATE TABLE public.item"), "{dump}");
}

#[test]
fn the_config_of_the_readme_is_accepted() {
    let host = Host::with_files();
    fs::write(host.config(), block("## Your own stack in five minutes", "toml")).unwrap();
    host.run(&["config", "check"]).ok();
}

#[test]
fn every_command_and_flag_of_the_readme_exists() {
    let host = Host::with_files();
    let mut commands = BTreeSet::new();
    let words = README.split("`backstop ").skip(1).filter_map(|rest| rest.split('`').next());
    commands.extend(words);
    let lines = README.lines().map(str::trim).filter_map(|line| line.strip_prefix("backstop "));
    commands.extend(lines.map(|line| line.split('#').next().unwrap().trim()));
    commands.retain(|command| command.starts_with(|c: char| c.is_ascii_lowercase()));
    assert!(commands.len() > 5, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let help_of = |command: &[&str]| host.run(&[command, &["--help"]].concat()).ok().stdout;
        let mut help = help_of(&words[..1]);
        let is_below = |word: &&str| help.contains(&format!("\n  {word} "));
        if help.contains("\nCommands:") && words.get(1).is_some_and(is_below) {
            help = help_of(&words[..2]);
        }
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(
                help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                "{command}"
            );
        }
    }
}
