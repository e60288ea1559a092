//! The directory of the uploaded files.

use crate::name::{Name, UNFINISHED};
use rustix::fs::{Access, CWD, RenameFlags, access, renameat_with};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What identifies a content: its size in bytes and its SHA-256 in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

impl Content {
    /// Reads `source` to its end.
    fn read(mut source: impl Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut size = 0;
        loop {
            let count = source.read(&mut buffer)?;
            if count == 0 {
                let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
                return Ok(Self { size, sha256 });
            }
            hasher.update(&buffer[..count]);
            size += count as u64;
        }
    }
}

/// The upload directory. All calls block.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Creates the directory where it is missing and removes what an earlier process did
    /// not finish. Only the one process that writes there may call this.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path).map_err(|e| named(&path, e))?;
        for entry in fs::read_dir(&path).map_err(|e| named(&path, e))? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
                fs::remove_file(entry.path()).map_err(|e| named(&entry.path(), e))?;
            }
        }
        Ok(Self { path })
    }

    /// A directory to read only.
    pub(crate) fn existing(path: PathBuf) -> io::Result<Self> {
        fs::read_dir(&path).map_err(|e| named(&path, e))?;
        Ok(Self { path })
    }

    /// Whether files can be added.
    pub(crate) fn check(&self) -> io::Result<()> {
        access(&self.path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|e| named(&self.path, e.into()))
    }

    /// Stores `bytes` under `name`: complete or not at all, and never over another file
    /// (`AlreadyExists`).
    pub(crate) fn store(&self, name: &Name, bytes: &[u8]) -> io::Result<Content> {
        let (path, mut file) = self.unfinished(name)?;
        let stored = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| {
            renameat_with(CWD, &path, CWD, self.path_of(name), RenameFlags::NOREPLACE)
                .map_err(io::Error::from)
        });
        if let Err(error) = stored {
            fs::remove_file(&path)?;
            return Err(error);
        }
        Content::read(bytes)
    }

    /// Removes a file whose row could not be written.
    pub(crate) fn remove(&self, name: &Name) -> io::Result<()> {
        fs::remove_file(self.path_of(name))
    }

    /// The bytes of a file.
    pub(crate) fn read(&self, name: &Name) -> io::Result<Vec<u8>> {
        fs::read(self.path_of(name))
    }

    /// Every finished file with its content; one that vanishes meanwhile is left out.
    pub(crate) fn files(&self) -> io::Result<BTreeMap<String, Content>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.path).map_err(|e| named(&self.path, e))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // No upload has a hidden name: those are unfinished ones, or somebody else's, such
            // as a state that a restore keeps aside.
            if name.starts_with('.') {
                continue;
            }
            match File::open(entry.path()).and_then(Content::read) {
                Ok(content) => drop(files.insert(name, content)),
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(named(&entry.path(), error)),
            }
        }
        Ok(files)
    }

    /// A new unfinished file for `name`. Two uploads of one name get two files.
    fn unfinished(&self, name: &Name) -> io::Result<(PathBuf, File)> {
        let mut number = 0_u32;
        loop {
            let path = self.path.join(format!(".{name}.{number}{UNFINISHED}"));
            match File::create_new(&path) {
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => number += 1,
                file => return Ok((path.clone(), file.map_err(|e| named(&path, e))?)),
            }
        }
    }

    fn path_of(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_str())
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_stored_file_is_listed_with_its_hash() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open(place.path().join("new")).unwrap();
        let content = directory.store(&name("a"), b"abc").unwrap();
        assert_eq!(content.size, 3);
        assert!(content.sha256.starts_with("ba7816bf8f01cfea"), "{}", content.sha256);
        assert_eq!(directory.files().unwrap(), BTreeMap::from([("a".to_owned(), content)]));
    }

    #[test]
    fn a_name_is_taken_only_once_and_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open(place.path().into()).unwrap();
        directory.store(&name("a"), b"first").unwrap();
        let error = directory.store(&name("a"), b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(directory.read(&name("a")).unwrap(), b"first");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn unfinished_files_are_not_counted_and_go_at_the_next_start() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(".a.0.tmp"), "half").unwrap();
        let reader = Directory::existing(place.path().into()).unwrap();
        assert!(reader.files().unwrap().is_empty());
        Directory::open(place.path().into()).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
