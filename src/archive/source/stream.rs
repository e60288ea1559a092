//! A tar that somebody else writes, such as Docker's archive API.

use super::{Content, Source};
use crate::archive::entry::{Entry, Kind};
use crate::archive::fault::{Fault, Trouble};
use crate::archive::scan::{Excludes, Own, Scanned};
use crate::archive::tar::{SparseMap, TarReader};
use crate::error::{Code, Error, Result};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// The members of a foreign tar below one directory.
pub struct StreamSource<R: Read> {
    tar: TarReader<R>,
    name: String,
    prefix: PathBuf,
    excludes: Excludes,
    map: Option<SparseMap>,
}

impl<R: Read> StreamSource<R> {
    /// The members of `stream` below `prefix`, which becomes the tree's own directory.
    /// `name` is the stream's in errors. Docker names the members of `GET
    /// /containers/ID/archive?path=/a/b` after the last part of the path, `b`.
    pub fn new(stream: R, name: &str, prefix: &Path, excludes: Excludes) -> Self {
        let tar = TarReader::new(stream);
        Self { tar, name: name.into(), prefix: prefix.to_owned(), excludes, map: None }
    }

    /// The path below the prefix.
    fn inside(&self, path: &Path) -> Result<PathBuf> {
        let normal = |path: &Path| path.components().all(|c| matches!(c, Component::Normal(_)));
        match path.strip_prefix(&self.prefix) {
            Ok(inside) if normal(inside) => Ok(inside.to_owned()),
            _ => Err(Error::new(Code::UnsafePath, "read tar stream", &self.name).cause(format!(
                "{} is not below {}",
                path.display(),
                self.prefix.display()
            ))),
        }
    }

    fn is_excluded(&self, path: &Path, is_directory: bool) -> bool {
        !path.as_os_str().is_empty() && self.excludes.covers_below(path, is_directory)
    }
}

/// Which directory of backstop's own the path leads to or into, if any.
fn own(path: &Path, is_directory: bool) -> Option<Own> {
    let mut parts = path.components();
    let top = parts.next()?;
    (is_directory || parts.next().is_some()).then(|| Own::of(top.as_os_str())).flatten()
}

impl<R: Read> Source for StreamSource<R> {
    fn next(&mut self) -> Result<Option<Scanned>> {
        loop {
            let member = self
                .tar
                .next_member()
                .map_err(|e| Error::new(Code::Io, "read tar stream", &self.name).source(e))?;
            let Some(member) = member else { return Ok(None) };
            let mut entry = member.entry;
            entry.path = self.inside(&entry.path)?;
            let is_directory = entry.kind == Kind::Directory;
            if self.is_excluded(&entry.path, is_directory) {
                continue;
            }
            if let Some(own) = own(&entry.path, is_directory) {
                // Told once: what it holds comes after it.
                if entry.path.components().count() > 1 {
                    continue;
                }
                let fault = Fault::new(&entry.path, Trouble::Skipped, own.shown());
                return Ok(Some(Scanned::Fault(fault)));
            }
            self.map = member.map;
            if let (Kind::Hardlink, Some(target)) = (entry.kind, &entry.link_target) {
                let target = self.inside(Path::new(target))?;
                if self.is_excluded(&target, false) || own(&target, false).is_some() {
                    let cause = "its content lies in an excluded file, of which it is a link";
                    let fault = Fault::new(&entry.path, Trouble::Unreadable, cause);
                    return Ok(Some(Scanned::Fault(fault)));
                }
                entry.link_target = Some(target.into_os_string());
            }
            return Ok(Some(Scanned::Entry(entry)));
        }
    }

    fn open(&mut self, _entry: &mut Entry) -> io::Result<Content<'_>> {
        Ok(Content::Stream { reader: &mut self.tar, map: self.map.take() })
    }

    fn forget(&mut self, _entry: &Entry) {}
}
