//! The suite against every storage, and what is particular about each.

use super::conformance::{blob, conforms, content, directories, upload};
use super::memory::{Fault, MemoryStorage, Request};
use super::server::{BUCKET, KEY_ID, S3Server, SECRET, WebdavServer};
use super::{LocalStorage, ObjectStore, Patience, Retrying, Storage};
use crate::config::{Credentials, Store, StoreOptions};
use crate::error::Code;
use proptest::prelude::*;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The store of a server.
pub(crate) fn s3(server: &S3Server, secret: &str) -> Store {
    let key = tempfile::Builder::new().tempfile().unwrap();
    std::fs::write(key.path(), format!("{KEY_ID}\n")).unwrap();
    let (_, key) = key.keep().unwrap();
    let other = key.with_extension("secret");
    std::fs::write(&other, format!("{secret}\n")).unwrap();
    Store {
        url: format!("s3://{BUCKET}/a prefix/below").parse().unwrap(),
        options: StoreOptions { endpoint: Some(server.endpoint()), ..Default::default() },
        credentials: Credentials {
            key_id_file: Some(key),
            secret_file: Some(other),
            ..Default::default()
        },
    }
}

fn impatient() -> Patience {
    Patience {
        attempts: 8,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        total: Duration::from_secs(60),
    }
}

#[test]
fn a_directory_conforms() {
    let dir = tempfile::tempdir().unwrap();
    directories(&LocalStorage::new(dir.path()));
    conforms(&LocalStorage::new(&dir.path().join("not/there/yet")));
}

#[test]
fn memory_conforms() {
    directories(&MemoryStorage::new());
    conforms(&MemoryStorage::new());
    conforms(&MemoryStorage::new().ignoring_conditions());
}

/// Requests fail before or after they took place, are slow, or bring less than was asked for.
fn faulty(request: &Request, count: usize) -> Fault {
    match (count % 7, request.verb) {
        (1 | 4, _) => Fault::Refused,
        (2, _) => Fault::AnswerLost,
        (3 | 5, "read part") => Fault::Short,
        (6, _) if count.is_multiple_of(5) => Fault::Slow,
        _ => Fault::None,
    }
}

#[test]
fn memory_with_faults_conforms_when_it_is_asked_again() {
    for start in 0..7 {
        let count = AtomicUsize::new(start);
        let storage = MemoryStorage::new()
            .hooked(move |request| faulty(request, count.fetch_add(1, Ordering::SeqCst)));
        // Several threads may meet one fault after the other.
        conforms(&Retrying::new(storage, Patience { attempts: 50, ..impatient() }));
    }
}

#[test]
fn s3_conforms() {
    let server = S3Server::start();
    conforms(&ObjectStore::new(&s3(&server, SECRET)).unwrap());
    let left: Vec<_> = std::fs::read_dir(server.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("upload_id"))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "parts of uploads that were cancelled");
    assert!(server.objects().join("a prefix/below/big/object").is_file());
}

#[test]
fn webdav_conforms() {
    let server = WebdavServer::start();
    let store = Store {
        url: format!("webdav://{}/a prefix/below", server.authority()).parse().unwrap(),
        options: StoreOptions::default(),
        credentials: Credentials::default(),
    };
    let storage = ObjectStore::new(&store).unwrap();
    directories(&storage);
    conforms(&storage);
    let left = std::process::Command::new("find")
        .arg(server.objects())
        .args(["-name", ".backstop-new-*"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "objects without a name");
    assert!(server.objects().join("a prefix/below/big/object").is_file());
}

#[test]
fn asking_again_ends() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let storage = MemoryStorage::new().hooked(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Fault::Refused
    });
    let storage = Retrying::new(storage, impatient());
    assert_eq!(storage.read("x").unwrap_err().code(), Code::StorageUnreachable);
    assert_eq!(count.load(Ordering::SeqCst), 8);
    let cancel = CancellationToken::new();
    cancel.cancel();
    storage.upload("x", &blob(b"x"), &cancel, &mut |_| {}).unwrap_err();
    let patience = Patience { total: Duration::ZERO, ..impatient() };
    count.store(0, Ordering::SeqCst);
    let counted = count.clone();
    let storage = MemoryStorage::new().hooked(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Fault::Refused
    });
    Retrying::new(storage, patience).read("x").unwrap_err();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_refused_is_not_asked_again_and_shows_no_secret() {
    let server = S3Server::start();
    let wrong = "wrong-s3cr3t";
    let storage = Retrying::new(ObjectStore::new(&s3(&server, wrong)).unwrap(), impatient());
    let error = storage.write("x", b"x").unwrap_err();
    assert_eq!(error.code(), Code::StorageFailed, "{error}");
    assert_eq!(server.requests(), 1);
    let shown = format!("{error} {:?} {storage:?}", error.to_json());
    assert!(!shown.contains(wrong), "{shown}");
}

#[test]
fn a_store_that_is_not_there_is_unreachable() {
    let server = S3Server::start();
    let store = s3(&server, SECRET);
    drop(server);
    let storage = Retrying::new(ObjectStore::new(&store).unwrap(), impatient());
    let error = storage.read("x").unwrap_err();
    assert_eq!(error.code(), Code::StorageUnreachable, "{error}");
    assert!(error.to_string().starts_with("cannot read s3://bucket/a prefix/below/x: "), "{error}");
}

#[test]
fn a_store_that_is_out_of_order_for_a_moment_is_asked_again() {
    let server = S3Server::start();
    let storage = Retrying::new(ObjectStore::new(&s3(&server, SECRET)).unwrap(), impatient());
    storage.write("x", b"x").unwrap();
    server.answer_only(0);
    assert_eq!(storage.read("x").unwrap_err().code(), Code::StorageUnreachable);
    assert_eq!(server.requests(), 9);
    server.answer_only(usize::MAX);
    assert_eq!(storage.read("x").unwrap().unwrap(), b"x");
}

#[test]
fn a_bucket_that_is_not_there_is_no_empty_one() {
    let server = S3Server::start();
    let mut store = s3(&server, SECRET);
    store.url = "s3://nowhere/x".parse().unwrap();
    let storage = ObjectStore::new(&store).unwrap();
    assert_eq!(storage.list("").unwrap_err().code(), Code::StorageFailed);
    assert_eq!(storage.names("x").unwrap_err().code(), Code::StorageFailed);
}

#[tokio::test]
async fn what_is_dropped_on_an_async_thread_may_still_speak_to_its_store() {
    // The server of the test may neither begin nor end on such a thread.
    let server = tokio::task::spawn_blocking(S3Server::start).await.unwrap();
    let storage = ObjectStore::new(&s3(&server, SECRET)).unwrap();
    storage.write("x", b"x").unwrap();
    storage.remove("x").unwrap();
    assert_eq!(storage.size("x").unwrap(), None);
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

#[test]
fn a_missing_credential_is_named_by_its_place() {
    let server = S3Server::start();
    let mut store = s3(&server, SECRET);
    store.credentials.secret_file = Some("/nowhere/secret".into());
    let error = ObjectStore::new(&store).unwrap_err();
    assert!(error.to_string().contains("/nowhere/secret"), "{error}");
}

#[test]
fn reading_on_takes_few_requests_and_jumping_about_little_more_than_was_asked_for() {
    let server = S3Server::start();
    let storage = ObjectStore::new(&s3(&server, SECRET)).unwrap();
    let whole = content(20 << 20);
    upload(&storage, "ranges", &whole);
    let blob = storage.open("ranges").unwrap().unwrap();
    let before = server.requests();
    let mut reader = blob.reader(0);
    let mut piece = [0; 8192];
    let mut read = 0;
    while let Ok(count @ 1..) = reader.read(&mut piece) {
        assert!(piece[..count] == whole[read..read + count]);
        read += count;
    }
    assert_eq!(read, whole.len());
    let sequential = server.requests() - before;
    assert!(sequential <= 12, "{sequential} requests for 20 MiB");

    let blob = storage.open("ranges").unwrap().unwrap();
    let before = server.requests();
    for place in [0, 10, 5, 15, 7, 3] {
        let mut into = [0; 1000];
        blob.read_exact_at(&mut into, place << 20).unwrap();
    }
    assert_eq!(server.requests() - before, 6);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_parts_in_any_order_are_the_right_ones(
        reads in prop::collection::vec((0..300_000u64, 1..90_000usize), 1..12),
    ) {
        let server = S3Server::start();
        let storage = ObjectStore::new(&s3(&server, SECRET)).unwrap();
        let whole = content(300_000);
        upload(&storage, "any", &whole);
        let blob = storage.open("any").unwrap().unwrap();
        for (offset, length) in reads {
            let end = (offset as usize + length).min(whole.len());
            let mut into = vec![0; end - offset as usize];
            blob.read_exact_at(&mut into, offset).unwrap();
            prop_assert!(into == whole[offset as usize..end]);
        }
    }
}
