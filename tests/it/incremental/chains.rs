//! Random trees, random changes and random upkeep of the repository: whatever backup is left
//! gives the tree that was there when it was taken.

use crate::support::host::{Host, listing};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many histories are tried; `PROPTEST_CASES` says otherwise.
const CASES: u32 = 5;

/// One change of the tree. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Edit {
    Write(usize, usize),
    /// Other bytes, with size and modification time as before: only the change time tells.
    Disguise(usize),
    Rename(usize, usize),
    Delete(usize),
    /// A file becomes a directory.
    Directory(usize),
    Link(usize, usize),
    Symlink(usize, usize),
    Copy(usize, usize),
}

/// One thing that happens to the repository.
#[derive(Debug, Clone)]
enum Act {
    Change(Vec<Edit>),
    Backup(&'static str),
    /// So long that the next backup trusts the times of what is there.
    Wait,
    /// Deletes all but so many, and what they need.
    Prune(usize),
    Delete(usize),
    Consolidate(usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let any = any::<usize>;
    let edit = prop_oneof![
        3 => (any(), 0usize..60_000).prop_map(|(place, size)| Edit::Write(place, size)),
        3 => any().prop_map(Edit::Disguise),
        2 => (any(), any()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => any().prop_map(Edit::Delete),
        1 => any().prop_map(Edit::Directory),
        1 => (any(), any()).prop_map(|(from, to)| Edit::Link(from, to)),
        1 => (any(), any()).prop_map(|(from, to)| Edit::Symlink(from, to)),
        1 => (any(), any()).prop_map(|(from, to)| Edit::Copy(from, to)),
    ];
    prop::collection::vec(edit, 1..8)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let kinds = vec!["full", "incremental", "incremental", "incremental", "differential"];
    let act = prop_oneof![
        4 => edits().prop_map(Act::Change),
        5 => prop::sample::select(kinds).prop_map(Act::Backup),
        1 => Just(Act::Wait),
        1 => (1usize..4).prop_map(Act::Prune),
        1 => any::<usize>().prop_map(Act::Delete),
        1 => any::<usize>().prop_map(Act::Consolidate),
    ];
    prop::collection::vec(act, 6..20)
}

/// A backup that should be there.
#[derive(Clone)]
struct Taken {
    id: String,
    started_at: String,
    tree: String,
}

/// A host, and the backups that it should have, oldest first.
struct History {
    host: Host,
    backups: Vec<Taken>,
}

fn id(record: &Value) -> String {
    record["id"].as_str().unwrap().to_owned()
}

impl History {
    fn start() -> Self {
        let host = Host::with_files();
        for number in 0..12 {
            host.write(&format!("many/{number}"), &format!("{number} ").repeat(number * 300));
        }
        let mut history = Self { host, backups: Vec::new() };
        history.back_up("full");
        history
    }

    fn back_up(&mut self, kind: &str) {
        let record = self.host.json(&["backup", "--kind", kind]);
        let started_at = record["started_at"].as_str().unwrap().to_owned();
        let tree = listing(&self.host.live());
        self.backups.push(Taken { id: id(&record), started_at, tree });
    }

    fn happen(&mut self, act: &Act) {
        match act {
            Act::Change(edits) => edits.iter().for_each(|edit| apply(&self.host.live(), edit)),
            Act::Backup(kind) => self.back_up(kind),
            Act::Wait => std::thread::sleep(Duration::from_millis(2100)),
            Act::Prune(count) => {
                self.host.configure(&format!("[retention]\nkeep_last = {count}\n"));
                let verdicts = self.host.json(&["prune", "--yes"]);
                let goes = |wanted: &str| {
                    let mut all = verdicts.as_array().unwrap().iter();
                    all.find(|one| one["id"] == wanted).unwrap()["keep"] == false
                };
                let going: Vec<bool> = self.backups.iter().map(|it| goes(&it.id)).collect();
                let mut instants = self.backups.iter().map(|it| &it.started_at).collect::<Vec<_>>();
                instants.dedup();
                let stays = |instant: &String| {
                    let mut backups = self.backups.iter().zip(&going);
                    backups.any(|(it, goes)| it.started_at == *instant && !goes)
                };
                assert!(instants.into_iter().rev().take(*count).all(stays), "{verdicts}");
                let mut going = going.into_iter();
                self.backups.retain(|_| !going.next().unwrap());
            }
            Act::Delete(number) => {
                let place = number % self.backups.len();
                let ran = self.host.run(&["delete", &self.backups[place].id, "--yes"]);
                match ran.code {
                    0 => drop(self.backups.remove(place)),
                    _ => drop(ran.failed(1, "backup_needed")),
                }
                if self.backups.is_empty() {
                    self.back_up("incremental");
                }
            }
            Act::Consolidate(number) => {
                let from = &self.backups[number % self.backups.len()];
                let ran = self.host.run(&["repo", "consolidate", &from.id, "--json"]);
                match ran.code {
                    // It has the same place in the history as the one that it is made of.
                    0 => {
                        let made = Taken { id: id(&ran.json()["backup"]), ..from.clone() };
                        // Made once, it is not made again.
                        if !self.backups.iter().any(|it| it.id == made.id) {
                            self.backups.insert(number % self.backups.len() + 1, made);
                        }
                    }
                    _ => drop(ran.ended(2)),
                }
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let listed = self.host.json(&["list"]);
        let mut listed: Vec<String> = listed.as_array().unwrap().iter().map(id).collect();
        let mut wanted: Vec<String> = self.backups.iter().map(|it| it.id.clone()).collect();
        listed.sort();
        wanted.sort();
        prop_assert_eq!(listed, wanted);
        let found = self.host.run(&["verify", "--all", "--level", "deep"]);
        prop_assert_eq!(found.code, 0, "{:?}", found);
        let checked = self.host.run(&["repo", "check"]);
        prop_assert_eq!(checked.code, 0, "{:?}", checked);
        for Taken { id, tree, .. } in &self.backups {
            let to = self.host.path().join("restored");
            let ran = self.host.run(&["restore", id, "--to", to.to_str().unwrap()]);
            prop_assert_eq!(ran.code, 0, "{:?}", ran);
            prop_assert_eq!(&listing(&to.join("files/uploads")), tree);
            fs::remove_dir_all(&to).unwrap();
        }
        self.check_questions()
    }

    /// What is answered out of the changes of most backups is what all indexes answer.
    fn check_questions(&self) -> Result<(), TestCaseError> {
        for (pattern, clause) in [("*", "true"), ("ed-", "contains(name, 'ed-')")] {
            // Of two backups of one instant either is as good: the smaller id stands for both.
            let sql = format!(
                "SELECT component, path, type, size, modified_at, sha256, \
                        arg_min(backup, (sequence, backup)) AS first_backup, \
                        min(backed_up_at) AS first_seen, \
                        arg_max(backup, (sequence, backup)) AS last_backup, \
                        max(backed_up_at) AS last_seen, count(*) AS backups \
                 FROM (SELECT *, regexp_extract(path, '[^/]*$') AS name FROM files) f \
                 WHERE path <> '.' AND {clause} GROUP BY ALL \
                 ORDER BY component, path, min((sequence, backup))"
            );
            prop_assert_eq!(self.host.json(&["find", pattern]), self.host.json(&["sql", &sql]));
        }
        let sql = "SELECT path, list(backup ORDER BY backup) AS backups FROM files \
                   WHERE path <> '.' GROUP BY path ORDER BY hash(path) LIMIT 3";
        for file in self.host.json(&["sql", sql]).as_array().unwrap() {
            let path = format!("uploads/{}", file["path"].as_str().unwrap());
            let holding = self.host.json(&["list", "--containing", &path]);
            let mut holding: Vec<String> = holding.as_array().unwrap().iter().map(id).collect();
            holding.sort();
            prop_assert_eq!(&serde_json::json!(holding), &file["backups"], "{}", &path);
            let versions = self.host.json(&["history", &path]);
            let versions = versions.as_array().unwrap();
            let there = versions.iter().filter(|version| version["event"] != "deleted");
            let there: u64 = there.map(|version| version["backups"].as_u64().unwrap()).sum();
            prop_assert_eq!(there as usize, holding.len(), "{:?}", versions);
        }
        Ok(())
    }
}

/// Everything below `root`, in order.
fn below(root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                dirs.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    paths
}

/// Makes one change; what does not fit is left out.
fn apply(root: &Path, edit: &Edit) {
    let listed = below(root);
    let any = |number: &usize| match listed.len() {
        0 => root.join("nothing"),
        count => listed[number % count].clone(),
    };
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_file());
    let beside = |number: &usize, name: &str| {
        let name = format!("{name}-{}", number % 7);
        any(number).parent().unwrap_or(root).join(name)
    };
    match edit {
        Edit::Write(number, size) => {
            let path = if number % 3 == 0 { any(number) } else { beside(number, "written") };
            if is_file(&path) || path.symlink_metadata().is_err() {
                let bytes = (0..*size).map(|place| (place * place / 7 + number) as u8);
                fs::write(path, bytes.collect::<Vec<u8>>()).unwrap();
            }
        }
        Edit::Disguise(number) if is_file(&any(number)) => {
            let path = any(number);
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
            fs::write(&path, bytes).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        Edit::Rename(from, to) => drop(fs::rename(any(from), beside(to, "moved"))),
        Edit::Delete(number) => {
            let path = any(number);
            drop(fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)));
        }
        Edit::Directory(number) if is_file(&any(number)) => {
            fs::remove_file(any(number)).unwrap();
            fs::create_dir(any(number)).unwrap();
            fs::write(any(number).join("inside"), "now a directory").unwrap();
        }
        Edit::Link(from, to) if is_file(&any(from)) => {
            drop(fs::hard_link(any(from), beside(to, "linked")));
        }
        Edit::Symlink(from, to) => {
            drop(std::os::unix::fs::symlink(any(from), beside(to, "symlink")));
        }
        Edit::Copy(from, to) if is_file(&any(from)) => {
            let path = beside(to, "copied");
            if path.symlink_metadata().is_err() {
                fs::copy(any(from), path).unwrap();
            }
        }
        _ => {}
    }
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(CASES),
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_is_left_gives_its_own_tree(acts in acts()) {
        let mut history = History::start();
        for act in &acts {
            history.happen(act);
        }
        history.check()?;
    }
}
