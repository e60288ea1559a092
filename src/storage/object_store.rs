//! An object store: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage,
//! WebDAV and SFTP, all through opendal.
//!
//! S3, Google and Azure make an object visible at once and whole, also one that was sent in
//! parts. WebDAV and SFTP do not promise that, so there an object is written under a name that
//! no listing shows, and renamed. What a crash leaves there stays, as do the parts of an
//! upload that never ended on the other stores, until their own rules for such uploads remove
//! them; neither is ever taken for an object.

mod failure;
mod ranges;
mod runtime;
mod service;
mod stream;
mod upload;

use super::failure::unreachable;
use super::{Blob, Created, Listed, NEW, Storage, check_name};
use crate::config::{Store, StoreUrl};
use crate::error::{Code, Error, Result};
use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use opendal::{Buffer, ErrorKind};
use ranges::Ranges;
use runtime::patience;
use service::Connection;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The objects below a prefix of a store. Every request is made once: see
/// [`Retrying`](super::Retrying).
#[derive(Debug)]
pub struct ObjectStore {
    access: Arc<Access>,
}

/// A connection together with its address.
#[derive(Debug)]
struct Access {
    url: StoreUrl,
    connection: Connection,
}

impl Access {
    fn shown(&self, name: &str) -> String {
        match (name, self.url.prefix()) {
            ("", _) => self.url.to_string(),
            (name, _) => format!("{}/{name}", self.url),
        }
    }

    /// Makes a request that moves `bytes`; none where what it speaks of is not there.
    fn ask<T: Send>(
        &self,
        attempted: &str,
        name: &str,
        bytes: usize,
        request: impl Future<Output = opendal::Result<T>> + Send,
    ) -> Result<Option<T>> {
        match self.connection.threads.wait(patience(bytes), request)? {
            Some(Ok(answer)) => Ok(Some(answer)),
            Some(Err(e)) if e.kind() == ErrorKind::NotFound => Ok(None),
            Some(Err(e)) => Err(self.connection.failures.of(attempted, self.shown(name), &e)),
            None => Err(unreachable(attempted, self.shown(name), "it did not answer in time")),
        }
    }

    /// As [`ask`](Self::ask), of what has to be there.
    fn require<T: Send>(
        &self,
        attempted: &str,
        name: &str,
        bytes: usize,
        request: impl Future<Output = opendal::Result<T>> + Send,
    ) -> Result<T> {
        self.ask(attempted, name, bytes, request)?.ok_or_else(|| {
            Error::new(Code::StorageFailed, attempted, self.shown(name))
                .cause("the store says that there is no such thing")
                .hint("check the bucket, container or path in the url")
        })
    }

    /// `length` bytes of an object from `offset` on; fewer where it ends before.
    fn range(&self, name: &str, offset: u64, length: usize) -> Result<Bytes> {
        let range = offset..offset + length as u64;
        let operator = &self.connection.operator;
        let request = async { operator.read_with(name).range(range).await };
        Ok(self.require("read", name, length, request)?.to_bytes())
    }

    /// Where an object is written before it gets its name.
    fn unnamed(&self, name: &str) -> Result<String> {
        let mut bits = [0u8; 8];
        rustix::rand::getrandom(&mut bits, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| Error::new(Code::Io, "name", self.shown(name)).cause(e))?;
        let unique = u64::from_ne_bytes(bits);
        let dir = name.rsplit_once('/').map_or(String::new(), |(dir, _)| format!("{dir}/"));
        Ok(format!("{dir}{NEW}{unique:016x}"))
    }

    /// Lets `fill` write under a name that nobody reads where the store needs that, and gives
    /// the object its own.
    fn appear(&self, name: &str, fill: &mut dyn FnMut(&str) -> Result<bool>) -> Result<bool> {
        if self.connection.atomic {
            return fill(name);
        }
        let unnamed = self.unnamed(name)?;
        let operator = &self.connection.operator;
        let named = fill(&unnamed).and_then(|filled| match filled {
            true => self.require("name", name, 0, operator.rename(&unnamed, name)).map(|()| true),
            false => Ok(false),
        });
        if !matches!(named, Ok(true)) {
            let _ = self.ask("remove", &unnamed, 0, operator.delete(&unnamed));
        }
        named
    }

    fn put(&self, name: &str, content: &Bytes) -> Result<()> {
        let operator = &self.connection.operator;
        let whole = Buffer::from(content.clone());
        self.require("write", name, content.len(), operator.write(name, whole)).map(drop)
    }

    /// Sends an object in parts. It becomes visible when the last one has arrived.
    fn send(
        &self,
        name: &str,
        content: &Blob,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let cut = upload::cut(content.size());
        let operator = &self.connection.operator;
        let open =
            async { operator.writer_with(name).chunk(cut.part).concurrent(cut.at_once).await };
        let mut writer = self.require("write", name, 0, open)?;
        let moved = cut.part * (cut.at_once + 1);
        let mut parts = || {
            let mut offset = 0;
            while offset < content.size() {
                let piece = upload::piece(content, offset, cut.part)?;
                let length = piece.len() as u64;
                let write = async {
                    tokio::select! {
                        biased;
                        () = cancel.cancelled() => Ok(false),
                        written = writer.write(piece) => written.map(|()| true),
                    }
                };
                if !self.require("write", name, moved, write)? {
                    return Err(self.interrupted(name));
                }
                offset += length;
                sent(length);
            }
            if cancel.is_cancelled() {
                return Err(self.interrupted(name));
            }
            self.require("write", name, moved, writer.close()).map(drop)
        };
        let done = parts();
        if done.is_err() {
            // Where that fails as well, the store's own rules remove the parts one day.
            let _ = self.ask("write", name, 0, writer.abort());
        }
        done
    }

    /// Makes the directories that an object lies in.
    fn make_parents(&self, name: &str) -> Result<()> {
        let Some((dir, _)) = name.rsplit_once('/') else { return Ok(()) };
        let (operator, dir) = (&self.connection.operator, format!("{dir}/"));
        self.require("write", name, 0, operator.create_dir(&dir))
    }

    fn interrupted(&self, name: &str) -> Error {
        Error::new(Code::Interrupted, "write", self.shown(name))
    }

    /// What lies below `dir`: name relative to it, whether it is an object, and its size.
    fn entries(&self, dir: &str, deep: bool) -> Result<Vec<(String, bool, u64)>> {
        if !dir.is_empty() {
            check_name(dir)?;
        }
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let start = if dir.is_empty() { "/" } else { prefix.as_str() };
        let operator = &self.connection.operator;
        let open = async { operator.lister_with(start).recursive(deep).await };
        let mut lister = self.require("list", dir, 0, open)?;
        let mut entries = Vec::new();
        // Each entry may be a request, of the next page. Where there are no directories, what is
        // not there is the bucket.
        let mut next = || match self.connection.directories {
            true => Ok(self.ask("list", dir, 0, lister.try_next())?.flatten()),
            false => self.require("list", dir, 0, lister.try_next()),
        };
        while let Some(entry) = next()? {
            let Some(name) = entry.path().strip_prefix(&prefix) else { continue };
            if name.is_empty() || name.rsplit('/').next().is_some_and(|last| last.starts_with(NEW))
            {
                continue;
            }
            let metadata = entry.metadata();
            entries.push((name.to_owned(), metadata.is_file(), metadata.content_length()));
        }
        Ok(entries)
    }
}

impl ObjectStore {
    /// The store, to which nothing is said yet.
    ///
    /// # Errors
    /// `storage_failed` where its config does not suffice or a credential is missing.
    pub fn new(store: &Store) -> Result<Self> {
        let access = Access { url: store.url.clone(), connection: service::connect(store)? };
        Ok(Self { access: Arc::new(access) })
    }

    /// Refuses what is no name, and what the service would spell in another way.
    fn check(&self, name: &str) -> Result<()> {
        check_name(name)?;
        if name.trim() == name {
            return Ok(());
        }
        Err(Error::new(Code::UnsafePath, "use", format!("`{}`", self.shown(name)))
            .cause("stores lose spaces at the ends of a name"))
    }
}

impl Storage for ObjectStore {
    fn shown(&self, name: &str) -> String {
        self.access.shown(name)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.check(name)?;
        let operator = &self.access.connection.operator;
        let found = self.access.ask("look at", name, 0, operator.stat(name))?;
        Ok(found.filter(|found| found.is_file()).map(|found| found.content_length()))
    }

    fn open(&self, name: &str) -> Result<Option<Blob>> {
        Ok(self.size(name)?.map(|size| {
            let ranges = Ranges::new(self.access.clone(), name, size);
            Blob::new(Arc::new(ranges), size, &self.shown(name))
        }))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.check(name)?;
        let operator = &self.access.connection.operator;
        match self.access.ask("read", name, 0, operator.read(name)) {
            // What is refused because it is a directory is no object.
            Err(_) if self.access.connection.directories && self.size(name)?.is_none() => Ok(None),
            read => Ok(read?.map(|content| content.to_vec())),
        }
    }

    fn names(&self, dir: &str) -> Result<Vec<String>> {
        // Where directories stay when they are empty, only what lies in them counts.
        let entries = self.access.entries(dir, self.access.connection.directories)?;
        let names: BTreeSet<String> = entries
            .iter()
            .filter(|(_, is_object, _)| *is_object || !self.access.connection.directories)
            .filter_map(|(name, _, _)| name.split('/').next().map(str::to_owned))
            .collect();
        Ok(names.into_iter().collect())
    }

    fn list(&self, dir: &str) -> Result<Vec<Listed>> {
        let entries = self.access.entries(dir, true)?;
        let objects = entries.into_iter().filter(|(_, is_object, _)| *is_object);
        let mut listed: Vec<Listed> =
            objects.map(|(name, _, size)| Listed { name, size }).collect();
        listed.sort();
        Ok(listed)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        self.check(name)?;
        let content = Bytes::copy_from_slice(content);
        self.access.appear(name, &mut |name| self.access.put(name, &content).map(|()| true))?;
        Ok(())
    }

    fn upload(
        &self,
        name: &str,
        content: &Blob,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
    ) -> Result<()> {
        self.check(name)?;
        if cancel.is_cancelled() {
            return Err(self.access.interrupted(name));
        }
        self.access.appear(name, &mut |name| {
            let streaming = self.access.connection.streaming.as_ref();
            match streaming.filter(|_| content.size() > upload::WHOLE) {
                Some(streaming) => {
                    self.access.make_parents(name)?;
                    let shown = self.access.shown(name);
                    streaming.put((name, &shown), content, cancel, sent)?;
                }
                None if content.size() > upload::WHOLE => {
                    self.access.send(name, content, cancel, sent)?;
                }
                None => {
                    let whole = upload::piece(content, 0, upload::WHOLE as usize)?;
                    self.access.put(name, &whole)?;
                    sent(content.size());
                }
            }
            Ok(true)
        })?;
        Ok(())
    }

    fn create(&self, name: &str, content: &[u8]) -> Result<Created> {
        self.check(name)?;
        let operator = &self.access.connection.operator;
        if !self.access.connection.atomic {
            return Ok(Created::CannotSay);
        }
        let content = content.to_vec();
        let request = async {
            match operator.write_with(name, content).if_not_exists(true).await {
                Ok(_) => Ok(Created::New),
                Err(e) if refuses_to_replace(e.kind()) => Ok(Created::Existed),
                Err(e) if e.kind() == ErrorKind::Unsupported => Ok(Created::CannotSay),
                Err(e) => Err(e),
            }
        };
        self.access.require("write", name, 0, request)
    }

    fn copy(&self, from: &str, to: &str) -> Result<bool> {
        self.check(from)?;
        self.check(to)?;
        let operator = &self.access.connection.operator;
        self.access.appear(to, &mut |to| {
            let request = async {
                match operator.copy(from, to).await {
                    Ok(_) => Ok(true),
                    Err(e) if e.kind() == ErrorKind::Unsupported => Ok(false),
                    Err(e) => Err(e),
                }
            };
            self.access.require("copy", from, upload::WHOLE as usize, request)
        })
    }

    fn modified(&self, name: &str) -> Result<Option<Timestamp>> {
        self.check(name)?;
        let operator = &self.access.connection.operator;
        let Some(found) = self.access.ask("look at", name, 0, operator.stat(name))? else {
            return Ok(None);
        };
        let at = found.last_modified().ok_or_else(|| {
            Error::new(Code::StorageFailed, "look at", self.shown(name))
                .cause("the store does not tell when it was written")
        })?;
        Ok(Some(at.into_inner()))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.check(name)?;
        let operator = &self.access.connection.operator;
        self.access.ask("remove", name, 0, operator.delete(name)).map(drop)
    }
}

/// Ends the connections that are still open, for a process that ends.
pub(super) fn close() {
    runtime::close();
}

fn refuses_to_replace(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists)
}
