use super::*;
use crate::config::Encryption;
use crate::error::Code;
use crate::storage::Blob;
use age::secrecy::{ExposeSecret, SecretString};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A directory with a key, and what belongs to it.
struct Key {
    dir: TempDir,
    recipients: Recipients,
}

impl Key {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = generate(&dir.path().join("key.txt")).unwrap();
        let recipients = Recipients::parse([made.recipient.as_str()]).unwrap();
        Self { dir, recipients }
    }

    fn config(&self) -> Encryption {
        Encryption {
            recipients: Vec::new(),
            identity_file: Some(self.dir.path().join("key.txt")),
            passphrase_env: None,
            passphrase_file: None,
        }
    }

    fn identities(&self) -> Identities {
        Identities::of(Some(&self.config()))
    }

    fn sealed(&self, content: &[u8]) -> Vec<u8> {
        let mut sealing = self.recipients.seal(Vec::new()).unwrap();
        sealing.write_all(content).unwrap();
        sealing.finish().unwrap()
    }

    fn open(&self, stored: Vec<u8>) -> crate::error::Result<Blob> {
        self.identities().open(blob(stored))
    }
}

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl crate::storage::ReadAt for Bytes {
    /// Short reads are what a store answers with.
    fn read_at(&self, into: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let held = self.0.get(offset as usize..).unwrap_or_default();
        let count = held.len().min(into.len()).min(50_000);
        into[..count].copy_from_slice(&held[..count]);
        Ok(count)
    }
}

fn blob(stored: Vec<u8>) -> Blob {
    let size = stored.len() as u64;
    Blob::new(Arc::new(Bytes(stored)), size, "object.age")
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / 251 + place) as u8).collect()
}

fn read(blob: &Blob) -> Vec<u8> {
    let mut all = Vec::new();
    blob.reader(0).read_to_end(&mut all).unwrap();
    all
}

const LENGTHS: [usize; 8] = [0, 1, 1000, 65_535, 65_536, 65_537, 131_072, 400_000];

#[test]
fn what_was_sealed_is_read_back_whatever_its_length() {
    let key = Key::new();
    for length in LENGTHS {
        let content = content(length);
        let opened = key.open(key.sealed(&content)).unwrap();
        assert_eq!(opened.size(), length as u64);
        assert_eq!(opened.name(), "object.age");
        assert_eq!(read(&opened), content, "{length}");
    }
}

#[test]
fn every_part_is_read_without_the_rest() {
    let key = Key::new();
    for length in LENGTHS {
        let content = content(length);
        let opened = key.open(key.sealed(&content)).unwrap();
        let edges = [0, 1, 999, 65_535, 65_536, 65_537, 131_071, 131_072, 262_144, 400_000];
        // From every edge to every other one, in an order that jumps back and forth.
        for (start, end) in edges.iter().flat_map(|one| edges.map(|other| (other, *one))) {
            if start <= end && end <= length {
                let mut part = vec![0; end - start];
                opened.read_exact_at(&mut part, start as u64).unwrap();
                assert!(part == content[start..end], "{start}..{end} of {length}");
            }
        }
        let mut beyond = [0];
        assert!(opened.read_exact_at(&mut beyond, length as u64).is_err());
    }
}

#[test]
fn several_threads_read_at_once() {
    let key = Key::new();
    let content = content(700_000);
    let opened = key.open(key.sealed(&content)).unwrap();
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (opened, content) = (&opened, &content);
            scope.spawn(move || {
                for step in 0..40 {
                    let start = (number * 61_007 + step * 104_729) % 600_000;
                    let mut part = vec![0; 70_001];
                    opened.read_exact_at(&mut part, start as u64).unwrap();
                    assert!(part == content[start..start + 70_001]);
                }
            });
        }
    });
}

#[test]
fn a_changed_byte_is_damage_and_what_lies_apart_is_still_read() {
    let key = Key::new();
    let content = content(300_000);
    let mut stored = key.sealed(&content);
    let place = stored.len() - 200_000;
    stored[place] ^= 1;
    let opened = key.open(stored).unwrap();
    let error = opened.read_exact_at(&mut vec![0; 300_000], 0).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let mut part = vec![0; 1000];
    opened.read_exact_at(&mut part, 0).unwrap();
    assert!(part == content[..1000]);
}

#[test]
fn an_object_that_lacks_its_end_is_not_opened() {
    let key = Key::new();
    let stored = key.sealed(&content(200_000));
    let header = stored.len() - (200_000 + 4 * 16);
    // Inside of a chunk, between two, in the header, and nothing at all.
    for length in [stored.len() - 1, header + 2 * 65_552, header - 5, 10, 0] {
        let error = key.open(stored[..length].to_vec()).unwrap_err();
        assert_eq!(error.code(), Code::BackupDamaged, "{length}: {error}");
    }
    let error = key.open(b"not an age file, but some text that is long enough".to_vec());
    assert_eq!(error.unwrap_err().code(), Code::BackupDamaged);
}

#[test]
fn another_key_is_refused_and_named_as_the_reason() {
    let (key, other) = (Key::new(), Key::new());
    let error = other.open(key.sealed(b"secret")).unwrap_err();
    assert_eq!(error.code(), Code::KeyWrong);
    assert_eq!(Identities::of(None).open(blob(Vec::new())).unwrap_err().code(), Code::KeyMissing);
    std::fs::remove_file(key.dir.path().join("key.txt")).unwrap();
    assert_eq!(key.open(key.sealed(b"secret")).unwrap_err().code(), Code::KeyMissing);
}

#[test]
fn each_recipient_reads_everything() {
    let (one, other) = (Key::new(), Key::new());
    let names: Vec<String> = [&one, &other].iter().flat_map(|key| key.recipients.names()).collect();
    let both = Recipients::parse(names.iter().map(String::as_str)).unwrap();
    let mut sealing = both.seal(Vec::new()).unwrap();
    sealing.write_all(b"for both").unwrap();
    let stored = sealing.finish().unwrap();
    for key in [one, other] {
        assert_eq!(read(&key.open(stored.clone()).unwrap()), b"for both");
    }
}

#[test]
fn a_file_of_keys_may_be_protected_by_a_passphrase() {
    let key = Key::new();
    let file = key.dir.path().join("key.txt");
    let plain = std::fs::read(&file).unwrap();
    let words = key.dir.path().join("words");
    let mut protection =
        age::scrypt::Recipient::new(SecretString::from("correct horse".to_owned()));
    protection.set_work_factor(2);
    for armored in [false, true] {
        let recipient = std::iter::once(&protection as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipient).unwrap();
        let format =
            if armored { age::armor::Format::AsciiArmor } else { age::armor::Format::Binary };
        let output = age::armor::ArmoredWriter::wrap_output(Vec::new(), format).unwrap();
        let mut sealing = encryptor.wrap_output(output).unwrap();
        sealing.write_all(&plain).unwrap();
        let locked = sealing.finish().unwrap().finish().unwrap();
        std::fs::write(&file, locked).unwrap();

        let config = Encryption { passphrase_file: Some(words.clone()), ..key.config() };
        std::fs::write(&words, "correct horse\nsomething else\n").unwrap();
        let opened = Identities::of(Some(&config)).open(blob(key.sealed(b"x"))).unwrap();
        assert_eq!(read(&opened), b"x");

        std::fs::write(&words, "wrong horse\n").unwrap();
        let error = Identities::of(Some(&config)).open(blob(key.sealed(b"x"))).unwrap_err();
        assert_eq!(error.code(), Code::KeyWrong);
        assert!(!format!("{error} {error:?} {config:?}").contains("horse"), "{error:?}");
    }
}

#[test]
fn no_message_repeats_a_line_of_the_file_of_keys() {
    let key = Key::new();
    let file = key.dir.path().join("key.txt");
    let secret = std::fs::read_to_string(&file).unwrap();
    let secret = secret.lines().last().unwrap().replace('Q', "B");
    std::fs::write(&file, format!("# a comment\n\n{secret}X\n")).unwrap();
    let error = key.open(key.sealed(b"x")).unwrap_err();
    assert_eq!(error.code(), Code::KeyMissing);
    assert!(error.to_string().contains("line 3"), "{error}");
    assert!(!format!("{error} {error:?}").contains("AGE-SECRET-KEY-1"), "{error:?}");
    assert!(!format!("{:?}", key.identities()).contains("AGE-SECRET-KEY"));
}

#[test]
fn a_new_key_never_replaces_a_file() {
    use std::os::unix::fs::PermissionsExt;
    let key = Key::new();
    let file = key.dir.path().join("key.txt");
    let before = std::fs::read(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(generate(&file).unwrap_err().code(), Code::Usage);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(key.identities().recipients().unwrap(), key.recipients.names());
}

#[tokio::test]
async fn a_stream_is_sealed_as_a_file_is() {
    use tokio::io::AsyncWriteExt;
    let key = Key::new();
    for length in LENGTHS {
        let content = content(length);
        let (output, mut input) = tokio::io::duplex(1000);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut input, &mut all).await.unwrap();
            all
        });
        let mut stream = key.recipients.seal_stream(output).unwrap();
        stream.write_all(&content).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(stream.write_all(b"more").await.is_err());
        drop(stream);
        let opened = key.open(reading.await.unwrap()).unwrap();
        assert_eq!(read(&opened), content, "{length}");
    }
}

#[test]
fn a_sealed_file_is_described_as_it_was_and_as_it_is_stored() {
    let key = Key::new();
    let (plain, sealed) = (key.dir.path().join("plain"), key.dir.path().join("plain.age"));
    std::fs::write(&plain, content(70_000)).unwrap();
    let described = |path: &Path| {
        let (size, sha256) = crate::repository::hash_file(&CancellationToken::new(), path).unwrap();
        StoredBytes { size, sha256 }
    };
    let cancel = CancellationToken::new();
    let (before, stored) = key.recipients.seal_file(&plain, &sealed, &cancel).unwrap();
    assert_eq!(before, described(&plain));
    assert_eq!(stored, described(&sealed));
    assert_eq!(
        read(&key.identities().open(Blob::file(&sealed).unwrap()).unwrap()),
        content(70_000)
    );
    cancel.cancel();
    let error = key.recipients.seal_file(&plain, &key.dir.path().join("other"), &cancel);
    assert_eq!(error.unwrap_err().code(), Code::Interrupted);
}

#[test]
fn without_recipients_objects_are_stored_as_they_are() {
    let mut sealing = NOBODY.seal(Vec::new()).unwrap();
    sealing.write_all(b"plain").unwrap();
    assert_eq!(sealing.finish().unwrap(), b"plain");
    assert_eq!(NOBODY.stored_name("files/index.parquet"), "files/index.parquet");
    assert_eq!(Key::new().recipients.stored_name("a"), "a.age");
}

#[test]
fn a_secret_key_among_the_recipients_is_refused_without_being_repeated() {
    let secret = age::x25519::Identity::generate().to_string();
    let secret = secret.expose_secret();
    let reason = secret.parse::<crate::config::Recipient>().unwrap_err();
    assert!(reason.contains("secret key") && !reason.contains(secret), "{reason}");
    assert!("age1nonsense".parse::<crate::config::Recipient>().is_err());
}

#[test]
fn what_comes_before_a_missing_end_is_read_when_asked_for() {
    let key = Key::new();
    let content = content(300_000);
    let stored = key.sealed(&content);
    for cut in [1, 100, 60_000, 120_000] {
        let rest = blob(stored[..stored.len() - cut].to_vec());
        let opened = key.identities().open_damaged(rest).unwrap();
        let left = opened.size() as usize;
        assert!(left.is_multiple_of(65_536) && left + cut + 65_536 > 300_000, "{cut}: {left}");
        assert!(read(&opened) == content[..left]);
        let mut part = vec![0; 65_536];
        opened.read_exact_at(&mut part, 65_536).unwrap();
        assert!(part == content[65_536..131_072]);
    }
    assert_eq!(read(&key.identities().open_damaged(blob(stored)).unwrap()), content);
}
