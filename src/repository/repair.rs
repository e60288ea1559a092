//! What of a repository's own directories and files can be put right without asking anybody:
//! names that are missing, modes that keep its owner out or let others in. Backups are left as
//! they are.

use super::header::NAME;
use super::{BACKUPS, INCOMING, LOCK, Lock, LockMode, PINS, TRASH, create_dir};
use std::fs::Permissions;
use std::io::ErrorKind::NotFound;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Puts the repository in the directory `path` right, where one lies there; returns a sentence
/// for each thing that was done. What cannot be done is left to whoever then uses it.
pub fn repair(path: &Path) -> Vec<String> {
    let mut done = Vec::new();
    done.extend(open_to_owner(path));
    if !path.join(NAME).is_file() {
        return done;
    }
    for name in [BACKUPS, INCOMING, TRASH] {
        let dir = path.join(name);
        let is_missing = dir.symlink_metadata().is_err_and(|e| e.kind() == NotFound);
        if is_missing && create_dir(&dir).is_ok() {
            done.push(format!("{} was missing and was created", dir.display()));
        }
    }
    for (name, mode) in [
        (BACKUPS, 0o700),
        (INCOMING, 0o700),
        (TRASH, 0o700),
        (PINS, 0o700),
        (LOCK, 0o600),
        (NAME, 0o600),
    ] {
        done.extend(set_mode(&path.join(name), |_| mode));
    }
    done.extend(take_over(path));
    done
}

/// Lets the owner of a directory into it again; returns what was done.
pub fn open_to_owner(path: &Path) -> Option<String> {
    path.is_dir().then(|| set_mode(path, |mode| mode | 0o700)).flatten()
}

/// Lets the owner of a file read and write it again; returns what was done.
pub fn give_to_owner(file: &Path) -> Option<String> {
    file.is_file().then(|| set_mode(file, |mode| mode | 0o600)).flatten()
}

fn set_mode(path: &Path, wanted: impl Fn(u32) -> u32) -> Option<String> {
    let found = path.metadata().ok()?.permissions().mode() & 0o7777;
    let wanted = wanted(found);
    if found == wanted {
        return None;
    }
    std::fs::set_permissions(path, Permissions::from_mode(wanted)).ok()?;
    Some(format!("{} had mode {found:04o} and has {wanted:04o} now", path.display()))
}

/// Says of whom the lock is taken over, where its holder died at work. The kernel has released
/// it: what is left of the holder is its name in the file, and what it was writing, which the
/// next writer clears.
fn take_over(path: &Path) -> Option<String> {
    let lock = path.join(LOCK);
    let left = [INCOMING, TRASH].iter().map(|name| entries(&path.join(name))).sum::<usize>();
    if left == 0 {
        return None;
    }
    let holder = std::fs::read_to_string(&lock).unwrap_or_default();
    let _free = Lock::take(&lock, LockMode::Exclusive, Duration::ZERO).ok()?;
    let holder = match holder.trim() {
        "" => "a process",
        signed => signed,
    };
    Some(format!(
        "{}: {holder} died at work; its lock is taken over, and what it left is cleared",
        lock.display()
    ))
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Repository;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_missing_comes_back_and_modes_are_mended_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repo");
        Repository::open_or_create(&path).unwrap();
        assert_eq!(repair(&path), Vec::<String>::new(), "nothing is wrong with a new one");
        std::fs::remove_dir(path.join(INCOMING)).unwrap();
        chmod(&path.join(BACKUPS), 0o755);
        chmod(&path.join(NAME), 0o644);
        chmod(&path, 0o500);
        let done = repair(&path);
        assert_eq!(done.len(), 4, "{done:?}");
        assert!(path.join(INCOMING).is_dir());
        let modes = [&path, &path.join(BACKUPS), &path.join(NAME)].map(|path| mode(path));
        assert_eq!(modes, [0o700, 0o700, 0o600]);
        assert_eq!(repair(&path), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_repository_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), "mine").unwrap();
        chmod(&dir.path().join("lock"), 0o644);
        assert_eq!(repair(dir.path()), Vec::<String>::new());
        assert_eq!(mode(&dir.path().join("lock")), 0o644);
        assert!(!dir.path().join(BACKUPS).exists());
        assert_eq!(repair(&dir.path().join("none")), Vec::<String>::new());
    }

    #[test]
    fn the_lock_of_a_living_process_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repo");
        let repository = Repository::open_or_create(&path).unwrap();
        let held = repository.lock(LockMode::Exclusive, Duration::ZERO).unwrap();
        std::fs::create_dir(path.join(INCOMING).join("half")).unwrap();
        assert_eq!(repair(&path), Vec::<String>::new());
        drop(held);
        let done = repair(&path);
        let signed = format!("process {}", std::process::id());
        assert!(done.len() == 1 && done[0].contains(&signed), "{done:?}");
    }
}
