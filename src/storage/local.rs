//! A directory: an object is a file in it.

use super::{Blob, Listed, NEW, Storage, check_name};
use crate::error::{Code, Error, Result};
use jiff::Timestamp;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

/// The objects below a directory. Directories have mode 0700, files 0600; what was written is
/// on the disk when the method returns.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    directory: PathBuf,
}

impl LocalStorage {
    /// The storage in `directory`, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf() }
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.directory.join(name))
    }

    fn dir(&self, name: &str) -> Result<PathBuf> {
        if name.is_empty() { Ok(self.directory.clone()) } else { self.path(name) }
    }

    /// Writes beside the object, syncs, and gives it its name.
    fn put(&self, name: &str, fill: &mut dyn FnMut(&mut File) -> Result<()>) -> Result<()> {
        let path = self.path(name)?;
        let parent = path.parent().unwrap_or(&self.directory);
        let failed = |e| Error::io("write", &path, e);
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
        let mut file = new_file(parent).map_err(failed)?;
        fill(file.as_file_mut())?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|e| failed(e.error))?;
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed)
    }
}

/// A file that vanishes unless it is given a name.
fn new_file(dir: &Path) -> std::io::Result<NamedTempFile> {
    let mode = fs::Permissions::from_mode(0o600);
    tempfile::Builder::new().prefix(NEW).permissions(mode).tempfile_in(dir)
}

impl Storage for LocalStorage {
    fn shown(&self, name: &str) -> String {
        match name {
            "" => self.directory.display().to_string(),
            _ => self.directory.join(name).display().to_string(),
        }
    }

    fn directory(&self) -> Option<&Path> {
        Some(&self.directory)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        let path = self.path(name)?;
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(_) => Ok(None),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(Error::io("look at", &path, e)),
        }
    }

    fn open(&self, name: &str) -> Result<Option<Blob>> {
        match self.size(name)? {
            None => Ok(None),
            Some(_) => Blob::file(&self.path(name)?).map(Some),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name)?;
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(e) if is_missing(&e) || e.kind() == ErrorKind::IsADirectory => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }

    fn names(&self, dir: &str) -> Result<Vec<String>> {
        let path = self.dir(dir)?;
        let mut names = Vec::new();
        each_entry(&path, &mut |entry| {
            // What is not UTF-8 was not written here.
            names
                .extend(entry.file_name().into_string().ok().filter(|name| !name.starts_with(NEW)));
            Ok(())
        })?;
        names.sort();
        Ok(names)
    }

    fn list(&self, dir: &str) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        walk(&self.dir(dir)?, "", &mut listed)?;
        listed.sort();
        Ok(listed)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        self.put(name, &mut |file| {
            file.write_all(content).map_err(|e| Error::io("write", &self.directory.join(name), e))
        })
    }

    fn upload(
        &self,
        name: &str,
        content: &Blob,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
    ) -> Result<()> {
        const PIECE: usize = 1 << 20;
        let failed = |e| Error::io("write", &self.directory.join(name), e);
        self.put(name, &mut |file| {
            let mut reader = content.reader(0);
            let mut piece = vec![0; PIECE];
            loop {
                if cancel.is_cancelled() {
                    return Err(Error::new(Code::Interrupted, "write", self.shown(name)));
                }
                let count = reader
                    .read(&mut piece)
                    .map_err(|e| Error::io("read", Path::new(content.name()), e))?;
                if count == 0 {
                    return Ok(());
                }
                file.write_all(&piece[..count]).map_err(failed)?;
                sent(count as u64);
            }
        })
    }

    fn copy(&self, from: &str, to: &str) -> Result<bool> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        let failed = |e| Error::io("link", &to, e);
        if let Some(parent) = to.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
        }
        // Objects are never modified, so two names may share their bytes.
        match fs::hard_link(&from, &to) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                replace_by_link(&from, &to).map_err(failed)
            }
            Err(_) => Ok(false),
        }
    }

    fn modified(&self, name: &str) -> Result<Option<Timestamp>> {
        let path = self.path(name)?;
        let found = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => found.modified(),
            Ok(_) => return Ok(None),
            Err(e) if is_missing(&e) => return Ok(None),
            Err(e) => Err(e),
        };
        let found = found.and_then(|at| at.try_into().map_err(std::io::Error::other));
        found.map(Some).map_err(|e| Error::io("look at", &path, e))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Err(e) if !is_missing(&e) => return Err(Error::io("remove", &path, e)),
            _ => {}
        }
        // As in a store, a directory is there while something lies in it.
        let parents = path.ancestors().skip(1).take_while(|dir| *dir != self.directory);
        for parent in parents {
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Gives the file at `from` the name `to`, which another file has.
fn replace_by_link(from: &Path, to: &Path) -> std::io::Result<bool> {
    let parent = to.parent().unwrap_or(Path::new("/"));
    let beside = new_file(parent)?.into_temp_path();
    fs::remove_file(&beside)?;
    if fs::hard_link(from, &beside).is_err() {
        return Ok(false);
    }
    // Two names of one file stay as they are; the temporary one is then removed on drop.
    fs::rename(&beside, to)?;
    Ok(true)
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn each_entry(dir: &Path, visit: &mut dyn FnMut(fs::DirEntry) -> Result<()>) -> Result<()> {
    let failed = |e| Error::io("list", dir, e);
    match fs::read_dir(dir) {
        Err(e) if is_missing(&e) => Ok(()),
        Err(e) => Err(failed(e)),
        Ok(mut entries) => entries.try_for_each(|entry| visit(entry.map_err(failed)?)),
    }
}

fn walk(dir: &Path, prefix: &str, listed: &mut Vec<Listed>) -> Result<()> {
    each_entry(dir, &mut |entry| {
        let Ok(name) = entry.file_name().into_string() else { return Ok(()) };
        let found = match entry.metadata() {
            Err(e) if is_missing(&e) => return Ok(()),
            found => found.map_err(|e| Error::io("look at", &entry.path(), e))?,
        };
        match found {
            dir if dir.is_dir() => walk(&entry.path(), &format!("{prefix}{name}/"), listed)?,
            _ if name.starts_with(NEW) => {}
            // What is no file is listed too: somebody has put it there.
            other => listed.push(Listed { name: format!("{prefix}{name}"), size: other.len() }),
        }
        Ok(())
    })
}
