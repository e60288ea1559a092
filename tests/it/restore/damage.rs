//! Every kind of stored file × every kind of damage: verify names it, restore refuses it
//! before anything is touched, and what is undamaged can still be brought back.

use crate::support::cluster::Cluster;
use crate::support::host::Host;
use crate::support::image::TestContainer;
use crate::support::need::{self, Need};
use std::fs;
use std::path::{Path, PathBuf};

/// Harms a file; the other is that of another backup.
pub(super) type Harm = fn(&Path, &Path);

/// What can happen to a file.
pub(super) const HARMS: [(&str, Harm); 5] = [
    ("missing", |file, _| fs::remove_file(file).unwrap()),
    ("cut short", |file, _| {
        let file = fs::OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    }),
    ("one bit flipped", |file, _| {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }),
    ("empty", |file, _| fs::write(file, "").unwrap()),
    ("another backup's", |file, other| {
        fs::copy(other, file).unwrap();
    }),
];

/// What of a backup with one damaged file can still be brought back.
#[derive(Clone, Copy, PartialEq)]
enum Saved {
    Files,
    Database,
    Both,
    Nothing,
}

/// One stored file, relative to the backup, what its damage leaves without and with
/// `--salvage`.
struct Object(PathBuf, Saved, Saved);

/// The directory of a backup of other data, kept beside the repository.
pub(super) fn other_backup(host: &Host) -> PathBuf {
    let config = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), format!("# another time\n{config}")).unwrap();
    host.write("one.txt", "another");
    host.database().sql("INSERT INTO item VALUES (5000, 'another')");
    let record = host.back_up();
    let kept = host.path().join("other");
    copy(&host.backup_dir(&record), &kept);
    host.run(&["delete", "latest", "--yes"]).ok();
    host.database().sql("DELETE FROM item WHERE id = 5000");
    host.write("one.txt", "one");
    fs::write(host.config(), config).unwrap();
    kept
}

/// Harms each object in each way, on a copy of the backup.
fn assert_each_harm_is_found(host: &Host, objects: &[Object]) {
    let other = other_backup(host);
    let record = host.back_up();
    let (dir, whole) = (host.backup_dir(&record), host.path().join("whole"));
    copy(&dir, &whole);
    let before = host.live_state();
    let mut alike = Vec::new();
    for Object(object, saved, salvaged) in objects {
        for (number, (harm_name, harm)) in HARMS.into_iter().enumerate() {
            let what = format!("{}, {harm_name}", object.display());
            harm(&dir.join(object), &other.join(object));
            if fs::read(dir.join(object)).ok() == fs::read(whole.join(object)).ok() {
                // Another backup's is the same where nothing of it changed.
                alike.push(what);
                continue;
            }
            let level = if number % 2 == 0 { "full" } else { "deep" };
            let ran = host.run(&["verify", "--level", level, "--json"]).ended(6);
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
            salvage_the_rest(host, object, *salvaged, &what);

            fs::remove_dir_all(&dir).unwrap();
            copy(&whole, &dir);
        }
    }
    // Roles and containers are the same in the other one, and lists of dumps of the same second.
    let same = ["containers/", "globals.sql", "toc.dat"];
    alike.retain(|what| !same.iter().any(|it| what.contains(it)));
    assert_eq!(alike, Vec::<String>::new(), "not tried");
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

/// Restores with `--salvage` what is whole, and names what is not.
fn salvage_the_rest(host: &Host, object: &Path, saved: Saved, what: &str) {
    let before = host.live_state();
    let ran = host.run(&["restore", "latest", "--salvage", "--dry-run", "--json"]);
    let lost = ran.json()["lost"].clone();
    assert_eq!(ran.code, if lost == serde_json::json!([]) { 0 } else { 3 }, "{what}: {ran:?}");
    let named = lost.as_array().unwrap().iter().any(|one| {
        let named = one["object"].as_str().unwrap();
        object.starts_with(named) || named == object.to_str().unwrap()
    });
    let describes = ["manifest.json", "SHA256SUMS"].iter().any(|name| object == Path::new(name));
    // Of an archive nothing may be lost: not where only its table of frames is cut.
    let may_be_whole = object.to_string_lossy().contains(".zst");
    assert!(named || describes || (may_be_whole && ran.code == 0), "{what}: {lost}");
    assert_eq!(host.live_state(), before, "{what}");

    let to = host.path().join("salvaged");
    let new = format!("{}_saved", host.database().name());
    let renamed = format!("shop={new}");
    let arguments =
        ["restore", "latest", "--salvage", "--to", to.to_str().unwrap(), "--database", &renamed];
    let ran = host.run(&arguments);
    assert!([0, 3].contains(&ran.code), "{what}: {ran:?}");
    if matches!(saved, Saved::Files | Saved::Both) {
        assert_eq!(fs::read_to_string(to.join("files/uploads/one.txt")).unwrap(), "one", "{what}");
    }
    if matches!(saved, Saved::Database | Saved::Both) {
        assert_eq!(Cluster::shared().psql(&new, "SELECT count(*) FROM item"), "1000", "{what}");
        Cluster::shared().psql("postgres", &format!("DROP DATABASE {new}"));
    } else {
        assert!(ran.stdout.contains("shop: does not come back: databases/shop"), "{what}: {ran:?}");
    }
    let _ = fs::remove_dir_all(&to);
}

pub(super) fn copy(from: &Path, to: &Path) {
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
            Object("manifest.json".into(), Saved::Nothing, Saved::Both),
            Object("SHA256SUMS".into(), Saved::Nothing, Saved::Both),
            Object("config/backstop.toml".into(), Saved::Both, Saved::Both),
        ],
    );
}

#[test]
fn of_archive_and_index() {
    let host = Host::with_database();
    assert_each_harm_is_found(
        &host,
        &[
            Object("files/uploads.tar.zst".into(), Saved::Database, Saved::Database),
            Object("files/index.parquet".into(), Saved::Database, Saved::Database),
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
            Object("databases/shop/toc.dat".into(), Saved::Files, Saved::Files),
            Object(data, Saved::Files, Saved::Files),
            Object("databases/globals.sql".into(), Saved::Files, Saved::Both),
        ],
    );
}

#[test]
fn of_encrypted_objects() {
    let host = Host::with_database();
    let key = host.path().join("shop.key");
    let made = host.json(&["key", "generate", "--output", key.to_str().unwrap()]);
    let recipients = [made["recipient"].as_str().unwrap()];
    let keys = format!("recipients = {recipients:?}\nidentity_file = {key:?}\n");
    host.configure(&format!("[encryption]\n{keys}"));
    assert_each_harm_is_found(
        &host,
        &[
            Object("files/uploads.tar.zst.age".into(), Saved::Database, Saved::Database),
            Object("files/index.parquet.age".into(), Saved::Database, Saved::Database),
            Object("databases/shop/toc.dat.age".into(), Saved::Files, Saved::Files),
            Object("databases/globals.sql.age".into(), Saved::Files, Saved::Both),
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
        assert_each_harm_is_found(&host, &[Object(object.into(), Saved::Files, Saved::Files)]);
        host.run(&["delete", "latest", "--yes"]).ok();
        fs::remove_dir_all(host.path().join("whole")).unwrap();
        fs::remove_dir_all(host.path().join("other")).unwrap();
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
    assert_each_harm_is_found(&host, &[Object(object.into(), Saved::Both, Saved::Both)]);
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

/// Ten files that no compression makes smaller, three MiB each: about four frames.
fn write_noise(host: &Host) {
    let mut state = 88_172_645_463_325_252_u64;
    for number in 0..10 {
        let noise = (0..3 << 17).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let noise: Vec<u8> = noise.collect();
        fs::write(host.live().join(format!("noise-{number}")), noise).unwrap();
    }
}

/// The names below `dir` whose files are those of `of`.
fn same_files(dir: &Path, of: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap());
    let same = entries.filter(|entry| {
        let (ours, theirs) = (fs::read(entry.path()), fs::read(of.join(entry.file_name())));
        matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
    });
    let mut names: Vec<String> =
        same.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_damaged_frame_costs_the_files_in_it_and_no_others() {
    let host = Host::with_files();
    write_noise(&host);
    fs::hard_link(host.live().join("noise-4"), host.live().join("link-of-4")).unwrap();
    let full = host.back_up();
    host.write("later", "later");
    let child = host.back_up();
    let original = host.path().join("original");
    copy(&host.live(), &original);
    let archive = host.backup_dir(&full).join("files/uploads.tar.zst");
    let whole = fs::read(&archive).unwrap();

    let salvage = |record: &serde_json::Value, name: &str| {
        let to = host.path().join(name);
        let id = record["id"].as_str().unwrap();
        let ran = host
            .run(&["restore", id, "--salvage", "--to", to.to_str().unwrap(), "--json"])
            .ended(3);
        let lost = ran.json()["lost"].clone();
        assert_eq!(lost.as_array().unwrap().len(), 1, "{lost}");
        assert_eq!(lost[0]["component"], "uploads");
        let mut lost: Vec<String> = serde_json::from_value(lost[0]["files"].clone()).unwrap();
        lost.sort();
        let saved = same_files(&to.join("files/uploads"), &original);
        let left: usize = fs::read_dir(to.join("files/uploads")).unwrap().count();
        assert!(left == saved.len() || left == saved.len() + 1, "only `below` is a directory");
        (saved, lost)
    };
    // One bit in the middle: one frame of four.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&archive, &flipped).unwrap();
    for (record, extra) in [(&full, 0), (&child, 1)] {
        let (saved, lost) = salvage(record, &format!("flipped-{extra}"));
        assert!((1..=5).contains(&lost.len()), "{lost:?}");
        assert_eq!(saved.len() + lost.len(), 12 + extra, "{saved:?} {lost:?}");
        assert_eq!(lost.contains(&"noise-4".into()), lost.contains(&"link-of-4".into()));
    }
    // Half of it is gone, and with it the table of its frames.
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let (saved, lost) = salvage(&full, "cut");
    assert!(saved.len() >= 3 && lost.len() >= 4, "{saved:?} {lost:?}");
    // The table alone is damaged: nothing is lost.
    fs::write(&archive, &whole[..whole.len() - 3]).unwrap();
    let to = host.path().join("table");
    host.run(&["restore", full["id"].as_str().unwrap(), "--to", to.to_str().unwrap()]).ended(6);
    host.run(&["restore", full["id"].as_str().unwrap(), "--salvage", "--to", to.to_str().unwrap()])
        .ok();
    assert_eq!(same_files(&to.join("files/uploads"), &original).len(), 12);
    // The earlier backup's manifest is gone, its archive is not.
    fs::write(&archive, &whole).unwrap();
    let manifest = host.backup_dir(&full).join("manifest.json");
    let text = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    let to = host.path().join("parent");
    let id = child["id"].as_str().unwrap();
    host.run(&["restore", id, "--to", to.to_str().unwrap()]).ended(6);
    host.run(&["restore", id, "--salvage", "--to", to.to_str().unwrap()]).ok();
    assert_eq!(same_files(&to.join("files/uploads"), &original).len(), 13);
    fs::write(&manifest, text).unwrap();

    // In place the question names what will be missing; the whole tree is kept aside.
    fs::write(&archive, &flipped).unwrap();
    let ran = host.run(&["restore", id, "--salvage", "--dry-run"]).ended(3);
    assert!(ran.stdout.contains("DAMAGED: uploads: comes back without"), "{ran:?}");
    assert!(ran.stdout.contains("lost noise-"), "{ran:?}");
    host.run(&["restore", id, "--yes"]).failed(6, "backup_damaged");
    let ran = host.run(&["restore", id, "--salvage", "--yes", "--no-safety", "--json"]).ended(3);
    let lost = ran.json()["lost"][0]["file_count"].as_u64().unwrap() as usize;
    assert_eq!(same_files(&host.live(), &original).len() + lost, 13);
    host.run(&["rollback", "--yes"]).ok();
    assert_eq!(same_files(&host.live(), &original).len(), 13);
    // Where nothing is left to restore, nothing live is replaced.
    fs::remove_file(&archive).unwrap();
    host.run(&["restore", full["id"].as_str().unwrap(), "--salvage", "--yes"])
        .failed(6, "backup_damaged");
    assert_eq!(same_files(&host.live(), &original).len(), 13);
    fs::write(&archive, &flipped).unwrap();

    // What is known to be damaged is stored anew by the next backup.
    host.run(&["verify", full["id"].as_str().unwrap()]).ended(6);
    let next = host.back_up();
    assert_eq!(next["kind"], "full");
    let to = host.path().join("anew");
    host.run(&["restore", "latest", "--to", to.to_str().unwrap()]).ok();
    assert_eq!(same_files(&to.join("files/uploads"), &original).len(), 13);
    assert_eq!(host.back_up()["kind"], "incremental");
}
