//! Everything that lies in a repository, by one listing.

use super::{BACKUPS, Repository};
use crate::error::Result;
use std::collections::BTreeMap;

/// The sizes of the objects of each backup, by its name and theirs.
pub type Listing = BTreeMap<String, BTreeMap<String, u64>>;

impl Repository {
    /// Every object in `backups/` with its size. On a store there may be names that are no
    /// backups, because they are not published yet.
    pub fn listing(&self) -> Result<Listing> {
        let mut listing = Listing::new();
        for found in self.storage.list(BACKUPS)? {
            if let Some((backup, object)) = found.name.split_once('/') {
                let objects = listing.entry(backup.to_owned()).or_default();
                objects.insert(object.to_owned(), found.size);
            }
        }
        Ok(listing)
    }
}
