//! What every storage has to do: one suite, run against each of them.

use super::{Blob, Created, Listed, Storage};
use crate::error::Code;
use std::io::{Read, Write};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

type Check = fn(&dyn Storage);

const SUITE: &[(&str, Check)] = &[
    ("what is not there is no error", missing),
    ("what was written is read, also in place of something older", written),
    ("an object may be empty", empty),
    ("names may be anything but a way out", names),
    ("unsafe names are refused everywhere", unsafe_names),
    ("listings are deep and sorted, and know no siblings", listings),
    ("parts are read at every edge", parts),
    ("several threads read one object at once", concurrent),
    ("a big object arrives whole and tells how far it is", big),
    ("a big object takes the place of a small one and the other way round", replaced),
    ("a copy is whole, and independent of what it was made of", copied),
    ("an object tells when it was written", modified),
    ("removing twice is no error", removed),
    ("an upload that is cancelled leaves nothing to see", cancelled),
    ("what exists already is seen to, or nothing is said of it", created),
];

pub(super) fn conforms(storage: &dyn Storage) {
    for (says, check) in SUITE {
        println!("{says}");
        check(storage);
    }
}

pub(super) fn upload(storage: &dyn Storage, name: &str, content: &[u8]) {
    storage.upload(name, &blob(content), &CancellationToken::new(), &mut |_| {}).unwrap();
}

pub(super) fn blob(content: &[u8]) -> Blob {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Blob::new(Arc::new(file), content.len() as u64, "the content")
}

pub(super) fn content(size: usize) -> Vec<u8> {
    let mut seed = 1u32;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(size).collect()
}

fn all(storage: &dyn Storage, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    storage.open(name).unwrap().unwrap().reader(0).read_to_end(&mut bytes).unwrap();
    bytes
}

fn missing(storage: &dyn Storage) {
    for name in ["missing", "missing/deep"] {
        assert_eq!(storage.size(name).unwrap(), None);
        assert!(storage.open(name).unwrap().is_none());
        assert!(storage.read(name).unwrap().is_none());
        assert!(storage.names(name).unwrap().is_empty());
        assert!(storage.list(name).unwrap().is_empty());
        storage.remove(name).unwrap();
    }
    assert!(storage.names("").unwrap().is_empty());
}

/// Not asked of the S3 server of the tests, which looks for objects among its directories.
pub(super) fn directories(storage: &dyn Storage) {
    storage.write("dir/one", b"1").unwrap();
    assert_eq!(storage.size("dir").unwrap(), None);
    assert!(storage.read("dir").unwrap().is_none());
    assert!(storage.open("dir").unwrap().is_none());
    storage.remove("dir/one").unwrap();
    assert!(storage.names("dir").unwrap().is_empty());
}

fn written(storage: &dyn Storage) {
    for text in ["first", "the second is longer", "3"] {
        storage.write("written/object", text.as_bytes()).unwrap();
        assert_eq!(storage.read("written/object").unwrap().unwrap(), text.as_bytes());
        assert_eq!(storage.size("written/object").unwrap(), Some(text.len() as u64));
    }
}

fn empty(storage: &dyn Storage) {
    storage.write("empty/written", b"").unwrap();
    upload(storage, "empty/uploaded", b"");
    for name in ["empty/written", "empty/uploaded"] {
        assert_eq!(storage.size(name).unwrap(), Some(0));
        assert_eq!(storage.read(name).unwrap().unwrap(), b"");
        assert_eq!(all(storage, name), b"");
    }
    assert_eq!(storage.list("empty").unwrap().len(), 2);
}

fn names(storage: &dyn Storage) {
    let names = [
        "a b",
        "a+b",
        "a%20b",
        "a%b",
        "ä/ö",
        "雪",
        "quote\"s",
        "it's",
        "a&b<c>",
        "#?",
        "...",
        "~",
        "=*:;@!,",
        "back\\slash",
    ];
    for name in names {
        let name = format!("names/{name}");
        storage.write(&name, name.as_bytes()).unwrap();
        assert_eq!(storage.read(&name).unwrap().unwrap(), name.as_bytes(), "{name}");
        assert_eq!(all(storage, &name), name.as_bytes(), "{name}");
    }
    let mut expected: Vec<&str> = names.to_vec();
    expected.sort_unstable();
    let listed: Vec<String> =
        storage.list("names").unwrap().into_iter().map(|listed| listed.name).collect();
    assert_eq!(listed, expected);
    for name in names {
        storage.remove(&format!("names/{name}")).unwrap();
    }
    assert!(storage.list("names").unwrap().is_empty());
}

fn unsafe_names(storage: &dyn Storage) {
    for name in ["", "/", "/etc", "a//b", "a/", "..", "a/../../b", "./a", "nul\0"] {
        let refused = [
            storage.size(name).map(drop),
            storage.open(name).map(drop),
            storage.read(name).map(drop),
            storage.write(name, b"x"),
            storage.upload(name, &blob(b"x"), &CancellationToken::new(), &mut |_| {}),
            storage.copy(name, "unsafe/copy").map(drop),
            storage.copy("unsafe/copy", name).map(drop),
            storage.remove(name),
        ];
        for result in refused {
            assert_eq!(result.unwrap_err().code(), Code::UnsafePath, "{name}");
        }
        if !name.is_empty() {
            assert_eq!(storage.list(name).unwrap_err().code(), Code::UnsafePath, "{name}");
            assert_eq!(storage.names(name).unwrap_err().code(), Code::UnsafePath, "{name}");
        }
    }
}

fn listings(storage: &dyn Storage) {
    for (name, size) in [("a/1", 1), ("a/sub/2", 2), ("a/sub/deep/3", 3), ("ab/4", 4), ("a.b", 5)] {
        storage.write(&format!("list/{name}"), &content(size)).unwrap();
    }
    let listed = |name: &str, size| Listed { name: name.into(), size };
    assert_eq!(
        storage.list("list/a").unwrap(),
        [listed("1", 1), listed("sub/2", 2), listed("sub/deep/3", 3)]
    );
    assert_eq!(storage.names("list/a").unwrap(), ["1", "sub"]);
    assert_eq!(storage.names("list").unwrap(), ["a", "a.b", "ab"]);
    assert!(storage.names("").unwrap().contains(&"list".to_string()));
    assert!(storage.list("").unwrap().contains(&listed("list/a/sub/2", 2)));
    assert!(storage.list("list/a/1").unwrap().is_empty(), "an object is no directory");
    storage.remove("list/a/sub/2").unwrap();
    storage.remove("list/a/sub/deep/3").unwrap();
    assert_eq!(storage.names("list/a").unwrap(), ["1"], "an empty directory is none");
}

fn parts(storage: &dyn Storage) {
    let whole = content(200_000);
    upload(storage, "parts", &whole);
    let blob = storage.open("parts").unwrap().unwrap();
    assert_eq!(blob.size(), whole.len() as u64);
    for (offset, length) in
        [(0, 1), (0, 200_000), (1, 70_000), (199_999, 1), (65_535, 2), (65_536, 65_536), (100, 0)]
    {
        let mut into = vec![0; length];
        blob.read_exact_at(&mut into, offset as u64).unwrap();
        assert!(into == whole[offset..offset + length], "{offset} {length}");
    }
    let mut into = [0; 10];
    for (offset, kind) in [(199_995, "over the end"), (200_000, "at the end"), (1 << 40, "far")] {
        let error = blob.read_exact_at(&mut into, offset).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{kind}");
    }
    let mut end = Vec::new();
    blob.reader(199_990).read_to_end(&mut end).unwrap();
    assert_eq!(end, whole[199_990..]);
    assert!(all(storage, "parts") == whole);
}

fn concurrent(storage: &dyn Storage) {
    let whole = content(1 << 20);
    upload(storage, "concurrent", &whole);
    let blob = storage.open("concurrent").unwrap().unwrap();
    std::thread::scope(|scope| {
        for reader in 0..6usize {
            let (blob, whole) = (blob.clone(), &whole);
            scope.spawn(move || {
                let begin = reader * 150_000;
                let mut bytes = Vec::new();
                blob.reader(begin as u64).take(120_000).read_to_end(&mut bytes).unwrap();
                assert!(bytes == whole[begin..begin + 120_000]);
            });
        }
    });
}

fn big(storage: &dyn Storage) {
    let whole = content((20 << 20) + 7);
    let mut told = 0;
    storage
        .upload("big/object", &blob(&whole), &CancellationToken::new(), &mut |sent| told += sent)
        .unwrap();
    assert_eq!(told, whole.len() as u64);
    assert_eq!(storage.size("big/object").unwrap(), Some(whole.len() as u64));
    assert!(all(storage, "big/object") == whole);
    assert_eq!(storage.list("big").unwrap().len(), 1);
}

fn replaced(storage: &dyn Storage) {
    let whole = content(9 << 20);
    storage.write("replaced", b"small").unwrap();
    upload(storage, "replaced", &whole);
    assert!(all(storage, "replaced") == whole);
    storage.write("replaced", b"small").unwrap();
    assert_eq!(storage.read("replaced").unwrap().unwrap(), b"small");
}

fn copied(storage: &dyn Storage) {
    storage.write("copied/from +%", b"content").unwrap();
    storage.write("copied/there", b"older").unwrap();
    for to in ["copied/to +%", "copied/deep/er", "copied/there"] {
        if storage.copy("copied/from +%", to).unwrap() {
            assert_eq!(storage.read(to).unwrap().unwrap(), b"content");
            storage.copy("copied/from +%", to).unwrap();
        }
    }
    let there = storage.list("copied").unwrap().len();
    storage.remove("copied/from +%").unwrap();
    assert_eq!(storage.list("copied").unwrap().len(), there - 1);
    for Listed { name, .. } in storage.list("copied").unwrap() {
        let content = storage.read(&format!("copied/{name}")).unwrap().unwrap();
        assert!([&b"content"[..], b"older"].contains(&content.as_slice()));
    }
}

fn modified(storage: &dyn Storage) {
    assert_eq!(storage.modified("modified/missing").unwrap(), None);
    storage.write("modified/one", b"1").unwrap();
    storage.write("modified/two", b"2").unwrap();
    let at = |name: &str| storage.modified(name).unwrap().unwrap();
    let apart = at("modified/two").duration_since(at("modified/one"));
    assert!((0..60).contains(&apart.as_secs()), "{apart:?}");
}

fn removed(storage: &dyn Storage) {
    storage.write("removed/object", b"x").unwrap();
    for _ in 0..2 {
        storage.remove("removed/object").unwrap();
        assert_eq!(storage.size("removed/object").unwrap(), None);
    }
    assert!(!storage.names("").unwrap().contains(&"removed".to_string()));
}

fn cancelled(storage: &dyn Storage) {
    let whole = blob(&content(30 << 20));
    for older in [None, Some(b"older")] {
        if let Some(older) = older {
            storage.write("cancelled/object", older).unwrap();
        }
        let cancel = CancellationToken::new();
        let mut told = 0;
        let result = storage.upload("cancelled/object", &whole, &cancel, &mut |sent| {
            told += sent;
            if told > 10 << 20 {
                cancel.cancel();
            }
        });
        assert_eq!(result.unwrap_err().code(), Code::Interrupted);
        assert_eq!(storage.read("cancelled/object").unwrap().as_deref(), older.map(|it| &it[..]));
        assert_eq!(storage.list("cancelled").unwrap().len(), usize::from(older.is_some()));
    }
}

fn created(storage: &dyn Storage) {
    let first = storage.create("created", b"first").unwrap();
    let second = storage.create("created", b"second").unwrap();
    let content = storage.read("created").unwrap();
    match (first, second) {
        (Created::New, Created::Existed) => assert_eq!(content.unwrap(), b"first"),
        (Created::New, Created::New) => assert_eq!(content.unwrap(), b"second"),
        (Created::CannotSay, Created::CannotSay) => assert!(content.is_none()),
        // The answer to the first request was lost, and it was repeated.
        (Created::Existed, Created::Existed) => assert_eq!(content.unwrap(), b"first"),
        other => panic!("{other:?}"),
    }
}
