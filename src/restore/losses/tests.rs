//! A published backup of a tree, and the tree as it is afterwards.

use super::*;
use crate::archive::index::{IndexWriter, Place, Row};
use crate::archive::scan::{Excludes, Scan, Scanned};
use crate::config::{Capture, Config, Environment, FileTree};
use crate::encryption::{Identities, NOBODY};
use crate::progress::Silent;
use crate::repository::manifest::Manifest;
use crate::repository::{BackupId, LockMode, Repository};
use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A host with a tree `uploads`, which is in no config: the backup says where it is.
struct Site {
    dir: TempDir,
    setting: Setting,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("uploads")).unwrap();
        let environment = Environment {
            // Nobody listens there.
            variables: [("DATABASE_URL", "postgres://a@127.0.0.1:1/shop"), ("BACKUP_DIR", "/r")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            directory: "/".into(),
            system_directory: "/".into(),
        };
        let setting = Setting {
            config: Arc::new(Config::load_from(None, &environment).unwrap().config),
            recipients: NOBODY.clone(),
            identities: Identities::default(),
            config_file: None,
            executable: "/proc/self/exe".into(),
            lock_wait: Duration::ZERO,
            progress: Arc::new(Silent),
            cancel: CancellationToken::new(),
        };
        Self { dir, setting }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("uploads").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Takes the tree into a config of today.
    fn configure(&mut self, exclude: &[&str]) {
        let mut config = Config::clone(&self.setting.config);
        config.files.push(FileTree {
            name: "uploads".into(),
            path: Some(self.path("")),
            volume: None,
            exclude: exclude.iter().map(ToString::to_string).collect(),
            capture: Capture::Auto,
        });
        self.setting.config = Arc::new(config);
    }

    /// Publishes a backup of the tree as it is, which began `after` now, and has these components
    /// as well.
    fn back_up(&self, after: Span, others: &[Value]) -> PublishedBackup {
        let repository = Repository::open_or_create(&self.dir.path().join("repository")).unwrap();
        let lock = repository.lock(LockMode::Exclusive, Duration::ZERO).unwrap();
        let id = BackupId::try_from("5".repeat(32)).unwrap();
        let incoming = repository.incoming(&id, None, &lock).unwrap();
        fs::create_dir(incoming.path().join("files")).unwrap();
        write_index(&self.path(""), &incoming.path().join("files/index.parquet"));
        let mut components = others.to_vec();
        components.push(files("uploads", json!({ "path": self.path("") })));
        let at = Timestamp::now().checked_add(after).unwrap();
        let objects = incoming.read_back(&[], &CancellationToken::new()).unwrap();
        let manifest: Manifest = serde_json::from_value(json!({
            "format": 1, "id": id, "name": "backup_full_manual_2026-11-21_03-00-00_5555",
            "sequence": 1, "repository_id": repository.id(), "stack": "shop", "host": "test",
            "backstop_version": "0", "kind": "full", "reason": "manual", "labels": {},
            "version_label": null, "parent": null, "started_at": at, "finished_at": at,
            "duration_seconds": 1.0,
            "consistency": {
                "level": "fenced", "because": "", "fenced_at": at, "databases": [],
                "transactions_during_capture": 0, "files_changed_during_capture": [],
            },
            "downtime": [], "components": components, "source_bytes": 1, "stored_bytes": 1,
            "file_count": 1, "objects": objects, "warnings": [],
        }))
        .unwrap();
        incoming.publish(&manifest).unwrap()
    }

    async fn losses(&self, backup: &PublishedBackup) -> Losses {
        losses(&self.setting, backup, &Selection::default()).await.unwrap()
    }

    async fn of_tree(&self, backup: &PublishedBackup) -> FileLosses {
        let found = self.losses(backup).await;
        assert_eq!(found.files.len(), 1, "{found}");
        found.files[0].clone()
    }
}

fn files(name: &str, place: Value) -> Value {
    let mut component = json!({
        "name": name, "type": "files", "source_bytes": 1, "stored_bytes": 1, "file_count": 1,
        "path": null, "volume": null, "object": "files/uploads.tar.zst", "elsewhere": [],
        "capture": "archive", "exclude": [], "unreadable": [],
    });
    component.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
    component
}

fn database(name: &str) -> Value {
    json!({
        "name": name, "type": "database", "source_bytes": 1, "stored_bytes": 1, "file_count": 1,
        "database": name, "format": "custom", "object": "databases/shop.dump",
        "server_version": "15.1", "dump_version": "15.1", "owner": "a", "encoding": "UTF8",
        "collate": "C", "ctype": "C", "settings": [], "acl": [], "exclude_tables": [],
        "tables": [{ "table": "public.item", "rows": 3, "exact": true }],
    })
}

fn write_index(root: &Path, index: &Path) {
    let mut writer = IndexWriter::create(index).unwrap();
    for scanned in Scan::open(root, Excludes::none()).unwrap() {
        let Scanned::Entry(entry) = scanned else { panic!("{scanned:?}") };
        let is_file = entry.kind == crate::archive::Kind::File;
        let row = Row {
            component: "uploads".into(),
            entry,
            sha256: is_file.then_some([7; 32]),
            changed: false,
            stored_in: "5".repeat(32),
            archive: "files/uploads.tar.zst".into(),
            place: is_file.then_some(Place { frame: 0, offset: 512, sparse: false }),
        };
        writer.append(&row).unwrap();
    }
    writer.finish().unwrap();
}

/// A backup that began so long after its files were written that they count as unchanged.
fn later() -> Span {
    Span::new().minutes(1)
}

fn tally(files: u64, directories: u64, bytes: u64) -> Tally {
    Tally { files, directories, bytes }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_of_a_tree_that_is_as_it_was() {
    let site = Site::new();
    fs::create_dir(site.path("a")).unwrap();
    site.write("a/b", "one");
    fs::hard_link(site.path("a/b"), site.path("c")).unwrap();
    std::os::unix::fs::symlink("c", site.path("d")).unwrap();
    // One whose files an incremental backup would read again, and one whose it would not.
    let close = site.back_up(Span::new(), &[]);
    let found = site.losses(&close).await;
    assert!(found.is_nothing(), "{found}");
    fs::remove_dir_all(site.dir.path().join("repository")).unwrap();
    let found = site.losses(&site.back_up(later(), &[])).await;
    assert!(found.is_nothing(), "{found}");
    assert_eq!(found.to_string(), "files uploads: as in the backup\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_newer_changed_touched_or_gone_is_counted_apart() {
    let site = Site::new();
    for name in ["grows", "goes", "stays", "touched"] {
        site.write(name, "12345");
    }
    let backup = site.back_up(later(), &[]);
    std::thread::sleep(Duration::from_millis(20));
    site.write("grows", "1234567");
    fs::remove_file(site.path("goes")).unwrap();
    fs::create_dir(site.path("new")).unwrap();
    site.write("new/file", "123");
    let modified = fs::metadata(site.path("touched")).unwrap().modified().unwrap();
    let touched = fs::File::options().write(true).open(site.path("touched")).unwrap();
    touched.set_modified(modified).unwrap();

    let before = listing(site.dir.path());
    let found = site.of_tree(&backup).await;
    assert_eq!(listing(site.dir.path()), before, "nothing is changed by a look");
    assert_eq!(found.newer, tally(1, 1, 3));
    assert_eq!(found.changed, tally(2, 0, 12));
    assert_eq!((found.touched, found.unreadable), (1, 0));
    assert_eq!(found.gone, tally(1, 0, 5));
    assert_eq!(found.examples, ["grows", "new", "new/file"]);
    assert!(!found.is_nothing());
}

/// Every file below `dir` with its size and times.
fn listing(dir: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let scan = Scan::open(dir, Excludes::none()).unwrap();
    let entry = |scanned| match scanned {
        Scanned::Entry(it) => (it.path, it.size, it.mtime_ns, it.ctime_ns),
        other => panic!("{other:?}"),
    };
    scan.map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_paths_are_given_as_examples() {
    let site = Site::new();
    let backup = site.back_up(later(), &[]);
    for name in ["a", "b", "c", "d", "e", "f"] {
        site.write(name, "");
    }
    let found = site.of_tree(&backup).await;
    assert_eq!(found.newer.files, 6);
    assert_eq!(found.examples, ["a", "b", "c", "d", "e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_config_leaves_out_is_neither_newer_nor_gone() {
    let mut site = Site::new();
    fs::create_dir(site.path("cache")).unwrap();
    site.write("cache/old", "1");
    site.write("old.tmp", "1");
    let backup = site.back_up(later(), &[]);
    site.write("cache/new", "1");
    site.write("new.tmp", "1");
    site.configure(&["cache/", "*.tmp"]);
    let found = site.of_tree(&backup).await;
    assert!(found.is_nothing(), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_tree_that_is_not_there_everything_is_gone() {
    let site = Site::new();
    site.write("a", "12");
    let backup = site.back_up(later(), &[]);
    fs::remove_dir_all(site.path("")).unwrap();
    let found = site.of_tree(&backup).await;
    assert_eq!((found.gone, found.newer), (tally(1, 1, 2), tally(0, 0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_tells_nothing_and_says_so() {
    let site = Site::new();
    site.write("a", "12");
    let backup = site.back_up(later(), &[]);
    let index = backup.directory().unwrap().join("files/index.parquet");
    let mut bytes = fs::read(&index).unwrap();
    bytes[10] ^= 1;
    fs::write(&index, bytes).unwrap();
    let found = site.of_tree(&backup).await;
    let why = found.unknown.as_deref().unwrap();
    assert!(why.contains("files/index.parquet has other bytes than were written"), "{why}");
    assert!(!found.is_nothing());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_unknown_and_the_rest_is_counted() {
    let site = Site::new();
    let volume = files("far", json!({ "volume": "backstop-test-no-such-volume" }));
    let backup = site.back_up(later(), &[database("shop"), database("not-configured"), volume]);
    let found = site.losses(&backup).await;
    let why: Vec<&str> = found
        .databases
        .iter()
        .map(|losses| losses.unknown.as_deref().unwrap())
        .chain(found.files.iter().filter_map(|losses| losses.unknown.as_deref()))
        .collect();
    assert_eq!(why.len(), 3, "{found}");
    assert!(why[0].starts_with("cannot connect to database"), "{}", why[0]);
    assert!(why[1].contains("no [[databases]] entry"), "{}", why[1]);
    assert!(found.files[1].is_nothing() && !found.is_nothing(), "{found}");

    let only = Selection::new(vec!["uploads".into()]);
    let found = losses(&site.setting, &backup, &only).await.unwrap();
    assert!(found.is_nothing() && found.files.len() == 1, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_was_ended_is_an_error() {
    let site = Site::new();
    let backup = site.back_up(later(), &[]);
    site.setting.cancel.cancel();
    let error = losses(&site.setting, &backup, &Selection::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Interrupted);
}
