//! Every content that an earlier backup holds, to be found by size and hash: a file that was
//! renamed or copied is not stored again.

use super::index::{Content, IndexReader, Place};
use crate::error::Result;

/// How many contents are kept, the largest first; 56 bytes each. What lies beyond is stored
/// again when it moves.
const MOST: usize = 1 << 20;

/// The contents of one index.
#[derive(Debug, Default)]
pub struct Contents {
    /// Ordered by hash.
    held: Vec<Held>,
    /// Ordered.
    sizes: Vec<u64>,
    /// Backup and archive, which many contents share.
    archives: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    sha256: [u8; 32],
    size: u64,
    offset: u64,
    frame: u32,
    archive: u16,
    sparse: bool,
}

/// Where a content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The id of the backup that holds it.
    pub stored_in: String,
    /// The archive's path in that backup.
    pub archive: String,
    /// Its place in the archive.
    pub place: Place,
}

impl Contents {
    /// Reads the contents of all components.
    ///
    /// # Errors
    /// [`Code::BackupDamaged`](crate::error::Code) when the index cannot be read.
    pub fn read(index: &IndexReader) -> Result<Self> {
        Self::read_most(index, MOST)
    }

    fn read_most(index: &IndexReader, most: usize) -> Result<Self> {
        let mut contents = Self::default();
        for content in index.contents() {
            contents.add(&content?);
            if contents.held.len() >= most + most / 4 {
                contents.keep_largest(most);
            }
        }
        contents.keep_largest(most);
        contents.held.sort_unstable_by_key(|held| held.sha256);
        contents.held.dedup_by_key(|held| held.sha256);
        contents.held.shrink_to_fit();
        contents.sizes = contents.held.iter().map(|held| held.size).collect();
        contents.sizes.sort_unstable();
        contents.sizes.dedup();
        Ok(contents)
    }

    fn add(&mut self, content: &Content) {
        let Content { size, sha256, place, .. } = *content;
        if size == 0 {
            return;
        }
        let (stored_in, archive) = (content.stored_in.as_str(), content.archive.as_str());
        let is_it = |known: &(String, String)| known.0 == stored_in && known.1 == archive;
        let number = self.archives.iter().rposition(is_it).unwrap_or_else(|| {
            self.archives.push((stored_in.to_owned(), archive.to_owned()));
            self.archives.len() - 1
        });
        let (Ok(archive), Ok(frame)) = (u16::try_from(number), u32::try_from(place.frame)) else {
            return;
        };
        let Place { offset, sparse, .. } = place;
        self.held.push(Held { sha256, size, offset, frame, archive, sparse });
    }

    fn keep_largest(&mut self, most: usize) {
        if self.held.len() > most {
            self.held.select_nth_unstable_by(most, |one, other| other.size.cmp(&one.size));
            self.held.truncate(most);
        }
    }

    /// Whether a content of this size is held, so that hashing one may be worth it.
    pub fn has_size(&self, size: u64) -> bool {
        self.sizes.binary_search(&size).is_ok()
    }

    /// Where the content of this size and hash lies.
    pub fn find(&self, size: u64, sha256: &[u8; 32]) -> Option<Location> {
        let found = self.held.binary_search_by_key(sha256, |held| held.sha256).ok()?;
        let held = self.held.get(found).filter(|held| held.size == size)?;
        let (stored_in, archive) = self.archives.get(usize::from(held.archive))?.clone();
        let place = Place { frame: held.frame.into(), offset: held.offset, sparse: held.sparse };
        Some(Location { stored_in, archive, place })
    }
}
