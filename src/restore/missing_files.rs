//! Files that a restored tree has and the live one lacks, brought there: what is in the live
//! tree stays as it is, whatever its age.
//!
//! Both lie in one file system, so a file comes back by one rename, with all that belongs to
//! it. What will come back is written down before, so that a second attempt goes on where the
//! first was cut off, and so that it can be taken away again.

use super::record::Stage;
use super::staged::find_staged;
use crate::error::{Code, Error, Result};
use crate::repository::write_replacing;
use crate::setting::Setting;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What comes back.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Returning {
    /// The live tree.
    live: PathBuf,
    /// The restored one.
    new: PathBuf,
    /// What is renamed, relative to both: files, and directories that are missing as a whole.
    tops: Vec<Bytes>,
    /// Every file of it.
    files: Vec<Known>,
    /// Every directory of it, those above before those below.
    dirs: Vec<Bytes>,
}

/// A path as JSON keeps any.
type Bytes = Vec<u8>;

/// By what a file is known as the one that came back, unchanged.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    path: Bytes,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

fn path(bytes: &Bytes) -> PathBuf {
    OsString::from_vec(bytes.clone()).into()
}

fn bytes(path: &Path) -> Bytes {
    path.as_os_str().as_encoded_bytes().to_vec()
}

impl Returning {
    /// The paths of the files, relative to the tree, as they look.
    pub fn files(&self) -> Vec<String> {
        self.files.iter().map(|known| path(&known.path).display().to_string()).collect()
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|known| known.size).sum()
    }
}

/// The files that the tree `name`, built under `key`, has and the live one lacks; of these,
/// those that are or lie below `paths`, where there are any. Changes nothing.
///
/// # Errors
/// `restore_failed` where nothing of it is built; `file_not_found` where one of `paths` is not
/// missing.
pub async fn missing_files(
    setting: &Setting,
    (name, key): (&str, &str),
    paths: &[PathBuf],
) -> Result<Returning> {
    let failed = |cause: String| {
        Error::new(Code::RestoreFailed, "look for what is missing with", key).cause(cause)
    };
    let record = find_staged(setting, key)?.ok_or_else(|| failed("nothing is built".into()))?;
    let tree = record.trees.iter().find(|tree| tree.component == name);
    let tree = tree.ok_or_else(|| failed(format!("it is not of {name}")))?;
    if !matches!(record.stage, Stage::Built | Stage::RolledBack) {
        return Err(failed(format!("it is {}", record.stage.as_str())));
    }
    if let Some(place) = &tree.volume {
        return Err(failed(format!("this process cannot reach the volume {}", place.volume))
            .hint("run backstop as root on the volume's host"));
    }
    let mut found =
        Returning { live: tree.live.clone(), new: tree.new.clone(), ..Returning::default() };
    let paths = paths.to_vec();
    setting
        .blocking(move || {
            found.look(Path::new(""), &paths)?;
            found.refuse_others(&paths)?;
            Ok(found)
        })
        .await
}

/// Brings the files back that [`missing_files`] found, and keeps what they are in `record`.
/// Where that is there already, an earlier attempt is finished.
pub async fn bring_files_back(
    setting: &Setting,
    tree: (&str, &str),
    paths: &[PathBuf],
    record: &Path,
) -> Result<Returning> {
    let returning = match read(record)? {
        Some(begun) => begun,
        None => {
            let found = missing_files(setting, tree, paths).await?;
            let text = serde_json::to_vec(&found)
                .map_err(|e| Error::new(Code::Io, "write", record.display()).source(e))?;
            if let Some(dir) = record.parent() {
                crate::repository::create_dir(dir)?;
            }
            write_replacing(record, &text)?;
            found
        }
    };
    setting
        .blocking(move || {
            for top in &returning.tops {
                let (from, to) = (returning.new.join(path(top)), returning.live.join(path(top)));
                rename(&from, &to)?;
            }
            sync_parents(&returning)?;
            Ok(returning)
        })
        .await
}

/// Removes the files of a record that are still as they came back, and the directories that
/// came with them and are empty then. Returns how many were removed and how many stay. Does
/// nothing the second time.
pub async fn take_files_away(setting: &Setting, record: &Path) -> Result<(u64, u64)> {
    let Some(returning) = read(record)? else { return Ok((0, 0)) };
    let record = record.to_owned();
    setting
        .blocking(move || {
            let (mut removed, mut stay) = (0, 0);
            for known in &returning.files {
                let file = returning.live.join(path(&known.path));
                match file.symlink_metadata() {
                    Ok(found) if known.is(&found) => {
                        std::fs::remove_file(&file).map_err(|e| Error::io("remove", &file, e))?;
                        removed += 1;
                    }
                    Ok(_) => stay += 1,
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    Err(e) => return Err(Error::io("look at", &file, e)),
                }
            }
            for dir in returning.dirs.iter().rev() {
                // One that is not empty holds what is newer.
                let _ = std::fs::remove_dir(returning.live.join(path(dir)));
            }
            sync_parents(&returning)?;
            std::fs::remove_file(&record).map_err(|e| Error::io("remove", &record, e))?;
            Ok((removed, stay))
        })
        .await
}

fn read(record: &Path) -> Result<Option<Returning>> {
    match std::fs::read(record) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", record, e)),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::new(Code::Io, "read", record.display()).source(e)),
    }
}

/// Makes the renames durable.
fn sync_parents(returning: &Returning) -> Result<()> {
    let parents = returning.tops.iter().map(|top| {
        let top = returning.live.join(path(top));
        top.parent().map_or_else(|| returning.live.clone(), Path::to_path_buf)
    });
    let parents: std::collections::BTreeSet<PathBuf> = parents.collect();
    parents.iter().filter(|dir| dir.is_dir()).try_for_each(|dir| crate::repository::sync_dir(dir))
}

/// Renames to a name that is not taken: what has come there meanwhile is newer, and stays.
fn rename(from: &Path, to: &Path) -> Result<()> {
    let renamed = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it.
        Err(Errno::INVAL | Errno::NOSYS) if to.symlink_metadata().is_err() => {
            rustix::fs::rename(from, to)
        }
        renamed => renamed,
    };
    match renamed {
        // It was moved by an earlier attempt, or its directory is gone by now.
        Err(Errno::EXIST | Errno::NOENT | Errno::INVAL | Errno::NOSYS) => Ok(()),
        renamed => renamed.map_err(|e| Error::io("bring back", to, e.into())),
    }
}

impl Known {
    fn of(path: &Path, found: &Metadata) -> Self {
        Self {
            path: bytes(path),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        }
    }

    fn is(&self, found: &Metadata) -> bool {
        (self.inode, self.size, self.modified)
            == (found.ino(), found.size(), (found.mtime(), found.mtime_nsec()))
    }
}

impl Returning {
    /// Looks for what is missing below `dir`, which both trees have.
    fn look(&mut self, dir: &Path, paths: &[PathBuf]) -> Result<()> {
        for name in names(&self.new.join(dir))? {
            let inner = dir.join(name);
            let new = self.new.join(&inner);
            let found = new.symlink_metadata().map_err(|e| Error::io("look at", &new, e))?;
            match self.live.join(&inner).symlink_metadata() {
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    if paths.is_empty() || paths.iter().any(|path| inner.starts_with(path)) {
                        self.tops.push(bytes(&inner));
                        self.add(&inner, &found)?;
                    }
                }
                Err(e) => return Err(Error::io("look at", &inner, e)),
                Ok(live) if live.is_dir() && found.is_dir() => self.look(&inner, paths)?,
                Ok(_) => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, inner: &Path, found: &Metadata) -> Result<()> {
        if !found.is_dir() {
            self.files.push(Known::of(inner, found));
            return Ok(());
        }
        self.dirs.push(bytes(inner));
        for name in names(&self.new.join(inner))? {
            let inner = inner.join(name);
            let new = self.new.join(&inner);
            let found = new.symlink_metadata().map_err(|e| Error::io("look at", &new, e))?;
            self.add(&inner, &found)?;
        }
        Ok(())
    }

    fn refuse_others(&self, paths: &[PathBuf]) -> Result<()> {
        let comes = |wanted: &&PathBuf| !self.tops.iter().any(|top| path(top).starts_with(wanted));
        match paths.iter().find(comes) {
            None => Ok(()),
            Some(other) => Err(Error::new(Code::FileNotFound, "bring back", other.display())
                .cause("nothing below it is missing that the backup has")
                .hint("where its directory is missing too, name that")),
        }
    }
}

/// The sorted names in a directory.
fn names(dir: &Path) -> Result<Vec<OsString>> {
    let failed = |e| Error::io("list", dir, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn trees() -> (tempfile::TempDir, Returning) {
        let dir = tempfile::tempdir().unwrap();
        for tree in ["live", "new"] {
            fs::create_dir_all(dir.path().join(tree).join("both")).unwrap();
            fs::write(dir.path().join(tree).join("both/same"), tree).unwrap();
        }
        fs::create_dir_all(dir.path().join("new/gone/below")).unwrap();
        fs::write(dir.path().join("new/gone/below/file"), "old").unwrap();
        fs::write(dir.path().join("new/both/lost"), "lost").unwrap();
        fs::write(dir.path().join("live/both/newer"), "newer").unwrap();
        let (live, new) = (dir.path().join("live"), dir.path().join("new"));
        (dir, Returning { live, new, ..Returning::default() })
    }

    #[test]
    fn only_what_is_missing_is_found() {
        let (_dir, mut found) = trees();
        found.look(Path::new(""), &[]).unwrap();
        assert_eq!(found.files(), ["both/lost", "gone/below/file"]);
        assert_eq!(found.bytes(), 7);
        let tops: Vec<PathBuf> = found.tops.iter().map(path).collect();
        assert_eq!(tops, [Path::new("both/lost"), Path::new("gone")]);
    }

    #[test]
    fn what_was_not_asked_for_stays_away() {
        let (dir, found) = trees();
        let paths = [PathBuf::from("both")];
        let mut chosen =
            Returning { live: found.live.clone(), new: found.new.clone(), ..Returning::default() };
        chosen.look(Path::new(""), &paths).unwrap();
        chosen.refuse_others(&paths).unwrap();
        assert_eq!(chosen.files(), ["both/lost"]);
        let paths = [PathBuf::from("gone/below")];
        chosen.tops.clear();
        chosen.look(Path::new(""), &paths).unwrap();
        assert_eq!(chosen.refuse_others(&paths).unwrap_err().code(), Code::FileNotFound);
        drop(dir);
    }

    #[test]
    fn what_has_come_meanwhile_is_not_replaced() {
        let (dir, _) = trees();
        let (from, to) = (dir.path().join("new/both/same"), dir.path().join("live/both/same"));
        rename(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to).unwrap(), "live");
    }
}
