//! Every kind of stored file × every kind of damage: verify names it, restore refuses it
//! before anything is touched, and what is undamaged can still be brought back.

use crate::support::cluster::Cluster;
use crate::support::host::Host;
use crate::support::image::TestContainer;
use crate::support::need::{self, Need};
use std::fs;
use std::path::{Path, PathBuf};

type Harm = fn(&Path);

/// What can happen to a file.
const HARMS: [(&str, Harm); 4] = [
    ("missing", |file| fs::remove_file(file).unwrap()),
    ("cut short", |file| {
        let file = fs::OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    }),
    ("one bit flipped", |file| {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }),
    ("empty", |file| fs::write(file, "").unwrap()),
];

/// What of a backup with one damaged file can still be brought back.
#[derive(Clone, Copy, PartialEq)]
enum Saved {
    Files,
    Database,
    Both,
    Nothing,
}

/// One stored file, relative to the backup, and what its damage leaves.
struct Object(PathBuf, Saved);

/// Harms each object in each way, on a copy of the backup.
fn assert_each_harm_is_found(host: &Host, objects: &[Object]) {
    let record = host.back_up();
    let (dir, whole) = (host.backup_dir(&record), host.path().join("whole"));
    copy(&dir, &whole);
    let before = host.live_state();
    for Object(object, saved) in objects {
        for (harm_name, harm) in HARMS {
            let what = format!("{}, {harm_name}", object.display());
            harm(&dir.join(object));
            let ran = host.run(&["verify", "--json"]).ended(6);
            let damages = ran.json()[0]["damages"].clone();
            let named: Vec<_> =
                damages.as_array().unwrap().iter().map(|one| &one["object"]).collect();
            assert!(
                named.iter().any(|name| *name == object.to_str().unwrap()),
                "{what}: {damages}"
            );

            let ran = host.run(&["restore", "latest", "--yes"]).failed(6, "backup_damaged");
            let name = object.file_name().unwrap().to_str().unwrap();
            assert!(ran.stderr.contains(name), "{what}: {ran:?}");
            assert_eq!(host.live_state(), before, "{what}");
            save_the_rest(host, *saved, &what);

            fs::remove_dir_all(&dir).unwrap();
            copy(&whole, &dir);
        }
    }
    assert_eq!(host.live_state(), before);
    assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 1, "no safety backup was taken");
    host.run(&["verify"]).ok();
}

/// Restores what can be, beside the live stack; what cannot be is refused.
fn save_the_rest(host: &Host, saved: Saved, what: &str) {
    let to = host.path().join("saved");
    let ran = host.run(&["restore", "latest", "--only", "files", "--to", to.to_str().unwrap()]);
    if matches!(saved, Saved::Files | Saved::Both) {
        assert_eq!(ran.code, 0, "{what}: {ran:?}");
        assert_eq!(fs::read_to_string(to.join("files/uploads/one.txt")).unwrap(), "one");
        fs::remove_dir_all(&to).unwrap();
    } else {
        assert_eq!(ran.code, 6, "{what}: {ran:?}");
        assert!(!to.exists(), "{what}");
    }
    let new = format!("{}_saved", host.database().name());
    let ran = host.run(&["restore", "latest", "--database", &format!("shop={new}")]);
    if matches!(saved, Saved::Database | Saved::Both) {
        assert_eq!(ran.code, 0, "{what}: {ran:?}");
        assert_eq!(Cluster::shared().psql(&new, "SELECT count(*) FROM item"), "1000", "{what}");
        Cluster::shared().psql("postgres", &format!("DROP DATABASE {new}"));
    } else {
        assert_eq!(ran.code, 6, "{what}: {ran:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// A data file of the dump in directory format.
fn data_file(host: &Host) -> PathBuf {
    let record = host.back_up();
    let dump = host.backup_dir(&record).join("databases/shop");
    let name = fs::read_dir(dump)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .find(|name| name != "toc.dat")
        .unwrap();
    host.run(&["delete", "latest", "--yes"]).ok();
    Path::new("databases/shop").join(name)
}

#[test]
fn of_what_describes_the_backup() {
    let host = Host::with_database();
    assert_each_harm_is_found(
        &host,
        &[
            Object("manifest.json".into(), Saved::Nothing),
            Object("SHA256SUMS".into(), Saved::Nothing),
        ],
    );
}

#[test]
fn of_archive_and_index() {
    let host = Host::with_database();
    assert_each_harm_is_found(
        &host,
        &[
            Object("files/uploads.tar.zst".into(), Saved::Database),
            Object("files/index.parquet".into(), Saved::Database),
        ],
    );
}

#[test]
fn of_a_dump_in_directory_format_and_the_roles() {
    let host = Host::with_database();
    let data = data_file(&host);
    assert_each_harm_is_found(
        &host,
        &[
            Object("databases/shop/toc.dat".into(), Saved::Files),
            Object(data, Saved::Files),
            Object("databases/globals.sql".into(), Saved::Files),
        ],
    );
}

#[test]
fn of_dumps_in_other_formats() {
    let host = Host::with_database();
    for (format, object) in [
        ("custom", "databases/shop.dump"),
        ("plain", "databases/shop.sql.zst"),
        ("tar", "databases/shop.tar.zst"),
    ] {
        host.configure_database(&format!("format = {format:?}"), "");
        assert_each_harm_is_found(&host, &[Object(object.into(), Saved::Files)]);
        host.run(&["delete", "latest", "--yes"]).ok();
        fs::remove_dir_all(host.path().join("whole")).unwrap();
    }
}

#[test]
fn of_a_containers_definition() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let container = TestContainer::create(&[], &[]);
    let host = Host::with_database();
    host.configure(&format!("[[containers]]\nselect = \"name={}\"\n", container.name));
    let object = format!("containers/{}.json", container.name);
    assert_each_harm_is_found(&host, &[Object(object.into(), Saved::Both)]);
}

#[test]
fn a_file_that_does_not_belong_to_the_backup_is_reported() {
    let host = Host::with_files();
    let record = host.back_up();
    for name in ["files/extra", "databases/extra.sql", "extra"] {
        let extra = host.backup_dir(&record).join(name);
        fs::create_dir_all(extra.parent().unwrap()).unwrap();
        fs::write(&extra, "extra").unwrap();
        let ran = host.run(&["verify"]).ended(6);
        assert!(ran.stdout.contains(&format!("{name} does not belong to the backup")), "{ran:?}");
        fs::remove_file(&extra).unwrap();
    }
    // An object that became a link leads somewhere else.
    let archive = host.backup_dir(&record).join("files/uploads.tar.zst");
    let moved = host.path().join("moved");
    fs::rename(&archive, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &archive).unwrap();
    assert!(host.run(&["verify"]).ended(6).stdout.contains("is not a file"));
    host.run(&["restore", "latest", "--yes"]).failed(6, "backup_damaged");
}
