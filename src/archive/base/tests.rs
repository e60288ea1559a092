use super::*;
use crate::archive::Contents;
use crate::archive::extract::{Extracted, Extraction, extract};
use crate::archive::sample::{self, COMPONENT, Packed, Plant, entries, pack_onto};
use crate::archive::scan::Excludes;
use crate::archive::source::{Compared, LiveSource, ReadAhead, StreamSource};
use crate::clock;
use crate::error::{Code, Error};
use crate::storage::Blob;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use std::process::Command;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Backups of one tree, each building upon the one before.
#[derive(Default)]
struct Chain {
    packs: Vec<(Packed, Timestamp)>,
}

impl Chain {
    fn back_up(&mut self, root: &Path) -> &Packed {
        let index = self.packs.last().map(|(packed, at)| (packed.index().unwrap(), *at));
        let contents = index.as_ref().map(|(index, _)| Contents::read(index).unwrap());
        let base = index.as_ref().map(|(index, at)| Base::new(index, COMPONENT, *at));
        // Changes of the last seconds count as certain here: a pause separates them from what
        // comes next. Twice the coarsest clock that Linux has.
        let certain = Duration::from_nanos(COARSEST_CLOCK_NS as u64);
        std::thread::sleep(Duration::from_millis(20));
        let at = clock::now() + certain;
        std::thread::sleep(Duration::from_millis(20));
        let live = LiveSource::open(root, Excludes::none()).unwrap();
        let mut source = ReadAhead::start(Compared::new(live, base)).unwrap();
        let id = format!("{:04}", self.packs.len());
        self.packs.push((pack_onto(&id, contents.as_ref(), &mut source), at));
        &self.packs[self.packs.len() - 1].0
    }

    fn restore(&self, number: usize, target: &Path) -> Result<Extracted> {
        let archives: BTreeMap<&str, Blob> =
            self.packs.iter().map(|(packed, _)| (packed.id.as_str(), packed.blob())).collect();
        let locate = |stored_in: &str, _: &str| {
            archives
                .get(stored_in)
                .cloned()
                .ok_or_else(|| Error::new(Code::BackupNotFound, "find archive of", stored_in))
        };
        let (packed, _) = &self.packs[number];
        let index = packed.index()?;
        let what = Extraction {
            archive: &packed.blob(),
            locate: Some(&locate),
            target,
            index: Some((&index, COMPONENT)),
            select: None,
            task: "restore",
        };
        extract(&what, &sample::silent(), &CancellationToken::new())
    }
}

/// How many contents an archive holds itself.
fn stored(packed: &Packed) -> usize {
    let own = |row: &&Row| row.place.is_some() && row.stored_in == packed.id;
    packed.rows().iter().filter(own).count()
}

#[test]
fn what_is_unchanged_renamed_or_copied_is_not_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for number in 0..50 {
        fs::write(path(&format!("{number:02}")), vec![number; 3000]).unwrap();
    }
    fs::write(path("large"), vec![7; 1 << 20]).unwrap();
    fs::hard_link(path("large"), path("linked")).unwrap();
    let mut chain = Chain::default();
    assert_eq!(stored(chain.back_up(dir.path())), 51);
    let again = chain.back_up(dir.path());
    assert_eq!(stored(again), 0);
    assert_eq!(again.verify().unwrap().file_count, 0);
    assert_eq!(again.rows().len(), 53);
    assert_eq!((again.written.file_count, again.written.source_bytes), (52, 150_000 + (1 << 20)));

    fs::rename(path("large"), path("moved")).unwrap();
    fs::copy(path("07"), path("copy of 07")).unwrap();
    fs::set_permissions(path("08"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(path("09")).unwrap();
    assert_eq!(stored(chain.back_up(dir.path())), 0);

    // Same size and time, other bytes: the change time tells.
    let mtime = fs::metadata(path("10")).unwrap().modified().unwrap();
    fs::write(path("10"), vec![99; 3000]).unwrap();
    fs::File::options().write(true).open(path("10")).unwrap().set_modified(mtime).unwrap();
    let changed = chain.back_up(dir.path());
    assert_eq!(stored(changed), 1);
    assert_eq!(changed.verify().unwrap().file_count, 1, "nothing but the file");
    let target = tempfile::tempdir().unwrap();
    chain.restore(3, target.path()).unwrap();
    sample::assert_same(dir.path(), target.path());
}

#[test]
fn a_change_that_its_time_may_hide_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "before").unwrap();
    let mut chain = Chain::default();
    chain.back_up(dir.path());
    let index = chain.packs[0].0.index().unwrap();
    let mut scan = crate::archive::scan::Scan::open(dir.path(), Excludes::none()).unwrap();
    let entry = scan.find_map(|scanned| match scanned {
        crate::archive::scan::Scanned::Entry(entry) if entry.kind == Kind::File => Some(entry),
        _ => None,
    });
    let entry = entry.unwrap();
    let changed_at = Timestamp::from_nanosecond(i128::from(entry.ctime_ns)).unwrap();
    let held = |after: Duration| {
        let mut base = Base::new(&index, COMPONENT, changed_at + after);
        matches!(base.meet(&entry, true).unwrap(), Met::Held(_))
    };
    assert!(held(Duration::from_secs(3)));
    assert!(!held(Duration::from_secs(2)));
    assert!(!held(Duration::ZERO));
    let mut base = Base::new(&index, COMPONENT, changed_at + Duration::from_secs(3));
    let met = base.meet(&entry, false).unwrap();
    assert!(matches!(met, Met::Other(_)), "its file system proves nothing: {met:?}");
}

#[test]
fn a_stream_is_looked_up_by_content() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), vec![1; 40_000]).unwrap();
    let mut chain = Chain::default();
    chain.back_up(dir.path());
    fs::write(dir.path().join("b"), vec![2; 40_000]).unwrap();
    let tar = dir.path().with_extension("tar");
    let packed = Command::new("tar")
        .args(["--format=posix", "--sort=name", "-cf"])
        .arg(&tar)
        .arg("-C")
        .arg(dir.path())
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    let contents = Contents::read(&chain.packs[0].0.index().unwrap()).unwrap();
    let stream = fs::File::open(&tar).unwrap();
    fs::remove_file(&tar).unwrap();
    let mut source = StreamSource::new(stream, "tar", Path::new(""), Excludes::none());
    let packed = pack_onto("0001", Some(&contents), &mut source);
    assert_eq!(stored(&packed), 1, "only b");
    chain.packs.push((packed, clock::now()));
    let target = tempfile::tempdir().unwrap();
    chain.restore(1, target.path()).unwrap();
    assert_eq!(fs::read(target.path().join("a")).unwrap(), vec![1; 40_000]);
    assert_eq!(fs::read(target.path().join("b")).unwrap(), vec![2; 40_000]);
}

#[test]
fn what_did_not_change_is_not_told_though_it_was_read_again() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    fs::hard_link(dir.path().join("c"), dir.path().join("d")).unwrap();
    let mut chain = Chain::default();
    chain.back_up(dir.path());
    // Other change times, and nothing else.
    let root = fs::metadata(dir.path()).unwrap().modified().unwrap();
    for name in ["a", "b"] {
        let modified = fs::metadata(dir.path().join(name)).unwrap().modified().unwrap();
        fs::remove_file(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name), name).unwrap();
        let file = fs::File::options().write(true).open(dir.path().join(name)).unwrap();
        file.set_modified(modified).unwrap();
    }
    fs::remove_file(dir.path().join("b")).unwrap();
    fs::File::open(dir.path()).unwrap().set_modified(root).unwrap();
    let changed = chain.back_up(dir.path()).changed();
    let told: Vec<_> = changed.iter().map(|(row, gone)| (row.entry.shown(), *gone)).collect();
    assert_eq!(told, [("b".to_owned(), true)]);
}

#[test]
fn a_missing_earlier_archive_is_damage_and_not_an_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "content").unwrap();
    let mut chain = Chain::default();
    chain.back_up(dir.path());
    chain.back_up(dir.path());
    let archive = chain.packs[0].0.archive();
    fs::write(&archive, &fs::read(&archive).unwrap()[..10]).unwrap();
    let target = tempfile::tempdir().unwrap();
    let error = chain.restore(1, target.path()).unwrap_err();
    assert_eq!(error.code(), Code::BackupDamaged);
}

/// One change of a tree.
#[derive(Debug, Clone)]
enum Edit {
    Write(usize, usize),
    /// Other bytes, with size and modification time as before.
    Disguise(usize),
    Rename(usize, usize),
    Delete(usize),
    Directory(usize),
    Link(usize, usize),
    Copy(usize, usize),
    Mode(usize, u32),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let any = any::<usize>;
    let edit = prop_oneof![
        2 => (any(), 0usize..9000).prop_map(|(file, size)| Edit::Write(file, size)),
        2 => any().prop_map(Edit::Disguise),
        2 => (any(), any()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => any().prop_map(Edit::Delete),
        1 => any().prop_map(Edit::Directory),
        1 => (any(), any()).prop_map(|(from, to)| Edit::Link(from, to)),
        1 => (any(), any()).prop_map(|(from, to)| Edit::Copy(from, to)),
        1 => (any(), 0o400u32..0o1000).prop_map(|(file, mode)| Edit::Mode(file, mode)),
    ];
    prop::collection::vec(edit, 0..8)
}

/// Makes one change; what does not fit is left out.
fn apply(root: &Path, edit: &Edit) {
    let listed = entries(root);
    let at = |number: &usize| root.join(&listed[number % listed.len()].0.path);
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_file());
    let beside = |number: &usize, name: &str| {
        let parent = at(number);
        let parent = if parent.is_dir() { parent } else { parent.parent().unwrap().to_owned() };
        parent.join(format!("{name}-{}", number % 7))
    };
    match edit {
        Edit::Write(to, size) => {
            let path = beside(to, "written");
            let free = path.symlink_metadata().is_err() || is_file(&path);
            if free {
                fs::write(path, vec![*size as u8; *size]).unwrap();
            }
        }
        Edit::Disguise(file) if is_file(&at(file)) => {
            let found = fs::metadata(at(file)).unwrap();
            let mut bytes = fs::read(at(file)).unwrap();
            bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
            let mtime = crate::archive::entry::nanoseconds(
                std::os::unix::fs::MetadataExt::mtime(&found),
                std::os::unix::fs::MetadataExt::mtime_nsec(&found),
            );
            fs::write(at(file), bytes).unwrap();
            sample::set_mtime(&at(file), mtime);
        }
        Edit::Rename(from, to) => {
            let _ = fs::rename(at(from), beside(to, "moved"));
        }
        Edit::Delete(file) if at(file) != root => {
            let _ = fs::remove_file(at(file)).or_else(|_| fs::remove_dir_all(at(file)));
        }
        Edit::Directory(file) if is_file(&at(file)) => {
            fs::remove_file(at(file)).unwrap();
            fs::create_dir(at(file)).unwrap();
            fs::write(at(file).join("inside"), "now a directory").unwrap();
        }
        Edit::Link(from, to) if is_file(&at(from)) => {
            let _ = fs::hard_link(at(from), beside(to, "linked"));
        }
        Edit::Copy(from, to) if is_file(&at(from)) => {
            let path = beside(to, "copied");
            if path.symlink_metadata().is_err() {
                fs::copy(at(from), path).unwrap();
            }
        }
        Edit::Mode(file, mode) if is_file(&at(file)) => {
            fs::set_permissions(at(file), fs::Permissions::from_mode(*mode)).unwrap();
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_backup_of_a_chain_restores_to_its_tree(
        tree in sample::trees(),
        edits in prop::collection::vec(edits(), 1..4),
    ) {
        check_chain(&tree, &edits);
    }
}

/// What is told as changed makes of the earlier tree the later one, and tells no more.
fn check_changes(before: &[Row], after: &Packed, changed: &[(Row, bool)]) {
    let by_path = |rows: &[Row]| -> BTreeMap<_, _> {
        rows.iter().map(|row| (row.entry.path.clone(), row.clone())).collect()
    };
    let mut told = by_path(before);
    for (row, gone) in changed {
        let path = &row.entry.path;
        let known = match gone {
            true => told.remove(path),
            false => told.insert(path.clone(), row.clone()),
        };
        match known {
            Some(known) => assert!(*gone || !known.tells_the_same(row), "{path:?} is the same"),
            None => assert!(!gone, "{path:?} was not there"),
        }
    }
    let rows = by_path(&after.rows());
    assert!(told.keys().eq(rows.keys()));
    assert!(told.values().zip(rows.values()).all(|(told, row)| told.tells_the_same(row)));
}

fn check_chain(tree: &[Plant], edits: &[Vec<Edit>]) {
    let dir = tempfile::tempdir().unwrap();
    sample::plant(dir.path(), tree);
    let mut chain = Chain::default();
    chain.back_up(dir.path()).verify().unwrap();
    let mut expected = vec![entries(dir.path())];
    for edits in edits {
        edits.iter().for_each(|edit| apply(dir.path(), edit));
        expected.push(entries(dir.path()));
        let before = chain.packs.last().map(|(packed, at)| (packed.rows(), packed.index(), *at));
        let packed = chain.back_up(dir.path());
        packed.verify().unwrap();
        let (rows, index, at) = before.unwrap();
        check_changes(&rows, packed, &packed.changed());
        // What cannot be compared before it is read is compared afterwards, to the same end.
        let base = Base::new(&index.unwrap(), COMPONENT, at);
        let mut source = LiveSource::open(dir.path(), Excludes::none()).unwrap();
        let read = sample::pack_comparing("other", None, Some(base), &mut source);
        check_changes(&rows, &read, &read.changed());
    }
    for (number, expected) in expected.iter().enumerate() {
        let target = tempfile::tempdir().unwrap();
        chain.restore(number, target.path()).unwrap();
        let restored = entries(target.path());
        let pairs = expected.iter().zip(&restored);
        for ((left, left_bytes), (right, right_bytes)) in pairs {
            assert_eq!(left, right, "backup {number}");
            assert!(left_bytes == right_bytes, "backup {number}: content of {}", left.shown());
        }
        assert_eq!(expected.len(), restored.len(), "backup {number}");
    }
}
