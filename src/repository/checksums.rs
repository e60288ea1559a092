//! `SHA256SUMS`: what `sha256sum -c` verifies.

use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::storage::Blob;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// The name of the file inside a backup's directory.
pub(super) const CHECKSUMS: &str = "SHA256SUMS";

/// SHA-256 by path, relative to the backup's directory, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checksums(pub BTreeMap<String, String>);

impl Checksums {
    /// The text of the file: `HASH  PATH` a line, as GNU `sha256sum` writes it in text mode.
    pub fn to_text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (path, hash)| {
            let _ = writeln!(text, "{hash}  {path}");
            text
        })
    }

    /// Reads the text back.
    ///
    /// # Errors
    /// `backup_damaged` for a line of another form.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        text.lines()
            .map(|line| {
                line.split_once("  ")
                    .filter(|(hash, path)| hash.len() == 64 && !path.is_empty())
                    .map(|(hash, path)| (path.to_string(), hash.to_string()))
                    .ok_or_else(|| {
                        Error::new(Code::BackupDamaged, "read", file.display())
                            .cause(format!("`{line}` is not `HASH  PATH`"))
                    })
            })
            .collect::<Result<_>>()
            .map(Self)
    }
}

/// Size in bytes and SHA-256 in hex of a file's content.
///
/// # Errors
/// `interrupted` when `cancel` is set: it may be so large that nobody waits for its end.
pub fn hash_file(cancel: &CancellationToken, path: &Path) -> Result<(u64, String)> {
    hash_blob(cancel, &Blob::file(path)?)
}

/// The same of an object.
pub fn hash_blob(cancel: &CancellationToken, blob: &Blob) -> Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut reader = blob.reader(0);
    let mut buffer = vec![0; 256 * 1024];
    while !cancel.is_cancelled() {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((size, hex(&hash.finalize()))),
            Ok(count) => {
                size += count as u64;
                hash.update(&buffer[..count]);
            }
            Err(e) => return Err(Error::io("read", Path::new(blob.name()), e)),
        }
    }
    Err(Error::new(Code::Interrupted, "read", blob.name()))
}

/// SHA-256 in hex of `content`.
pub(super) fn hash_bytes(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_reads_back() {
        let sums = Checksums(BTreeMap::from([
            ("files/a b.tar.zst".to_string(), hash_bytes(b"a")),
            ("manifest.json".to_string(), hash_bytes(b"")),
        ]));
        assert_eq!(Checksums::parse(&sums.to_text(), Path::new("x")).unwrap(), sums);
        assert!(Checksums::parse("garbage", Path::new("x")).is_err());
    }

    #[test]
    fn a_file_hashes_as_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(hash_file(&CancellationToken::new(), &path).unwrap(), (3, hash_bytes(b"abc")));
    }
}
