//! What is answered out of changes is what the whole indexes answer.

mod reference;

use super::{Criteria, FilePath, containing, find, history};
use crate::archive::entry::{Entry, Kind as FileKind, tree_order};
use crate::archive::index::{IndexReader, IndexWriter, Place, Row};
use crate::archive::{Base, Lists};
use crate::catalog::{BackupRecord, Catalog, Changes, Query, Source, Status};
use crate::progress::{Progress, Silent};
use crate::repository::BackupId;
use crate::repository::manifest::{Component, Detail, FilesDetail, Kind, Reason};
use crate::storage::Blob;
use jiff::{Span, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;
use reference::{containing_in_all, find_in_all, history_in_all};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

/// The files of one tree: what version of each is there.
type Tree = BTreeMap<usize, u8>;

const PATHS: [&[u8]; 8] =
    [b"", b"a", b"a/x.jpg", b"a/y.jpg", b"a/z.txt", b"b.jpg", b"d", b"n\xff%.jpg"];
const COMPONENTS: [&str; 2] = ["one", "it's"];
const PATTERNS: [&str; 9] =
    ["", "*", "x", "*.jpg", "one/a/*", "it's/", "/a/y.jpg", "*/d", "nowhere"];

/// One backup: its kind, how the trees change before it, its reason, by how many hours it comes
/// after the one before, which trees it has, whether its changes can be read, whether it is
/// deleted in the end.
#[derive(Debug, Clone)]
struct Step {
    kind: Kind,
    edits: Vec<(usize, usize, Option<u8>)>,
    reason: Reason,
    hours: i64,
    has_second: bool,
    is_damaged: bool,
    is_deleted: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        1 => Just(Kind::Full),
        4 => Just(Kind::Incremental),
        1 => Just(Kind::Differential),
    ];
    let version = prop_oneof![3 => (0u8..12).prop_map(Some), 2 => Just(None)];
    let edit = (0..COMPONENTS.len(), 1..PATHS.len(), version);
    let reason = prop_oneof![3 => Just(Reason::Scheduled), 1 => Just(Reason::Manual)];
    let rest = (reason, -2i64..20, prop::bool::weighted(0.8));
    let harm = (prop::bool::weighted(0.1), prop::bool::weighted(0.15));
    let step = (kind, prop::collection::vec(edit, 0..5), rest, harm).prop_map(
        |(kind, edits, (reason, hours, has_second), (is_damaged, is_deleted))| Step {
            kind,
            edits,
            reason,
            hours,
            has_second,
            is_damaged,
            is_deleted,
        },
    );
    prop::collection::vec(step, 1..14)
}

#[derive(Debug, Clone)]
struct Asked {
    pattern: &'static str,
    since: Option<Index>,
    until: Option<Index>,
    reason: Option<Reason>,
    sizes: (Option<u64>, Option<u64>),
    sha256: Option<u8>,
    limit: Option<u64>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let maybe = |least: u64, most: u64| prop::option::weighted(0.3, least..most);
    (
        prop::sample::select(PATTERNS.to_vec()),
        prop::option::weighted(0.3, any::<Index>()),
        prop::option::weighted(0.3, any::<Index>()),
        prop::option::weighted(0.3, Just(Reason::Manual)),
        (maybe(0, 6), maybe(0, 6)),
        prop::option::weighted(0.2, 0u8..4),
        maybe(0, 5),
    )
        .prop_map(|(pattern, since, until, reason, sizes, sha256, limit)| Asked {
            pattern,
            since,
            until,
            reason,
            sizes,
            sha256,
            limit,
        })
}

fn row(component: &str, id: &BackupId, path: usize, version: u8) -> Row {
    let kind = match version {
        _ if path < 2 => FileKind::Directory,
        0..9 => FileKind::File,
        9..11 => FileKind::Symlink,
        _ => FileKind::Hardlink,
    };
    let is_file = kind == FileKind::File;
    let link_target = matches!(version, 9..12).then(|| OsString::from(version.to_string()));
    Row {
        component: component.into(),
        entry: Entry {
            path: PathBuf::from(OsString::from_vec(PATHS[path].to_vec())),
            kind,
            size: if is_file { u64::from(version / 2) } else { 0 },
            mode: u32::from(version % 2),
            uid: 0,
            gid: 0,
            user: None,
            group: None,
            mtime_ns: i64::from(version / 3) * 1_500,
            // Nobody is told of these two.
            ctime_ns: 1 + id.as_str().len() as i64,
            device: 0,
            inode: 1,
            nlink: 1,
            link_target: link_target.filter(|_| path >= 2),
            xattrs: Vec::new(),
            rdev: None,
        },
        sha256: is_file.then_some([version / 4; 32]),
        changed: false,
        stored_in: id.to_string(),
        archive: "files/x.tar.zst".into(),
        place: is_file.then_some(Place { frame: 0, offset: 512, sparse: false }),
    }
}

/// A catalog and the lists of its backups.
struct World {
    dir: tempfile::TempDir,
    records: Vec<BackupRecord>,
    /// Those whose changes cannot be read.
    damaged: BTreeSet<BackupId>,
}

impl World {
    fn new(steps: &[Step]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world = Self { dir, records: Vec::new(), damaged: BTreeSet::new() };
        let mut trees = [Tree::from([(0, 0)]), Tree::from([(0, 0)])];
        let mut at: Timestamp = "2026-11-01T12:00:00.25Z".parse().unwrap();
        let mut deleted = Vec::new();
        for step in steps {
            for (component, path, version) in &step.edits {
                match version {
                    Some(version) => drop(trees[*component].insert(*path, *version)),
                    None => drop(trees[*component].remove(path)),
                }
            }
            at += Span::new().hours(step.hours);
            world.back_up(step, &trees, at);
            let id = world.records[world.records.len() - 1].id.clone();
            if step.is_damaged {
                world.damaged.insert(id.clone());
            }
            deleted.extend(step.is_deleted.then_some(id));
        }
        world.records.retain(|record| !deleted.contains(&record.id));
        let mut session = Catalog::in_dir(world.dir.path()).session(&silent()).unwrap();
        world.records.iter().for_each(|record| session.put(record).unwrap());
        world
    }

    fn index(&self, id: &BackupId) -> PathBuf {
        self.dir.path().join(format!("{id}.parquet"))
    }

    fn changes(&self, id: &BackupId) -> PathBuf {
        self.dir.path().join(format!("{id}.changes.parquet"))
    }

    fn back_up(&mut self, step: &Step, trees: &[Tree; 2], at: Timestamp) {
        let id = BackupId::random().unwrap();
        let full = |record: &&BackupRecord| record.kind == Kind::Full;
        let parent = match step.kind {
            Kind::Full => None,
            Kind::Incremental => self.records.last(),
            Kind::Differential => self.records.iter().rev().find(full),
        };
        let kind = if parent.is_some() { step.kind } else { Kind::Full };
        let before = parent.map(|it| {
            let index = Blob::file(&self.index(&it.id)).unwrap();
            (it, IndexReader::open(&index).unwrap())
        });
        let index = IndexWriter::create(&self.index(&id)).unwrap();
        let changes = IndexWriter::create_changes(&self.changes(&id)).unwrap();
        let mut lists = Lists::new(index, before.as_ref().map(|_| changes));
        let mut components = Vec::new();
        for (name, tree) in COMPONENTS.iter().zip(trees).take(1 + usize::from(step.has_second)) {
            let before = before.as_ref().filter(|(parent, _)| {
                parent.components.iter().any(|component| component.name == *name)
            });
            lists.compare(before.map(|(_, index)| Base::new(index, name, at)));
            let mut rows: Vec<Row> =
                tree.iter().map(|(path, version)| row(name, &id, *path, *version)).collect();
            rows.sort_by(|one, other| tree_order(&one.entry.path, &other.entry.path));
            rows.iter().for_each(|row| lists.add(row).unwrap());
            lists.end_tree().unwrap();
            let detail = Detail::Files(FilesDetail {
                path: None,
                volume: None,
                object: "files/x.tar.zst".into(),
                elsewhere: Vec::new(),
                changes_since: before.map(|(parent, _)| parent.id.clone()),
                capture: "archive".into(),
                exclude: Vec::new(),
                unreadable: Vec::new(),
            });
            components.push(Component {
                name: (*name).into(),
                source_bytes: 0,
                stored_bytes: 0,
                file_count: 0,
                detail,
            });
        }
        lists.finish().unwrap();
        let name = format!("backup_{id}");
        let mut record = BackupRecord::in_progress(id, name, "shop", kind, step.reason, at);
        record.sequence = self.records.len() as u64 + 1;
        record.status = Status::Completed;
        record.components = components;
        self.records.push(record);
    }

    fn query(&self, indexes: Vec<(BackupId, PathBuf)>, changes: Vec<Changes>) -> Query {
        let session = Catalog::in_dir(self.dir.path()).session(&silent()).unwrap();
        let source = Source { session, repository: None, indexes, changes };
        Query::over(vec![source]).unwrap()
    }

    /// Over all indexes.
    fn whole(&self) -> Query {
        let index = |record: &BackupRecord| (record.id.clone(), self.index(&record.id));
        self.query(self.records.iter().map(index).collect(), Vec::new())
    }

    /// Over changes wherever they tell enough.
    fn told(&self) -> Query {
        let (mut indexes, mut changes, mut read) = (Vec::new(), Vec::new(), BTreeSet::new());
        for record in &self.records {
            let since = super::reading::since(record);
            let is_told = !since.is_empty()
                && !self.damaged.contains(&record.id)
                && since.values().all(|parent| read.contains(parent));
            read.insert(record.id.clone());
            let backup = record.id.clone();
            match is_told {
                true => changes.push(Changes { file: self.changes(&backup), backup, since }),
                false => indexes.push((backup.clone(), self.index(&backup))),
            }
        }
        self.query(indexes, changes)
    }

    fn criteria(&self, asked: &Asked) -> Criteria {
        let time = |index: &Index| match self.records.is_empty() {
            true => "2026-11-02T00:00:00Z".parse().unwrap(),
            false => index.get(&self.records).started_at,
        };
        Criteria {
            pattern: asked.pattern.into(),
            since: asked.since.as_ref().map(time),
            until: asked.until.as_ref().map(time),
            reason: asked.reason,
            min_size: asked.sizes.0,
            max_size: asked.sizes.1,
            sha256: asked.sha256.map(|byte| format!("{byte:02X}").repeat(3)),
            limit: asked.limit,
        }
    }
}

fn silent() -> Arc<dyn Progress> {
    Arc::new(Silent)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn changes_answer_what_whole_indexes_answer(
        steps in steps(),
        asked in prop::collection::vec(asked(), 4),
    ) {
        let world = World::new(&steps);
        let (whole, told) = (world.whole(), world.told());
        for asked in &asked {
            let criteria = world.criteria(asked);
            let expected = find_in_all(&whole, &criteria);
            prop_assert_eq!(&find(&told, &criteria).unwrap(), &expected);
            prop_assert_eq!(&find(&whole, &criteria).unwrap(), &expected);
        }
        for component in COMPONENTS {
            for path in PATHS {
                let path = PathBuf::from(OsString::from_vec(path.to_vec()));
                let file = FilePath { component: component.into(), path };
                let expected = history_in_all(&whole, component, &file.indexed());
                prop_assert_eq!(history(&told, &file).unwrap(), expected);
            }
        }
        for path in ["one/a/x.jpg", "it's/a", "*", "*/a/*", "it's/*.jpg", "one/nowhere"] {
            let expected = containing_in_all(&whole, path);
            prop_assert_eq!(containing(&told, path).unwrap(), expected, "{}", path);
        }
    }
}
