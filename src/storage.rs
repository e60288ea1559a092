//! Bytes under names: where the objects of a repository lie, on a disk or in an object store.
//!
//! A name is a path of `/`-separated parts that are neither empty, `.` nor `..`. What is
//! written under a name appears there at once and whole, or not at all. Nothing here rests on
//! conditional writes, which some stores accept and ignore: names that must not collide are
//! unique by construction.

mod blob;
mod failure;
mod hashing;
mod local;
mod object_store;
mod retrying;
mod scratch;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
#[path = "../tests/it/support/store.rs"]
pub(crate) mod server;
#[cfg(test)]
mod tests;

pub use blob::{Blob, BlobReader, ReadAt, seek_from};
pub use hashing::Hashing;
pub use local::LocalStorage;
pub use object_store::ObjectStore;
pub use retrying::{Patience, Retrying};
pub use scratch::{Scratch, clear_scratch};

use crate::config::Place;
use crate::error::{Code, Error, Result};
use jiff::Timestamp;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The store of a server that tests started.
#[cfg(test)]
pub(crate) fn server_store(server: &server::S3Server) -> crate::config::Store {
    tests::s3(server, server::SECRET)
}

/// How objects begin that have no name yet; a crash may leave one, and no listing shows it.
const NEW: &str = ".backstop-new-";

/// The storage at `place`. Nothing is said to a store yet.
///
/// # Errors
/// `storage_failed` where a store's config does not suffice or a credential is missing.
pub fn open(place: &Place) -> Result<Arc<dyn Storage>> {
    Ok(match place {
        Place::Directory(path) => Arc::new(LocalStorage::new(path)),
        Place::Store(store) => {
            Arc::new(Retrying::new(ObjectStore::new(store)?, Patience::default()))
        }
    })
}

/// Ends the connections that outlive their process by themselves, those of SSH, where a store is
/// still used when the process ends; requests that it makes from now on fail. Waits a few
/// seconds at most.
pub fn close() {
    object_store::close();
}

/// Where objects lie. Every method blocks; none may be called on an async thread.
///
/// # Errors
/// Of all methods: `unsafe_path` for a name that is none, `storage_unreachable` where a store
/// does not answer after bounded retries, `storage_failed` where it refuses, and what the
/// operating system says of a disk.
pub trait Storage: Debug + Send + Sync {
    /// An object, or with an empty name the storage itself, as messages call it. No secrets.
    fn shown(&self, name: &str) -> String;

    /// The directory of a storage that is one: its objects are files there.
    fn directory(&self) -> Option<&Path> {
        None
    }

    /// An object's size in bytes; none where there is no such object.
    fn size(&self, name: &str) -> Result<Option<u64>>;

    /// An object, to read parts of it; none where there is no such object.
    fn open(&self, name: &str) -> Result<Option<Blob>>;

    /// The whole of a small object; none where there is no such object.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// The next parts of the names below `dir`, sorted, each once; empty where there are none.
    fn names(&self, dir: &str) -> Result<Vec<String>>;

    /// Every object below `dir`, relative to it, sorted; empty where there are none.
    fn list(&self, dir: &str) -> Result<Vec<Listed>>;

    /// Writes a small object, in place of an older one.
    fn write(&self, name: &str, content: &[u8]) -> Result<()>;

    /// Writes an object of any size, in place of an older one. `sent` is told of bytes as they
    /// are written.
    ///
    /// # Errors
    /// `interrupted` when `cancel` is set.
    fn upload(
        &self,
        name: &str,
        content: &Blob,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
    ) -> Result<()>;

    /// Writes a small object where there is none of this name, as far as the storage can tell
    /// that at all. Nothing may rest on it: it shows what a store does.
    fn create(&self, name: &str, content: &[u8]) -> Result<Created> {
        let _ = (name, content);
        Ok(Created::CannotSay)
    }

    /// Makes `to` hold what `from` holds, without the bytes passing through this process where
    /// the storage can do that; false where it cannot, and nothing was done.
    fn copy(&self, from: &str, to: &str) -> Result<bool>;

    /// When an object was written, by the storage's own clock, to the second or better; none
    /// where there is no such object.
    fn modified(&self, name: &str) -> Result<Option<Timestamp>>;

    /// Removes an object; one that is not there is no error.
    fn remove(&self, name: &str) -> Result<()>;
}

/// What a storage says of an object that should be new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    New,
    /// There was one already, and it stayed.
    Existed,
    /// The storage knows no such request; nothing was done.
    CannotSay,
}

/// An object as a listing tells of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name, relative to what was listed.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

/// Refuses what is not the name of an object.
///
/// # Errors
/// `unsafe_path`.
pub fn check_name(name: &str) -> Result<()> {
    let is_part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if name.split('/').all(is_part) {
        return Ok(());
    }
    Err(Error::new(Code::UnsafePath, "open object", format!("`{name}`"))
        .cause("the name leads out of where it belongs"))
}
