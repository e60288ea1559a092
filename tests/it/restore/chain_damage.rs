//! Every kind of stored file of the first backup of a chain × every kind of damage: verify
//! names it and who needs it, the later backup loses what lies in it and nothing else, and
//! the next backup is whole again.

use super::damage::{HARMS, copy, other_backup};
use crate::support::cluster::Cluster;
use crate::support::host::{Host, Ran, listing};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What later backups have of a stored file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    /// Contents of files that are not stored again.
    Contents,
    /// The same file under a name of their own, where its table is unchanged.
    Shared,
    /// Nothing.
    Nothing,
}

/// A full backup and an incremental one, kept to be damaged again and again.
struct Chain {
    host: Host,
    full: Value,
    later: Value,
    other: PathBuf,
}

impl Chain {
    fn start() -> Self {
        let host = Host::with_database();
        host.database()
            .sql("CREATE TABLE still AS SELECT i, md5(i::text) FROM generate_series(1, 5000) i");
        let other = other_backup(&host);
        let full = host.back_up();
        host.write("later.txt", "later");
        host.database().sql("INSERT INTO item VALUES (5000, 'later')");
        let later = host.back_up();
        assert_eq!((&later["kind"], &later["parent"]), (&"incremental".into(), &full["id"]));
        let chain = Self { host, full, later, other };
        for (dir, kept) in chain.places() {
            copy(&dir, &kept);
        }
        chain
    }

    fn places(&self) -> [(PathBuf, PathBuf); 2] {
        let kept = |name: &str| self.host.path().join(name);
        [(self.host.repository(), kept("repository.kept")), (self.host.state(), kept("state.kept"))]
    }

    fn reset(&self) {
        for (dir, kept) in self.places() {
            fs::remove_dir_all(&dir).unwrap();
            copy(&kept, &dir);
        }
    }

    /// Damages each object in each way, and looks at what is left.
    fn damage(&self, objects: &[(PathBuf, Use)]) {
        let mut cases = 0;
        for (object, used) in objects {
            for (harm_name, harm) in HARMS {
                let what = format!("{}, {harm_name}", object.display());
                self.reset();
                let [whole, whole_later] =
                    [&self.full, &self.later].map(|it| self.read(it, object));
                harm(&self.host.backup_dir(&self.full).join(object), &self.other.join(object));
                if self.read(&self.full, object) == whole {
                    continue;
                }
                let is_later_harmed = self.read(&self.later, object) != whole_later;
                assert!(!is_later_harmed || *used == Use::Shared, "{what}");
                let is_later_whole = self.assert_named(object, *used, is_later_harmed, &what);
                self.assert_rest_comes_back(object, is_later_harmed, is_later_whole, &what);
                self.assert_next_is_whole(&what);
                cases += 1;
            }
        }
        println!("{cases} damages");
        assert!(cases >= objects.len() * (HARMS.len() - 1), "{cases}");
    }

    fn read(&self, record: &Value, object: &Path) -> Option<Vec<u8>> {
        fs::read(self.host.backup_dir(record).join(object)).ok()
    }

    /// `verify` names the object, with the backup that needs it; returns whether that one is
    /// whole.
    fn assert_named(&self, object: &Path, used: Use, is_later_harmed: bool, what: &str) -> bool {
        let found = self.host.run(&["verify", "--all", "--json"]).ended(6).json();
        let of = |record: &Value| -> Vec<Value> {
            let mut found = found.as_array().unwrap().iter();
            let found = found.find(|one| one["id"] == record["id"]).unwrap();
            found["damages"].as_array().unwrap().clone()
        };
        let damages = of(&self.full);
        let damage = damages.iter().find(|damage| damage["object"] == object.to_str().unwrap());
        let damage = damage.unwrap_or_else(|| panic!("{what}: {damages:?}"));
        let needed = used == Use::Contents || is_later_harmed;
        let by = if needed { vec![self.later["name"].clone()] } else { Vec::new() };
        assert_eq!(damage["needed_by"], Value::Array(by), "{what}");

        let later = of(&self.later);
        match object == Path::new("manifest.json") {
            // It may say of the archive what it said before.
            true => assert!(what.ends_with("cut short") || !later.is_empty(), "{what}"),
            false => {
                let lacks = used == Use::Contents || is_later_harmed;
                assert_eq!(!later.is_empty(), lacks, "{what}: {later:?}");
            }
        }
        later.is_empty()
    }

    /// The damaged backup is refused, and of the later one what it needs of the object.
    fn assert_rest_comes_back(
        &self,
        object: &Path,
        is_later_harmed: bool,
        is_later_whole: bool,
        what: &str,
    ) {
        let before = self.host.live_state();
        self.restore(&self.full, &["--yes"]).failed(6, "backup_damaged");
        assert_eq!(self.host.live_state(), before, "{what}");

        let to = self.host.path().join("to");
        let target = to.to_str().unwrap();
        let tree = to.join("files/uploads");
        let files = self.restore(&self.later, &["--only", "files", "--to", target]);
        // Of the files nothing is lost where another part is harmed.
        match is_later_whole || is_later_harmed {
            true => {
                assert_eq!(files.code, 0, "{what}: {files:?}");
                assert_eq!(listing(&tree), listing(&self.host.live()), "{what}");
                fs::remove_dir_all(&to).unwrap();
            }
            false => drop(files.failed(6, "backup_damaged")),
        }
        let saved = self.restore(&self.later, &["--salvage", "--only", "files", "--to", target]);
        assert!([0, 3].contains(&saved.code), "{what}: {saved:?}");
        assert_eq!(fs::read_to_string(tree.join("later.txt")).unwrap(), "later", "{what}");
        if !object.ends_with("uploads.tar.zst") {
            assert_eq!(listing(&tree), listing(&self.host.live()), "{what}");
        }
        fs::remove_dir_all(&to).unwrap();
        if object.starts_with("databases") {
            self.assert_rows(&self.later, is_later_harmed, what);
        }
    }

    fn restore(&self, record: &Value, arguments: &[&str]) -> Ran {
        self.host.run(&[&["restore", record["id"].as_str().unwrap()], arguments].concat())
    }

    fn assert_rows(&self, record: &Value, is_harmed: bool, what: &str) {
        let new = format!("{}_rows", self.host.database().name());
        let ran = self.restore(record, &["--database", &format!("shop={new}")]);
        if is_harmed {
            drop(ran.failed(6, "backup_damaged"));
            return;
        }
        assert_eq!(ran.code, 0, "{what}: {ran:?}");
        let sql = "SELECT (SELECT count(*) FROM item), (SELECT count(*) FROM still)";
        assert_eq!(Cluster::shared().psql(&new, sql), "1001|5000", "{what}");
        Cluster::shared().psql("postgres", &format!("DROP DATABASE {new}"));
    }

    /// The next backup, whatever it builds upon, holds everything.
    fn assert_next_is_whole(&self, what: &str) {
        let ran = self.host.run(&["backup", "--json"]);
        assert_eq!(ran.code, 0, "{what}: {ran:?}");
        let next = ran.json();
        self.host.run(&["verify", next["id"].as_str().unwrap(), "--level", "deep"]).ok();
        let to = self.host.path().join("to");
        self.restore(&next, &["--only", "files", "--to", to.to_str().unwrap()]).ok();
        assert_eq!(listing(&to.join("files/uploads")), listing(&self.host.live()), "{what}");
        fs::remove_dir_all(&to).unwrap();
        if what.starts_with("databases") {
            self.assert_rows(&next, false, what);
        }
    }

    /// The file of the unchanged table in the full backup's dump: the larger one.
    fn unchanged_table(&self) -> PathBuf {
        let dump = self.host.backup_dir(&self.full).join("databases/shop");
        let files = fs::read_dir(dump).unwrap().map(|entry| entry.unwrap());
        let files = files.filter(|entry| entry.file_name() != "toc.dat");
        let largest = files.max_by_key(|entry| entry.metadata().unwrap().len()).unwrap();
        Path::new("databases/shop").join(largest.file_name())
    }
}

#[test]
fn of_archive_index_and_what_describes_the_backup() {
    let chain = Chain::start();
    chain.damage(&[
        ("files/uploads.tar.zst".into(), Use::Contents),
        ("files/index.parquet".into(), Use::Nothing),
        ("manifest.json".into(), Use::Contents),
        ("SHA256SUMS".into(), Use::Nothing),
    ]);
}

/// Only questions read it, and answer without it as well.
#[test]
fn of_what_changed() {
    let host = Host::with_files();
    host.back_up();
    host.write("later.txt", "later");
    let later = host.back_up();
    fs::remove_file(host.live().join("later.txt")).unwrap();
    let last = host.back_up();
    let file = |record: &Value| host.backup_dir(record).join("files/changes.parquet");
    let (changes, whole) = (file(&later), fs::read(file(&later)).unwrap());
    let answers = || {
        let mut listed = host.json(&["list", "--containing", "uploads/later.txt"]);
        let listed: Vec<Value> =
            listed.as_array_mut().unwrap().iter_mut().map(|record| record["id"].take()).collect();
        let history = host.json(&["history", "uploads/later.txt"]);
        (host.json(&["find", "later.txt"]), history, listed)
    };
    let expected = answers();
    assert_eq!((&expected.1[1]["event"], expected.2.len()), (&"deleted".into(), 1));
    let id = later["id"].as_str().unwrap();
    for (what, harm) in HARMS {
        harm(&changes, &file(&last));
        assert_eq!(answers(), expected, "{what}");
        let ran = host.run(&["find", "later.txt"]).ok();
        assert!(ran.stderr.contains("is read in its place"), "{what}: {ran:?}");
        for level in ["full", "deep"] {
            let found = host.run(&["verify", id, "--level", level, "--json"]).ended(6).json();
            let damages = found[0]["damages"].as_array().unwrap();
            let named = damages.iter().any(|one| one["object"] == "files/changes.parquet");
            assert!(named, "{what}: {damages:?}");
        }
        let to = host.path().join("to");
        host.run(&["restore", id, "--to", to.to_str().unwrap()]).ok();
        assert_eq!(fs::read(to.join("files/uploads/later.txt")).unwrap(), b"later", "{what}");
        fs::remove_dir_all(&to).unwrap();
        fs::write(&changes, &whole).unwrap();
    }
    // The next backup builds upon one whose changes are missing.
    fs::remove_file(file(&last)).unwrap();
    assert_eq!(host.back_up()["kind"], "incremental");
    host.run(&["verify", id, "--level", "deep"]).ok();
}

#[test]
fn of_dump_roles_and_config() {
    let chain = Chain::start();
    chain.damage(&[
        (chain.unchanged_table(), Use::Shared),
        ("databases/shop/toc.dat".into(), Use::Shared),
        ("databases/globals.sql".into(), Use::Nothing),
        ("config/backstop.toml".into(), Use::Nothing),
    ]);
}
