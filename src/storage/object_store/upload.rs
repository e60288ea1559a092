//! Sending big objects in parts.

use crate::error::{Error, Result};
use crate::storage::Blob;
use bytes::Bytes;
use std::path::Path;

/// What an object is sent in at most without parts.
pub(super) const WHOLE: u64 = 8 << 20;

/// What parts that are under way may hold together.
const MEMORY: u64 = 64 << 20;

/// What no store takes more of (S3: 10,000; Azure: 50,000).
const PARTS: u64 = 10_000;

/// How an object is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// The bytes of a part.
    pub(super) part: usize,
    /// How many are under way at once.
    pub(super) at_once: usize,
}

/// How an object of `size` bytes is cut: into parts of 8 MiB, bigger ones where that would be
/// too many. One part is being filled while the others are under way. Objects beyond 320 GB
/// need parts so big that only one is under way, and then exceed [`MEMORY`].
pub(super) fn cut(size: u64) -> Cut {
    let part = size.div_ceil(PARTS).max(WHOLE).next_multiple_of(1 << 20);
    let at_once = (MEMORY / part).saturating_sub(2).clamp(1, 4);
    Cut { part: part as usize, at_once: at_once as usize }
}

/// The next `most` bytes of `content` from `offset` on.
pub(super) fn piece(content: &Blob, offset: u64, most: usize) -> Result<Bytes> {
    let left = content.size() - offset;
    let mut bytes = vec![0; usize::try_from(left).map_or(most, |left| left.min(most))];
    content
        .read_exact_at(&mut bytes, offset)
        .map_err(|e| Error::io("read", Path::new(content.name()), e))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_within_the_memory_and_the_number_of_parts() {
        for size in [0, 1, WHOLE, 20 << 20, 1 << 30, 100 << 30, 300 << 30] {
            let cut = cut(size);
            assert!(size.div_ceil(cut.part as u64) <= PARTS, "{size}: {cut:?}");
            assert!((cut.at_once + 1) as u64 * cut.part as u64 <= MEMORY, "{size}: {cut:?}");
        }
        assert_eq!(cut(1 << 30), Cut { part: WHOLE as usize, at_once: 4 });
        let huge = cut(5 << 40);
        assert!((5u64 << 40).div_ceil(huge.part as u64) <= PARTS);
    }
}
