//! Files taken out of a live tree and kept as they are: nothing finds them any more, and
//! nothing of them is lost.
//!
//! What is moved is written down before it is moved, so that a second attempt goes on where
//! the first was cut off, and does not touch what has come since.

use super::tree_swap::{is_mount_point, is_own};
use crate::archive::scan::Own;
use crate::backup::{Place, Source, connect_if_needed};
use crate::error::{Code, Error, Result};
use crate::repository::{create_dir, hash_file, sync_dir, write_replacing};
use crate::setting::Setting;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt::Write;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// What was moved where.
const RECORD: &str = "quarantine.json";

/// The hashes of everything that was moved.
const HASHES: &str = "SHA256SUMS";

/// What lies in quarantine.
#[derive(Debug, Clone, Serialize)]
pub struct Quarantine {
    /// The directory.
    pub place: PathBuf,
    /// What was moved there, relative to the tree; of names that are not UTF-8, as they look.
    pub moved: Vec<String>,
    /// How many regular files that are.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The SHA-256 of the file `SHA256SUMS`, which lists theirs.
    pub sha256: String,
}

/// The record in the quarantine.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The tree.
    live: PathBuf,
    /// What moves, relative to it, as bytes.
    paths: Vec<Vec<u8>>,
}

/// Moves `paths` of the file tree `name`, or all that is in it, into a directory that only
/// this user enters: beside the tree, or inside of it where it is a mount point. Goes on where
/// an attempt with the same key was cut off.
///
/// # Errors
/// `file_not_found` before anything is moved.
pub async fn quarantine(
    setting: &Setting,
    name: &str,
    paths: &[PathBuf],
    key: &str,
) -> Result<Quarantine> {
    let live = locate(setting, name).await?;
    let (place, paths) = (place_of(&live, name, key)?, paths.to_vec());
    let cancel = setting.cancel.clone();
    setting.blocking(move || move_all(&live, &place, &paths, &cancel)).await
}

/// Moves everything back. Does nothing where nothing lies in quarantine.
///
/// # Errors
/// `restore_failed` where something has taken the place of what was moved.
pub async fn release(setting: &Setting, name: &str, key: &str) -> Result<()> {
    let live = locate(setting, name).await?;
    let place = place_of(&live, name, key)?;
    setting.blocking(move || move_back(&place)).await
}

async fn locate(setting: &Setting, name: &str) -> Result<PathBuf> {
    let tree = setting.config.files.iter().find(|tree| tree.name == name).ok_or_else(|| {
        let names: Vec<&str> = setting.config.files.iter().map(|tree| &*tree.name).collect();
        Error::new(Code::ComponentNotFound, "find files", name)
            .cause("the config has none of this name")
            .hint(format!("its file trees are: {}", names.join(", ")))
    })?;
    let docker = connect_if_needed(setting).await?;
    match Source::locate(tree, docker.as_ref()).await?.place {
        Place::Directory(path) => path.canonicalize().map_err(|e| Error::io("look at", &path, e)),
        Place::Container { volume, .. } => {
            Err(Error::new(Code::ActionFailed, "move files of volume", volume)
                .cause("this process cannot reach it")
                .hint("run backstop as root on the volume's host"))
        }
    }
}

fn place_of(live: &Path, name: &str, key: &str) -> Result<PathBuf> {
    let parent = live.parent().unwrap_or(Path::new("/"));
    let base = if is_mount_point(live, parent)? { live } else { parent };
    Ok(base.join(Own::Quarantine.name(key, name)))
}

fn move_all(
    live: &Path,
    place: &Path,
    paths: &[PathBuf],
    cancel: &CancellationToken,
) -> Result<Quarantine> {
    let record = match read(place)? {
        Some(record) => record,
        None => {
            let paths = chosen(live, paths)?;
            create_dir(place)?;
            let paths = paths.into_iter().map(|path| path.into_os_string().into_vec()).collect();
            let record = Record { live: live.to_owned(), paths };
            let text = serde_json::to_vec(&record)
                .map_err(|e| Error::new(Code::Io, "write", place.display()).source(e))?;
            write_replacing(&place.join(RECORD), &text)?;
            record
        }
    };
    let kept = place.join("files");
    create_dir(&kept)?;
    for path in record.paths() {
        let (from, to) = (live.join(&path), kept.join(&path));
        if to.symlink_metadata().is_ok() {
            continue;
        }
        if let Some(dir) = to.parent() {
            create_dir(dir)?;
        }
        rename(&from, &to)?;
    }
    sync_dir(live)?;
    sync_dir(&kept)?;
    let mut found = Quarantine {
        place: place.to_owned(),
        moved: record.paths().map(|path| path.display().to_string()).collect(),
        files: 0,
        bytes: 0,
        sha256: String::new(),
    };
    let mut sums = String::new();
    hash_below(&kept, Path::new("files"), cancel, &mut sums, &mut found)?;
    let sums_file = place.join(HASHES);
    write_replacing(&sums_file, sums.as_bytes())?;
    found.sha256 = hash_file(cancel, &sums_file)?.1;
    Ok(found)
}

impl Record {
    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.paths.iter().map(|bytes| PathBuf::from(OsString::from_vec(bytes.clone())))
    }
}

fn read(place: &Path) -> Result<Option<Record>> {
    let path = place.join(RECORD);
    match std::fs::read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", &path, e)),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::new(Code::Io, "read", path.display()).source(e)),
    }
}

/// What is moved: the given paths, which must be there and inside of the tree, or everything.
fn chosen(live: &Path, paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if paths.is_empty() {
        let failed = |e| Error::io("list", live, e);
        let mut all = Vec::new();
        for entry in std::fs::read_dir(live).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !is_own(&entry) {
                all.push(PathBuf::from(entry.file_name()));
            }
        }
        all.sort();
        return Ok(all);
    }
    for path in paths {
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let parent = live.join(path).parent().map(Path::canonicalize);
        let inside = matches!(parent, Some(Ok(parent)) if parent.starts_with(live));
        if !plain || !inside || live.join(path).symlink_metadata().is_err() {
            return Err(Error::new(Code::FileNotFound, "move", path.display())
                .cause(format!("it is no path of a file inside of {}", live.display()))
                .hint("paths are relative to the tree, without `..`"));
        }
    }
    Ok(paths.to_vec())
}

fn hash_below(
    dir: &Path,
    shown: &Path,
    cancel: &CancellationToken,
    sums: &mut String,
    found: &mut Quarantine,
) -> Result<()> {
    let failed = |e| Error::io("list", dir, e);
    let entries = std::fs::read_dir(dir).map_err(failed)?;
    let mut entries = entries.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(failed)?;
        let (path, shown) = (entry.path(), shown.join(entry.file_name()));
        if kind.is_dir() {
            hash_below(&path, &shown, cancel, sums, found)?;
        } else if kind.is_file() {
            let (bytes, sha256) = hash_file(cancel, &path)?;
            found.files += 1;
            found.bytes += bytes;
            let _ = writeln!(sums, "{sha256}  {}", shown.display());
        }
    }
    Ok(())
}

fn move_back(place: &Path) -> Result<()> {
    let Some(record) = read(place)? else { return Ok(()) };
    let kept = place.join("files");
    for path in record.paths() {
        let (from, to) = (kept.join(&path), record.live.join(&path));
        if from.symlink_metadata().is_err() {
            continue;
        }
        if to.symlink_metadata().is_ok() {
            return Err(Error::new(Code::RestoreFailed, "move back", from.display())
                .cause(format!("there is a new {}", to.display()))
                .hint("move one of them away, then try again"));
        }
        if let Some(dir) = to.parent() {
            create_dir(dir)?;
        }
        rename(&from, &to)?;
    }
    sync_dir(&record.live)?;
    std::fs::remove_dir_all(place).map_err(|e| Error::io("remove", place, e))
}

/// Renames to a name that is not taken.
fn rename(from: &Path, to: &Path) -> Result<()> {
    let renamed = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it.
        Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::rename(from, to),
        renamed => renamed,
    };
    renamed.map_err(|e| Error::io("move", from, e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live");
        fs::create_dir_all(live.join("a")).unwrap();
        fs::write(live.join("a/bad.php"), "bad").unwrap();
        fs::write(live.join("good"), "good").unwrap();
        let place = dir.path().join(".backstop-quarantine-k-live");
        (dir, live, place)
    }

    #[test]
    fn what_is_moved_is_found_no_more_and_comes_back_as_it_was() {
        let (_dir, live, place) = tree();
        let cancel = CancellationToken::new();
        let wanted = [PathBuf::from("a/bad.php")];
        let found = move_all(&live, &place, &wanted, &cancel).unwrap();
        assert_eq!((found.files, found.bytes), (1, 3));
        assert!(!live.join("a/bad.php").exists() && live.join("good").exists());
        assert!(fs::read_to_string(place.join(HASHES)).unwrap().ends_with("  files/a/bad.php\n"));
        // A second attempt leaves alone what has come since.
        fs::write(live.join("a/bad.php"), "new").unwrap();
        move_all(&live, &place, &wanted, &cancel).unwrap();
        assert_eq!(fs::read_to_string(live.join("a/bad.php")).unwrap(), "new");
        assert!(move_back(&place).is_err(), "nothing is overwritten");
        fs::remove_file(live.join("a/bad.php")).unwrap();
        move_back(&place).unwrap();
        assert_eq!(fs::read_to_string(live.join("a/bad.php")).unwrap(), "bad");
        move_back(&place).unwrap();
        assert!(!place.exists());
    }

    #[test]
    fn an_attempt_that_was_cut_off_is_finished_by_the_next() {
        let (_dir, live, place) = tree();
        let cancel = CancellationToken::new();
        let all = chosen(&live, &[]).unwrap();
        assert_eq!(all.len(), 2);
        let record = Record {
            live: live.clone(),
            paths: all.into_iter().map(|path| path.into_os_string().into_vec()).collect(),
        };
        fs::create_dir_all(place.join("files")).unwrap();
        fs::write(place.join(RECORD), serde_json::to_vec(&record).unwrap()).unwrap();
        fs::rename(live.join("good"), place.join("files/good")).unwrap();
        fs::write(live.join("later"), "later").unwrap();
        let found = move_all(&live, &place, &[], &cancel).unwrap();
        assert_eq!(found.moved, ["a", "good"]);
        assert!(live.join("later").exists() && !live.join("a").exists());
    }

    #[test]
    fn paths_that_lead_outside_are_refused_before_anything_moves() {
        let (_dir, live, _) = tree();
        std::os::unix::fs::symlink("/etc", live.join("link")).unwrap();
        for path in ["../x", "/etc/passwd", "link/passwd", "nothing", "a/../good"] {
            let refused = chosen(&live, &[PathBuf::from("good"), path.into()]);
            assert_eq!(refused.unwrap_err().code(), Code::FileNotFound, "{path}");
        }
    }
}
