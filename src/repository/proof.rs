//! Whether an object is what a manifest says of it.

use super::checksums::hash_blob;
use super::manifest::Object;
use super::published::is_no_damage;
use crate::error::Result;
use crate::storage::Storage;
use tokio_util::sync::CancellationToken;

/// Whether what lies under `name` has the bytes of `object`. All of it is read: its size says
/// nothing of what an interrupted attempt or a failing disk left. What cannot be read is not what
/// it should be.
///
/// # Errors
/// `interrupted` when `cancel` is set, and what a store answers.
pub(super) fn is_as_written(
    storage: &dyn Storage,
    name: &str,
    object: &Object,
    cancel: &CancellationToken,
) -> Result<bool> {
    let blob = match storage.open(name)? {
        Some(blob) if blob.size() == object.size => blob,
        _ => return Ok(false),
    };
    match hash_blob(cancel, &blob) {
        Ok((_, sha256)) => Ok(sha256 == object.sha256),
        Err(e) if is_no_damage(&e) => Err(e),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::checksums::hash_bytes;
    use crate::storage::memory::MemoryStorage;

    #[test]
    fn the_same_size_is_not_enough() {
        let storage = MemoryStorage::new();
        storage.write("sound", b"abc").unwrap();
        storage.write("damaged", b"abd").unwrap();
        storage.write("short", b"ab").unwrap();
        let object = Object { path: "any".into(), size: 3, sha256: hash_bytes(b"abc") };
        let cancel = CancellationToken::new();
        let is_sound = |name| is_as_written(&storage, name, &object, &cancel).unwrap();
        assert!(is_sound("sound"));
        assert!(!["damaged", "short", "missing"].into_iter().any(is_sound));
        cancel.cancel();
        assert!(is_as_written(&storage, "sound", &object, &cancel).is_err());
    }
}
