//! Every fault has its code, and no password in it.

use super::*;
use crate::support::cluster::{PASSWORD, SUPERUSER, encode};
use backstop::database::Scratch;
use backstop::error::{Code, Error};
use std::fs;
use std::os::unix::fs::PermissionsExt;

async fn refusal(component: &Database) -> Error {
    let error = Prepared::connect(&target(component)).await.err().expect("a refusal");
    let shown = format!("{error} {error:?} {}", error.to_json());
    assert!(!shown.contains(PASSWORD) && !shown.contains(&encode(PASSWORD)), "{shown}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_fail_with_the_code_that_says_why() {
    let cluster = Cluster::shared();
    let database = cluster.database("faults");
    let good = database.component();

    let mut wrong = good.clone();
    wrong.url = good.url.expose().replace(&encode(PASSWORD), "hunter2-wrong").parse().unwrap();
    let error = refusal(&wrong).await;
    assert_eq!(error.code(), Code::DatabaseAuthentication);
    assert!(!format!("{error} {error:?}").contains("hunter2-wrong"));

    let mut none = good.clone();
    none.url = good.url.expose().replace(&format!(":{}@", encode(PASSWORD)), "@").parse().unwrap();
    assert_eq!(refusal(&none).await.code(), Code::DatabaseAuthentication);

    let mut closed = good.clone();
    closed.url =
        good.url.expose().replace(&format!(":{}/", cluster.port()), ":1/").parse().unwrap();
    let error = refusal(&closed).await;
    assert_eq!(error.code(), Code::DatabaseUnreachable, "{error}");

    let mut nowhere = good.clone();
    nowhere.url = good.url.expose().replace("127.0.0.1", "no-such-host.invalid").parse().unwrap();
    assert_eq!(refusal(&nowhere).await.code(), Code::DatabaseUnreachable);

    let unknown = cluster.component("shop", USER, "no_such_database");
    let error = refusal(&unknown).await;
    assert_eq!(error.code(), Code::DatabaseNotFound);
    assert!(error.to_string().contains("no_such_database"), "{error}");

    let mut encrypted = good.clone();
    encrypted.url = format!("{}{}", encrypted.url.expose(), "?sslmode=require").parse().unwrap();
    assert_eq!(refusal(&encrypted).await.code(), Code::DatabaseUnreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_or_missing_pg_dump_is_refused_before_anything_is_written() {
    let cluster = Cluster::shared();
    let database = cluster.database("old");
    let bin = tempfile::tempdir().unwrap();
    let missing = Tools::local(Some(bin.path()), ChildRunner::default()).await.err().unwrap();
    assert_eq!(missing.code(), Code::ToolMissing);

    let script = bin.path().join("pg_dump");
    fs::write(&script, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let old = Tools::local(Some(bin.path()), ChildRunner::default()).await.unwrap();
    let component = database.component();
    let held = Prepared::connect(&target(&component)).await.unwrap().fence().await.unwrap();
    let backup = tempfile::tempdir().unwrap();
    let request = DumpRequest::new(&component, 3, backup.path());
    let error = dump::dump(&held, &old, &request, &silent()).await.unwrap_err();
    assert_eq!(error.code(), Code::ToolTooOld);
    assert!(error.to_string().contains("9.6.24"), "{error}");
    assert_eq!(fs::read_dir(backup.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_dump_is_refused_in_every_format() {
    let cluster = Cluster::shared();
    let database = cluster.database("cut");
    database.sql(
        "CREATE TABLE item AS SELECT i AS id, md5(i::text) || md5((-i)::text) AS name \
         FROM generate_series(1, 20000) i",
    );
    let (tools, component) = (tools().await, database.component());
    for format in FORMATS {
        let backup = tempfile::tempdir().unwrap();
        let detail = back_up(&component, format, &tools, backup.path()).await;
        let path = backup.path().join(&detail.object);
        let biggest = match format {
            DumpFormat::Directory => fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .max_by_key(|path| fs::metadata(path).unwrap().len())
                .unwrap(),
            _ => path.clone(),
        };
        let file = fs::OpenOptions::new().write(true).open(&biggest).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();

        let read = backstop::database::read_dump(&tools, &path, format).await.unwrap_err();
        assert_eq!(read.code(), Code::BackupDamaged, "{format:?}: {read}");
        let name = format!("{}_{}", database.name(), format.as_str());
        let scratch =
            Scratch::create(&target(&component), &name, &detail, silent().as_ref()).await.unwrap();
        let jobs = 2.try_into().unwrap();
        let filled = scratch.fill(&tools, &path, &detail, jobs, &silent()).await;
        scratch.drop().await.unwrap();
        let error = filled.unwrap_err();
        assert_eq!(error.code(), Code::BackupDamaged, "{format:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_owner_is_named_with_what_to_do() {
    let cluster = Cluster::shared();
    let database = cluster.database("orphan");
    fill(&database, 3);
    let (backup, tools) = (tempfile::tempdir().unwrap(), tools().await);
    let component = cluster.component("shop", SUPERUSER, database.name());
    let mut detail = back_up(&component, DumpFormat::Custom, &tools, backup.path()).await;
    detail.owner = "nobody of that name".into();
    let error = Scratch::create(&target(&component), "orphan_new", &detail, silent().as_ref())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DatabaseFailed);
    assert!(error.to_string().contains("nobody of that name"), "{error}");
    assert!(error.hint_text().contains("globals.sql"), "{}", error.hint_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_from_a_failing_server() {
    let mount = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(mount.path()) else {
        eprintln!("skipped: only root can mount a small file system");
        return;
    };
    let cluster = Cluster::shared();
    let database = cluster.database("full");
    database.sql(
        "CREATE TABLE item AS SELECT md5(i::text) || md5((-i)::text) || md5((i * 7)::text) AS x \
         FROM generate_series(1, 60000) i",
    );
    let tools = tools().await;
    for format in FORMATS {
        let mut component = database.component();
        component.format = Some(format);
        let held = Prepared::connect(&target(&component)).await.unwrap().fence().await.unwrap();
        let request = DumpRequest::new(&component, 3, &mount.path().join(format.as_str()));
        let error = dump::dump(&held, &tools, &request, &silent()).await.unwrap_err();
        assert_eq!(error.code(), Code::DiskFull, "{format:?}: {error}");
        fs::remove_dir_all(&request.backup).unwrap();
    }
}

/// A file system of one mebibyte, unmounted when it is dropped.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(path);
        mount.stderr(std::process::Stdio::null());
        mount.status().ok()?.success().then_some(Self(path))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0).status();
    }
}
