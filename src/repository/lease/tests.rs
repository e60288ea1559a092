//! Writers, deleters and clearers on one store, interleaved at every step.

mod copied;
mod failed;
mod host;

use super::turns::{Turns, interruptions};
use super::{LEASES, Pace};
use crate::repository::{Considered, LockMode, Pin, PublishedBackup, Repository};
use crate::storage::Storage;
use crate::storage::memory::{Fault, MemoryStorage};
use crate::storage::server::S3Server;
use host::{AT_ONCE, Host};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Every backup is whole, and so is all that it needs; objects of none lie about, nor leases.
fn assert_sound(host: &Host, storage: &MemoryStorage, shown: &dyn std::fmt::Debug) -> Vec<String> {
    let mut names = Vec::new();
    for name in host.repository.names().unwrap() {
        let backup = host.repository.backup(&name).unwrap_or_else(|e| panic!("{e} {shown:?}"));
        let mut damages = backup.check_sizes().unwrap();
        damages.extend(backup.check_references(&|_| true).unwrap());
        assert!(damages.is_empty(), "{damages:?} {shown:?}");
        names.push(name);
    }
    let leases: Vec<String> =
        storage.all().into_iter().filter(|name| name.starts_with(LEASES)).collect();
    assert_eq!(leases, Vec::<String>::new(), "{shown:?}");
    names
}

/// Whatever there is came later.
const NOTHING: Considered<'static> = Considered { needs: &|_| false, pin: &|_| false };

type Act = Box<dyn FnOnce(MemoryStorage) -> bool + Send>;

fn writer(parent: Option<PublishedBackup>, digit: char) -> Act {
    Box::new(move |storage| Host::patient(storage).writes(parent.as_ref(), digit).is_ok())
}

fn deleter(targets: Vec<PublishedBackup>) -> Act {
    Box::new(move |storage| {
        Host::patient(storage).deletes(&targets.iter().collect::<Vec<_>>()).is_ok()
    })
}

#[test]
fn a_repository_on_a_store_is_written_read_and_deleted() {
    let storage = MemoryStorage::new();
    let host = Host::on(Arc::new(storage.clone()));
    let full = host.writes(None, 'a').unwrap();
    let next = host.writes(Some(&full), 'b').unwrap();
    assert_eq!(assert_sound(&host, &storage, &"written").len(), 2);
    assert_eq!(next.read("databases/shop/1.dat").unwrap(), b"the same in all");
    host.deletes(&[&full]).unwrap();
    assert_eq!(assert_sound(&host, &storage, &"needed").len(), 2, "what is needed stays");
    host.deletes(&[&full, &next]).unwrap();
    assert!(assert_sound(&host, &storage, &"both").is_empty(), "what needs it goes along");
    assert_eq!(storage.all(), ["backstop-repository.json"]);
}

#[test]
fn an_upload_that_fails_leaves_nothing() {
    let storage = MemoryStorage::new();
    let host = Host::on(Arc::new(storage.clone()));
    let full = host.writes(None, 'a').unwrap();
    let before = storage.all();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (incoming, manifest) = host.sent(Some(&full), 'b').unwrap();
    assert_ne!(storage.all(), before);
    drop((incoming, manifest));
    assert_eq!(storage.all(), before);
}

/// How many requests each of two actors makes when it is alone.
fn requests(storage: &dyn Fn() -> (MemoryStorage, Vec<Act>)) -> [usize; 2] {
    let count = |schedule: usize| {
        let (storage, acts) = storage();
        let done = Turns::run(&storage, &vec![schedule; 1000], &[], acts);
        done[schedule].1
    };
    [count(0), count(1)]
}

/// A full backup, one that writes upon it, and one that deletes it.
fn one_of_each() -> (MemoryStorage, Vec<Act>) {
    // Nothing may rest on conditions.
    let storage = MemoryStorage::new().ignoring_conditions();
    let full = Host::on(Arc::new(storage.clone())).writes(None, 'a').unwrap();
    (storage, vec![writer(Some(full.clone()), 'b'), deleter(vec![full])])
}

#[test]
fn a_writer_and_a_deleter_never_harm_each_other_wherever_one_interrupts_the_other() {
    let (mut written, mut deleted) = (0, 0);
    for schedule in interruptions(requests(&one_of_each)) {
        let (storage, acts) = one_of_each();
        Turns::run(&storage, &schedule, &[], acts);
        let turns = schedule.iter().take(100).collect::<Vec<_>>();
        let left = assert_sound(&Host::on(Arc::new(storage.clone())), &storage, &turns);
        written += usize::from(left.iter().any(|name| name.ends_with("bbbb")));
        deleted += usize::from(!left.iter().any(|name| name.ends_with("aaaa")));
    }
    // Neither always makes way.
    assert!(written > 100 && deleted > 100, "{written} {deleted}");
}

/// One that was asleep until its lease was stale, and one that clears it away.
fn a_sleeper() -> (MemoryStorage, Vec<Act>) {
    let storage = MemoryStorage::new();
    let full = Host::on(Arc::new(storage.clone())).writes(None, 'a').unwrap();
    let asleep = storage.clone();
    let sleeper: Act = Box::new(move |storage| {
        let host = Host::on(Arc::new(storage.clone()));
        let Ok((incoming, manifest)) = host.sent(Some(&full), 'b') else { return false };
        asleep.pass(AT_ONCE.stale + Duration::from_secs(1));
        incoming.publish(&manifest).is_ok()
    });
    let clearer: Act = Box::new(|storage| Host::on(Arc::new(storage)).clears().is_ok());
    (storage, vec![sleeper, clearer])
}

#[test]
fn a_writer_that_slept_for_too_long_finds_out_wherever_it_wakes_up() {
    let mut published = 0;
    let counts = requests(&a_sleeper);
    for schedule in interruptions(counts) {
        let (storage, acts) = a_sleeper();
        let done = Turns::run(&storage, &schedule, &[], acts);
        let host = Host::on(Arc::new(storage.clone()));
        // What the sleeper could not remove itself is left for the next one.
        storage.pass(AT_ONCE.stale * 2);
        host.clears().unwrap();
        let turns = schedule.iter().take(100).collect::<Vec<_>>();
        let left = assert_sound(&host, &storage, &turns);
        assert_eq!(left.iter().any(|name| name.ends_with("bbbb")), done[0].0, "{turns:?}");
        published += usize::from(done[0].0);
    }
    assert!(published > 100, "{published}");
}

#[test]
fn what_the_dead_left_is_cleared_once_their_leases_are_stale_and_not_before() {
    let storage = MemoryStorage::new();
    let host = Host::on(Arc::new(storage.clone()));
    let full = host.writes(None, 'a').unwrap();
    let before = storage.all();
    let (incoming, _) = host.sent(Some(&full), 'b').unwrap();
    std::mem::forget(incoming);
    assert_eq!(host.clears().unwrap().len(), 1, "the staging directory is this host's own");
    assert_ne!(storage.all(), before);
    host.deletes(&[&full]).unwrap();
    assert!(host.repository.backup(&full.manifest().name).is_ok(), "it is still heeded");
    storage.pass(AT_ONCE.stale + Duration::from_secs(1));
    assert_eq!(host.clears().unwrap().len(), 1);
    assert_eq!(storage.all(), before);
}

#[test]
fn a_deletion_that_died_is_finished_by_the_next_writer() {
    let storage = MemoryStorage::new();
    let host = Host::on(Arc::new(storage.clone()));
    let full = host.writes(None, 'a').unwrap();
    let id = full.manifest().id.clone();
    let lock = host.repository.lock(LockMode::Exclusive, Duration::ZERO).unwrap();
    let targets = BTreeMap::from([(id.clone(), full.manifest().name.clone())]);
    let cancel = CancellationToken::new();
    let deletion = host.repository.deletion(targets, NOTHING, &cancel, &lock).unwrap();
    storage.remove(&format!("backups/{}/manifest.json", full.manifest().name)).unwrap();
    std::mem::forget(deletion);
    drop(lock);
    let error = host.sent(Some(&full), 'b').unwrap_err();
    assert_eq!(error.code(), crate::error::Code::Locked, "{error}");
    storage.pass(AT_ONCE.stale + Duration::from_secs(1));
    assert_eq!(host.clears().unwrap().len(), 1);
    assert_eq!(storage.all(), ["backstop-repository.json"]);
}

#[test]
fn a_holder_that_could_not_renew_for_too_long_does_nothing_more() {
    let storage = MemoryStorage::new();
    let state = tempfile::tempdir().unwrap();
    let pace = Pace { alone: Duration::ZERO, ..AT_ONCE };
    let dying = Repository::open_or_create_on(Arc::new(storage.clone()), state.path(), pace);
    let dying = Host { repository: dying.unwrap(), _state: state };
    assert_eq!(dying.writes(None, 'a').unwrap_err().code(), crate::error::Code::Locked);
    assert!(dying.repository.names().unwrap().is_empty());
}

#[test]
fn pins_are_kept_on_a_store_and_save_from_a_deletion_that_has_begun() {
    let storage = MemoryStorage::new();
    let host = Host::on(Arc::new(storage.clone()));
    let full = host.writes(None, 'a').unwrap();
    let id = full.manifest().id.clone();
    let pin = Pin { at: None, host: None, reason: Some("audit".into()), brought: false };
    let lock = host.repository.lock(LockMode::Shared, Duration::ZERO).unwrap();
    host.repository.pin(&id, &pin, &lock).unwrap();
    assert_eq!(host.repository.pins().unwrap(), BTreeMap::from([(id.clone(), pin)]));
    assert!(host.repository.unpin(&id, &lock).unwrap());
    assert!(!host.repository.unpin(&id, &lock).unwrap());
}

#[test]
fn a_keeper_and_a_deleter_never_both_succeed() {
    let both = || {
        let storage = MemoryStorage::new();
        let full = Host::on(Arc::new(storage.clone())).writes(None, 'a').unwrap();
        let id = full.manifest().id.clone();
        let keeper: Act = Box::new(move |storage| {
            let host = Host::on(Arc::new(storage));
            let lock = host.repository.lock(LockMode::Shared, Duration::ZERO).unwrap();
            let pin = Pin { at: None, host: None, reason: None, brought: false };
            // As `keep` does.
            host.repository.pin(&id, &pin, &lock).is_ok()
                && !host.repository.is_deleted(&full.manifest().name, &id).unwrap()
        });
        let full = {
            let host = Host::on(Arc::new(storage.clone()));
            host.repository.backup(&host.repository.names().unwrap()[0]).unwrap()
        };
        // As `delete` does: what is kept is refused, and what is kept since is spared.
        let deleter: Act = Box::new(move |storage| {
            let host = Host::patient(storage);
            let pins = host.repository.pins().unwrap();
            !pins.contains_key(&full.manifest().id) && host.deletes_unpinned(&full).unwrap()
        });
        (storage, vec![keeper, deleter])
    };
    let mut outcomes = BTreeSet::new();
    for schedule in interruptions(requests(&both)) {
        let (storage, acts) = both();
        let done = Turns::run(&storage, &schedule, &[], acts);
        let (kept, deleted) = (done[0].0, done[1].0);
        let host = Host::on(Arc::new(storage.clone()));
        let turns = schedule.iter().take(60).collect::<Vec<_>>();
        let left = assert_sound(&host, &storage, &turns);
        assert_eq!(left.is_empty(), deleted, "what a deleter says is so: {turns:?}");
        assert!(!(kept && deleted), "what was kept is gone: {turns:?}");
        outcomes.insert((kept, deleted));
    }
    assert!(outcomes.contains(&(true, false)) && outcomes.contains(&(false, true)), "{outcomes:?}");
}

type Create = Box<dyn FnOnce(MemoryStorage) -> Option<String> + Send>;

#[test]
fn several_hosts_create_one_repository_between_them() {
    for ignoring in [false, true] {
        let all = || {
            let storage = MemoryStorage::new();
            let storage = if ignoring { storage.ignoring_conditions() } else { storage };
            let create: fn() -> Create = || {
                Box::new(|storage| {
                    let state = tempfile::tempdir().unwrap();
                    let storage = Arc::new(storage);
                    let opened = Repository::open_or_create_on(storage, state.path(), AT_ONCE);
                    opened.ok().map(|repository| repository.id().to_owned())
                })
            };
            (storage, vec![create(), create()])
        };
        let (storage, acts) = all();
        let alone = Turns::run(&storage, &[0; 1000], &[], acts)[0].1;
        for schedule in interruptions([alone, alone]) {
            let (storage, acts) = all();
            let done = Turns::run(&storage, &schedule, &[], acts);
            // One makes way when another claims it for as long as it tries.
            let ids: BTreeSet<_> = done.iter().filter_map(|(id, _)| id.as_deref()).collect();
            assert_eq!(ids.len(), 1);
            assert_eq!(storage.all(), ["backstop-repository.json"]);
            let again = Host::on(Arc::new(storage));
            assert!(ids.contains(again.repository.id()));
        }
    }
}

#[test]
fn what_lies_in_a_foreign_prefix_is_not_taken_over() {
    let storage = MemoryStorage::new();
    storage.write("thesis.doc", b"mine").unwrap();
    let state = tempfile::tempdir().unwrap();
    let error = Repository::open_or_create_on(Arc::new(storage.clone()), state.path(), AT_ONCE)
        .unwrap_err();
    assert_eq!(error.code(), crate::error::Code::RepositoryNotFound);
    assert_eq!(storage.all(), ["thesis.doc"]);
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Refused),
        1 => Just(Fault::AnswerLost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Two writers and two deleters, one of which deletes what the other's backup needs.
    #[test]
    fn two_writers_and_two_deleters_never_harm_each_other(
        schedule in prop::collection::vec(0..4usize, 0..160),
        faults in prop::collection::vec(fault(), 0..160),
    ) {
        let storage = MemoryStorage::new().ignoring_conditions();
        let host = Host::on(Arc::new(storage.clone()));
        let full = host.writes(None, 'a').unwrap();
        let next = host.writes(Some(&full), 'c').unwrap();
        let acts = vec![
            writer(Some(full.clone()), 'b'),
            writer(Some(next.clone()), 'd'),
            deleter(vec![full.clone(), next.clone()]),
            deleter(vec![next]),
        ];
        Turns::run(&storage, &schedule, &faults, acts);
        assert_sound(&host, &storage, &schedule);
    }
}

#[test]
fn writers_and_deleters_on_a_real_store_leave_every_backup_whole() {
    let server = S3Server::start();
    let store = crate::storage::server_store(&server);
    let storage: Arc<dyn Storage> = Arc::new(crate::storage::ObjectStore::new(&store).unwrap());
    let host = Host::on(storage.clone());
    let full = host.writes(None, 'a').unwrap();
    std::thread::scope(|scope| {
        for digit in ['b', 'c', 'd'] {
            let (storage, full) = (storage.clone(), &full);
            scope.spawn(move || Host::on(storage).writes(Some(full), digit).is_ok());
        }
        for _ in 0..2 {
            let (storage, full) = (storage.clone(), &full);
            scope.spawn(move || Host::on(storage).deletes(&[full]).is_ok());
        }
    });
    for name in host.repository.names().unwrap() {
        let backup = host.repository.backup(&name).unwrap();
        assert!(backup.check_sizes().unwrap().is_empty());
        assert!(backup.check_references(&|_| true).unwrap().is_empty());
    }
    assert!(storage.names(LEASES).unwrap().is_empty());
}

#[test]
fn a_backup_goes_on_to_a_copy_wherever_it_was_cut_off() {
    let source = Host::on(Arc::new(MemoryStorage::new()));
    let full = source.writes(None, 'a').unwrap();
    let next = source.writes(Some(&full), 'b').unwrap();
    let cut_off_after = |requests: usize| {
        let copy = MemoryStorage::new();
        let host = Host::on(Arc::new(copy.clone()));
        host.receives(&full).unwrap();
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = made.clone();
        let failing = copy.hooked(move |_| {
            let count = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if count < requests { Fault::None } else { Fault::Refused }
        });
        let failing = Repository { storage: Arc::new(failing), ..host.repository.clone() };
        let cut = Host { repository: failing, _state: tempfile::tempdir().unwrap() };
        let whole = cut.receives(&next).is_ok();
        let received = host.receives_unless_there(&next);
        assert_eq!(assert_sound(&host, &copy, &requests).len(), 2, "{requests}");
        let object = "files/uploads.tar.zst";
        assert_eq!(received.read(object).unwrap(), next.read(object).unwrap());
        whole
    };
    let enough = (0..1000).find(|requests| cut_off_after(*requests)).unwrap();
    assert!(enough > 15, "{enough}");
}
