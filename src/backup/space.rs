//! Whether a backup will fit.

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::size::bytes;
use std::path::Path;

/// The share of the sources' bytes that is expected to be stored without any history:
/// a guess that refuses only what cannot fit.
const UNKNOWN_SHARE: f64 = 0.3;

/// The most that is expected: what cannot be compressed, and its headers.
const MOST_SHARE: f64 = 1.1;

/// What is expected to be stored, and why.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expectation {
    pub(super) stored_bytes: u64,
    pub(super) because: String,
}

/// Expects the same share of the sources to be stored as in the backup before, given as
/// its source and stored bytes.
pub(super) fn expect(source_bytes: u64, previous: Option<(u64, u64)>) -> Expectation {
    let (share, because) = match previous {
        Some((source, stored)) if source > 0 => {
            // What every backup has besides its sources outweighs tiny ones.
            let share = (stored as f64 / source as f64).min(MOST_SHARE);
            (share, format!("the last backup stored {:.0} % of its sources", share * 100.0))
        }
        _ => (UNKNOWN_SHARE, "without an earlier backup, a guess of 30 %".into()),
    };
    Expectation { stored_bytes: (source_bytes as f64 * share).ceil() as u64, because }
}

/// Bytes that this process may still write to the file system of `path`, which need not
/// exist: its nearest existing ancestor counts.
pub(crate) fn free_bytes(path: &Path) -> Result<u64> {
    let existing =
        path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or_else(|| Path::new("/"));
    let stat = rustix::fs::statvfs(existing)
        .map_err(|e| Error::io("read the free space of", existing, e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The directory whose file system a backup is put together on.
pub(super) fn workspace(config: &Config) -> &Path {
    match &config.repository.url {
        None => &config.repository.path,
        Some(_) => &config.state.dir,
    }
}

/// Fails where `path` has less than `needed` bytes free.
///
/// # Errors
/// `disk_full`
pub(crate) fn require(path: &Path, needed: u64, what_for: &str) -> Result<()> {
    let free = free_bytes(path)?;
    if free >= needed {
        return Ok(());
    }
    Err(Error::new(Code::DiskFull, what_for, path.display()).cause(format!(
        "about {} are needed, {} are free",
        bytes(needed),
        bytes(free)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_tells_how_much_is_stored() {
        assert_eq!(expect(1000, Some((200, 100))).stored_bytes, 500);
        assert_eq!(expect(1000, Some((0, 0))).stored_bytes, 300);
        assert_eq!(expect(1000, None).stored_bytes, 300);
        assert_eq!(expect(1000, Some((2, 220))).stored_bytes, 1100);
    }

    #[test]
    fn what_cannot_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let beyond = dir.path().join("not/there");
        assert!(free_bytes(&beyond).unwrap() > 0);
        assert!(require(&beyond, 1, "write to").is_ok());
        assert_eq!(require(&beyond, u64::MAX, "write to").unwrap_err().code(), Code::DiskFull);
    }
}
