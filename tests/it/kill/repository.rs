//! Deaths of what works on the whole repository: nothing that could be restored before cannot
//! be restored after, and the same command, run again, finishes the work.

use super::call::{chosen, killed_at, points};
use crate::support::host::{Host, Ran, listing};
use crate::support::need::{self, Need};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The backups of the chains.
const KINDS: [&str; 8] = [
    "full",
    "incremental",
    "differential",
    "incremental",
    "full",
    "incremental",
    "full",
    "incremental",
];

/// A host with three chains of backups, and the tree of each backup.
struct Chains {
    host: Host,
    ids: Vec<String>,
    trees: BTreeMap<String, String>,
    config: String,
}

/// What dies, and what must be so once it was run again.
struct Work<'a> {
    name: &'a str,
    arguments: &'a [&'a str],
    /// Where the repository may be afterwards, or where a copy of it is.
    place: Option<PathBuf>,
    /// Whether that is a copy.
    copies: bool,
    /// The backups that go.
    going: &'a [&'a str],
    /// How many come.
    coming: usize,
    /// How the same command may end once its work is done.
    repeated: &'a [i32],
}

impl Work<'_> {
    const NONE: Self = Work {
        name: "",
        arguments: &[],
        place: None,
        copies: false,
        going: &[],
        coming: 0,
        repeated: &[0],
    };
}

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

fn copy(from: &Path, to: &Path) {
    remove(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn remove(dir: &Path) {
    if dir.exists() {
        fs::remove_dir_all(dir).unwrap();
    }
}

impl Chains {
    fn start() -> Option<Self> {
        if !need::all(&[Need::Strace]) {
            return None;
        }
        let host = Host::with_files();
        let (mut ids, mut trees) = (Vec::new(), BTreeMap::new());
        for (number, kind) in KINDS.into_iter().enumerate() {
            host.write(&format!("many/{number}"), &format!("{number} ").repeat(300));
            let record = host.json(&["backup", "--kind", kind]);
            ids.push(id(&record).to_owned());
            trees.insert(id(&record).to_owned(), listing(&host.live()));
        }
        host.run(&["keep", &ids[1], "--reason", "before the audit"]).ok();
        host.run(&["verify", &ids[3]]).ok();
        fs::rename(host.live(), host.path().join("away")).unwrap();
        host.run(&["backup"]).ended(1);
        fs::rename(host.path().join("away"), host.live()).unwrap();
        let config = fs::read_to_string(host.config()).unwrap();
        let chains = Self { host, ids, trees, config };
        copy(&chains.host.repository(), &chains.kept("repository"));
        copy(&chains.host.state(), &chains.kept("state"));
        Some(chains)
    }

    fn kept(&self, what: &str) -> PathBuf {
        self.host.path().join(format!("{what}.kept"))
    }

    /// Everything as it was before the first death.
    fn reset(&self, work: &Work<'_>) {
        copy(&self.kept("repository"), &self.host.repository());
        copy(&self.kept("state"), &self.host.state());
        if let Some(place) = &work.place {
            remove(place);
        }
        fs::write(self.host.config(), &self.config).unwrap();
    }

    /// Kills the work at every chosen point.
    fn die(&self, work: &Work<'_>) {
        self.reset(work);
        let before = self.published();
        let all = points(&self.host, work.arguments);
        let tried = chosen(&all);
        let mut killed = 0;
        for (number, point) in tried.iter().enumerate() {
            let what = format!("{} at {point}", work.name);
            self.reset(work);
            killed += usize::from(killed_at(point, &self.host, work.arguments));
            self.assert_nothing_lost(work, &before, number, &what);
            self.assert_finished(work, &before, number, &what);
        }
        let count = all.len();
        println!("{}: {} of {count} kill points, {killed} deaths", work.name, tried.len());
        assert!(killed * 2 > tried.len(), "{}: {killed} of {}", work.name, tried.len());
    }

    /// The published backups, oldest first, wherever the repository is now.
    fn published(&self) -> Vec<String> {
        let listed = self.host.json(&["list"]);
        let published = listed.as_array().unwrap().iter().filter(|it| it["status"] != "failed");
        let mut ids: Vec<String> = published.map(|it| id(it).to_owned()).collect();
        ids.reverse();
        ids
    }

    /// Every backup is there that is not to go, and whatever is there can be restored.
    fn assert_nothing_lost(&self, work: &Work<'_>, before: &[String], number: usize, what: &str) {
        self.follow(work, what);
        let now = self.published();
        for wanted in before.iter().filter(|wanted| !work.going.contains(&wanted.as_str())) {
            assert!(now.contains(wanted), "{what}: {wanted} is gone");
        }
        let ran = self.host.run(&["verify", "--all"]);
        assert_eq!(ran.code, 0, "{what}: {ran:?}");
        self.assert_restorable(&now[number % now.len()], what);
        fs::write(self.host.config(), &self.config).unwrap();
        self.assert_copied(work, number, what);
    }

    /// Whatever a copy lists can be restored from it alone. Returns how much that is.
    fn assert_copied(&self, work: &Work<'_>, number: usize, what: &str) -> usize {
        let Some(place) = work.place.as_ref().filter(|_| work.copies) else { return 0 };
        let state = self.kept("state-of-the-other");
        remove(&state);
        let lines = self.config.split("[[repository.copies]]").next().unwrap();
        let config = [(self.host.repository(), place), (self.host.state(), &state)]
            .into_iter()
            .fold(lines.to_owned(), |text, (here, there)| {
                text.replace(&format!("{here:?}"), &format!("{there:?}"))
            });
        fs::write(self.host.config(), config).unwrap();
        let ran = self.host.run(&["list", "--json"]);
        let listed = match ran.code {
            0 => self.published(),
            _ => Vec::new(),
        };
        assert!(
            ran.code == 0 || !place.join("backstop-repository.json").exists(),
            "{what}: {ran:?}"
        );
        if !listed.is_empty() {
            let ran = self.host.run(&["verify", "--all"]);
            assert_eq!(ran.code, 0, "{what}, the copy: {ran:?}");
            self.assert_restorable(&listed[number % listed.len()], what);
        }
        fs::write(self.host.config(), &self.config).unwrap();
        listed.len()
    }

    /// The command again, and then the next backup.
    fn assert_finished(&self, work: &Work<'_>, before: &[String], number: usize, what: &str) {
        let ran: Ran = self.host.run(work.arguments);
        assert!(work.repeated.contains(&ran.code), "{what}, again: {ran:?}");
        self.follow(work, what);
        let now = self.published();
        let stay: Vec<&String> =
            before.iter().filter(|id| !work.going.contains(&id.as_str())).collect();
        assert!(stay.iter().all(|id| now.contains(id)), "{what}: {now:?}");
        let more = now.len() - stay.len();
        // Where it died after its work was done, the work is done twice.
        assert!((work.coming..=work.coming * 2).contains(&more), "{what}: {now:?}");
        self.assert_restorable(stay[number % stay.len()], what);

        if work.copies {
            assert_eq!(self.assert_copied(work, number, what), stay.len(), "{what}");
        }

        let next = self.host.back_up();
        self.assert_tree(id(&next), &listing(&self.host.live()), what);
        let ran = self.host.run(&["repo", "check", "--json"]);
        assert_eq!((ran.code, ran.json()), (0, Value::Array(Vec::new())), "{what}");
    }

    /// Sets the config to where the repository says that it has gone, as its user would.
    fn follow(&self, work: &Work<'_>, what: &str) {
        let ran = self.host.run(&["list"]);
        if ran.code == 0 {
            return;
        }
        let ran = ran.failed(5, "repository_moved");
        let place = work.place.as_ref().unwrap_or_else(|| panic!("{what}: {ran:?}"));
        assert!(ran.stderr.contains(place.to_str().unwrap()), "{what}: {ran:?}");
        let here = format!("path = {:?}", self.host.repository());
        fs::write(self.host.config(), self.config.replace(&here, &format!("path = {place:?}")))
            .unwrap();
    }

    fn assert_restorable(&self, wanted: &str, what: &str) {
        // One that was made by the work is of the tree of the newest.
        let tree = self.trees.get(wanted).unwrap_or(&self.trees[self.ids.last().unwrap()]);
        self.assert_tree(wanted, tree, what);
    }

    fn assert_tree(&self, wanted: &str, tree: &str, what: &str) {
        let to = self.host.path().join("restored");
        let ran = self.host.run(&["restore", wanted, "--to", to.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{what}: {wanted}: {ran:?}");
        assert_eq!(listing(&to.join("files/uploads")), tree, "{what}: {wanted}");
        remove(&to);
    }
}

#[test]
fn of_a_prune() {
    let Some(chains) = Chains::start() else { return };
    let config = format!("{}[retention]\nkeep_last = 1\n", chains.config);
    let chains = Chains { config, ..chains };
    // The last stays, with the full backup that it needs, and so does the kept one.
    let going = [2, 3, 4, 5].map(|place: usize| chains.ids[place].as_str());
    let arguments = &["prune", "--yes"];
    chains.die(&Work { name: "prune", arguments, going: &going, ..Work::NONE });
}

#[test]
fn of_a_deletion() {
    let Some(chains) = Chains::start() else { return };
    let going = [chains.ids[1].as_str()];
    let arguments = &["delete", going[0], "--yes", "--force"];
    let name = "delete of a kept backup";
    chains.die(&Work { name, arguments, going: &going, repeated: &[0, 5], ..Work::NONE });
}

#[test]
fn of_a_move() {
    let Some(chains) = Chains::start() else { return };
    let other_disk = tempfile::Builder::new().prefix("backstop-move-").tempdir_in("/dev/shm");
    let other_disk = other_disk.unwrap();
    for (name, dir) in [("move", chains.host.path()), ("move to another disk", other_disk.path())] {
        let place = dir.join("moved");
        let arguments = ["repo", "move", place.to_str().unwrap()];
        chains.die(&Work { name, arguments: &arguments, place: Some(place.clone()), ..Work::NONE });
    }
}

#[test]
fn of_a_sync() {
    let Some(chains) = Chains::start() else { return };
    let place = chains.host.path().join("copy");
    let copies = format!("[[repository.copies]]\nname = \"offsite\"\npath = {place:?}\n");
    let config = format!("{}{copies}", chains.config);
    let chains = Chains { config, ..chains };
    let place = Some(place);
    chains.die(&Work { name: "sync", arguments: &["sync"], place, copies: true, ..Work::NONE });
}

#[test]
fn of_a_consolidation() {
    let Some(chains) = Chains::start() else { return };
    let arguments = &["repo", "consolidate", chains.ids[7].as_str()];
    chains.die(&Work { name: "consolidate", arguments, coming: 1, ..Work::NONE });
}

#[test]
fn of_a_backup_that_builds_upon_another() {
    let Some(chains) = Chains::start() else { return };
    let arguments = &["backup", "--kind", "incremental"];
    chains.die(&Work { name: "incremental backup", arguments, coming: 1, ..Work::NONE });
}

#[test]
fn of_a_sample() {
    let Some(chains) = Chains::start() else { return };
    let arguments = &["verify", "--sample", "60%"];
    chains.die(&Work { name: "verify --sample", arguments, ..Work::NONE });
    // What the samples of before noted counts still.
    chains.reset(&Work::NONE);
    (0..2).for_each(|_| drop(chains.host.run(arguments).ok()));
    let listed = chains.host.json(&["list"]);
    let published = listed.as_array().unwrap().iter().filter(|it| it["status"] != "failed");
    published.for_each(|it| assert_eq!(it["status"], "verified", "{it}"));
}

#[test]
fn of_a_rebuilt_catalog() {
    let Some(chains) = Chains::start() else { return };
    let known = chains.host.json(&["list"]);
    let arguments = &["repo", "rebuild-catalog"];
    let work = Work { name: "rebuild-catalog", arguments, ..Work::NONE };
    chains.die(&work);
    // Failures, verifications and pins are known to the very next command.
    for point in chosen(&points(&chains.host, arguments)) {
        chains.reset(&work);
        killed_at(&point, &chains.host, arguments);
        assert_eq!(chains.host.json(&["list"]), known, "at {point}");
    }
}
