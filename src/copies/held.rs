//! What a copy holds of each backup, as far as names and sizes tell.

use crate::error::{Code, Result};
use crate::repository::manifest::MANIFEST;
use crate::repository::{Listing, Repository};
use std::collections::{BTreeMap, BTreeSet};

/// What lies in a copy now. What is remembered of it says nothing: others may have deleted there,
/// and a store may lose things.
pub(super) struct Held<'a> {
    source: &'a Repository,
    target: &'a Repository,
    /// What lies here, and what lies there: one listing of each tells all of a store, where every
    /// question costs a request. In a directory each backup is looked at by itself.
    listings: Option<(Listing, Listing)>,
}

/// What a copy holds of one backup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All of it, with the right sizes.
    Whole,
    /// Nothing that makes it a backup.
    Nothing,
    /// These are not as they should be.
    Damaged(BTreeSet<String>),
}

impl<'a> Held<'a> {
    /// What `target` holds of `source`.
    pub(super) fn of(source: &'a Repository, target: &'a Repository) -> Result<Self> {
        let listings = match target.directory() {
            Some(_) => None,
            None => Some((source.listing()?, target.listing()?)),
        };
        Ok(Self { source, target, listings })
    }

    /// What it holds of the backup `name`.
    pub(super) fn find(&self, name: &str) -> Result<Found> {
        if let Some((here, there)) = &self.listings {
            let lying = there.get(name).filter(|objects| objects.contains_key(MANIFEST));
            match lying {
                None => return Ok(Found::Nothing),
                Some(lying) if here.get(name) == Some(lying) && self.is_expected(name, lying) => {
                    return Ok(Found::Whole);
                }
                // Either of the two may be damaged, or both.
                Some(_) => {}
            }
        }
        look(self.target, name)
    }

    /// Whether these are the objects that the manifest here says. Only a manifest on a disk is
    /// asked: on a store that would be a request for each backup, and two places seldom lose the
    /// same.
    fn is_expected(&self, name: &str, lying: &BTreeMap<String, u64>) -> bool {
        self.source.directory().is_none()
            || self.source.backup(name).is_ok_and(|backup| {
                let objects = &backup.manifest().objects;
                objects.iter().all(|object| lying.get(&object.path) == Some(&object.size))
            })
    }
}

/// What a copy holds of the backup `name`, by its own manifest and checksums.
pub(super) fn look(target: &Repository, name: &str) -> Result<Found> {
    let backup = match target.backup(name) {
        Err(e) if e.code() == Code::BackupNotFound => return Ok(Found::Nothing),
        Err(e) if e.code() == Code::BackupDamaged => {
            return Ok(Found::Damaged([MANIFEST.to_owned()].into()));
        }
        opened => opened?,
    };
    let damages = backup.check_sizes()?;
    Ok(match damages.is_empty() {
        true => Found::Whole,
        false => Found::Damaged(damages.into_iter().map(|damage| damage.object).collect()),
    })
}
