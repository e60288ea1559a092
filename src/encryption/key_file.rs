//! The file of secret keys: read, unlocked where a passphrase protects it, and made anew.
//!
//! The format is `age-keygen`'s: a line `AGE-SECRET-KEY-1…` a key, and comments with `#`. Such
//! a file may itself be encrypted with a passphrase, as `age -p` does, armored or not.

use super::passphrase::Passphrase;
use crate::error::{Code, Error, Result};
use age::secrecy::{ExposeSecret, SecretString};
use age::{DecryptError, Decryptor};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// More than any file of keys.
const LARGEST: u64 = 1 << 20;

/// How much work unlocking may take at most, as the logarithm of scrypt's N: `age -p` writes
/// 18, which is a second, and each one more doubles that.
const MOST_WORK: u8 = 22;

const READ: &str = "read the identity file";

/// The keys in the file at `path`.
pub(super) fn read(path: &Path, passphrase: &Passphrase) -> Result<Vec<age::x25519::Identity>> {
    let unreadable = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => {
            Error::new(Code::KeyMissing, READ, path.display()).cause("there is no such file")
        }
        _ => Error::io(READ, path, e),
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(LARGEST).read_to_end(&mut content).map_err(unreadable)?;
    let text = if is_locked(&content) {
        unlock(&content, path, passphrase)?
    } else {
        text(content, path)?
    };
    parse(text.expose_secret(), path)
}

/// Whether the file at `path` is there and protected by a passphrase.
pub(super) fn is_protected(path: &Path) -> bool {
    let mut start = [0; 64];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start));
    read.is_ok_and(|count| is_locked(&start[..count]))
}

fn is_locked(content: &[u8]) -> bool {
    content.starts_with(b"age-encryption.org/")
        || content.trim_ascii_start().starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

fn text(content: Vec<u8>, path: &Path) -> Result<SecretString> {
    String::from_utf8(content).map(SecretString::from).map_err(|_| no_keys(path))
}

fn no_keys(path: &Path) -> Error {
    Error::new(Code::KeyMissing, READ, path.display())
        .cause("it holds no secret key of age")
        .hint("it should have a line that begins with AGE-SECRET-KEY-1, as `age-keygen` writes it")
}

fn parse(text: &str, path: &Path) -> Result<Vec<age::x25519::Identity>> {
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line is never repeated: it may be a key with a typing error.
        keys.push(line.parse().map_err(|_: &str| {
            Error::new(Code::KeyMissing, READ, path.display())
                .cause(format!("line {} is no secret key of age", number + 1))
        })?);
    }
    if keys.is_empty() { Err(no_keys(path)) } else { Ok(keys) }
}

fn unlock(content: &[u8], path: &Path, passphrase: &Passphrase) -> Result<SecretString> {
    let damaged = |e: DecryptError| {
        Error::new(Code::KeyMissing, READ, path.display())
            .cause(format!("it is damaged: {e}"))
            .hint("use another copy of the identity file")
    };
    let armored = age::armor::ArmoredReader::new(content);
    let decryptor = Decryptor::new_buffered(armored).map_err(damaged)?;
    if !decryptor.is_scrypt() {
        return Err(Error::new(Code::KeyMissing, READ, path.display())
            .cause("it is encrypted, and not with a passphrase")
            .hint("decrypt it, or protect it with `age -p`"));
    }
    let mut key = age::scrypt::Identity::new(passphrase.get(path)?);
    key.set_max_work_factor(MOST_WORK);
    let mut stream =
        decryptor.decrypt(std::iter::once(&key as &dyn age::Identity)).map_err(|e| match e {
            DecryptError::DecryptionFailed
            | DecryptError::KeyDecryptionFailed
            | DecryptError::NoMatchingKeys => {
                Error::new(Code::KeyWrong, "unlock the identity file", path.display())
                    .cause("the passphrase is wrong")
                    .hint("check passphrase_env or passphrase_file in [encryption]")
            }
            other => damaged(other),
        })?;
    let mut plain = Vec::new();
    stream.read_to_end(&mut plain).map_err(|e| damaged(DecryptError::Io(e)))?;
    text(plain, path)
}

/// A key that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedKey {
    /// Its public key, for `recipients`.
    pub recipient: String,
}

/// Makes a new secret key and writes it to the new file `path`, with mode 0600.
///
/// # Errors
/// `usage` where the file exists: what it holds may be the only key of some backup.
pub fn generate(path: &Path) -> Result<GeneratedKey> {
    let key = age::x25519::Identity::generate();
    let recipient = key.to_public().to_string();
    let secret = key.to_string();
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "# created: {}", crate::clock::now())?;
        writeln!(file, "# public key: {recipient}")?;
        writeln!(file, "{}", secret.expose_secret())?;
        file.sync_all()?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Error::new(Code::Usage, "write the new key to", path.display())
            .cause("the file exists, and may hold the only key of some backup")
            .hint("choose another file"),
        _ => Error::io("write the new key to", path, e),
    })?;
    Ok(GeneratedKey { recipient })
}
