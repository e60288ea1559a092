//! The files of compose projects, brought back to where they were: what they replace is kept
//! beside them.

use crate::error::{Code, Error, Result};
use crate::repository::manifest::{ComposeFile, ComposeRole, Detail};
use crate::repository::{PublishedBackup, create_dir, sync_dir, write_replacing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

/// A compose project as a backup knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComposeProject {
    /// The project's name.
    pub project: String,
    /// The directory in which it is brought up.
    pub dir: PathBuf,
    /// Its compose files.
    pub files: Vec<PathBuf>,
    /// The file with their variables, where it is another than `.env` in `dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_file: Option<PathBuf>,
    #[serde(skip)]
    described: Vec<Described>,
}

/// A file of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Described {
    object: String,
    path: PathBuf,
}

/// How a file on this host compares with that in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeChange {
    /// The file.
    pub path: PathBuf,
    /// Whether it is there, with another content; otherwise it is missing.
    pub exists: bool,
    /// Where what is there is kept once it is replaced.
    pub kept: PathBuf,
    object: String,
}

/// The compose projects that `backup` knows. Their files go to where they were, or into `dir`,
/// there into a directory for each where there are several.
///
/// # Errors
/// `file_not_found` where the backup does not say where they were, and no `dir` is given.
pub fn compose_projects(
    backup: &PublishedBackup,
    dir: Option<&Path>,
) -> Result<Vec<ComposeProject>> {
    let manifest = backup.manifest();
    let details: Vec<_> = manifest
        .components
        .iter()
        .filter_map(|component| match &component.detail {
            Detail::Container(detail) => Some((detail.compose_project.as_ref()?, detail)),
            _ => None,
        })
        .collect();
    let names: BTreeSet<&String> = details.iter().map(|(name, _)| *name).collect();
    let several = names.len() > 1;
    let there: BTreeSet<&str> =
        manifest.objects.iter().map(|object| manifest.logical_name(&object.path)).collect();
    let project = |name: &String| {
        let (_, detail) = details.iter().find(|(of, _)| *of == name)?;
        let was = detail.compose_dir.clone();
        let home = match dir {
            Some(dir) if several => dir.join(name),
            Some(dir) => dir.to_owned(),
            None => was.clone()?,
        };
        let stored = detail.compose_files.iter().filter(|file| there.contains(&*file.object));
        let stored: Vec<(&ComposeFile, PathBuf)> =
            stored.map(|file| (file, place(file, &home, dir.is_some(), was.as_deref()))).collect();
        let places: BTreeSet<&PathBuf> = stored.iter().map(|(_, path)| path).collect();
        if places.len() < stored.len() {
            return Some(Err(Error::new(Code::RestoreFailed, "bring back the files of", name)
                .cause(format!("two of them would become one in {}", home.display()))
                .hint("let them go to where they were: leave out the directory")));
        }
        let of_role = |role: ComposeRole| {
            stored.iter().filter(move |(file, _)| file.role == role).map(|(_, path)| path.clone())
        };
        let usual = home.join(".env");
        let files = of_role(ComposeRole::Compose).collect();
        let env_file = of_role(ComposeRole::Variables).find(|path| *path != usual);
        let described = stored
            .iter()
            .map(|(file, path)| Described { object: file.object.clone(), path: path.clone() })
            .collect();
        Some(Ok(ComposeProject { project: name.clone(), dir: home, files, env_file, described }))
    };
    let found = names.into_iter().map(|name| {
        project(name).unwrap_or_else(|| {
            Err(Error::new(Code::FileNotFound, "find the compose files of", name)
                .cause(format!("the backup {} does not say where they were", manifest.name))
                .hint("name the directory that they go to"))
        })
    });
    found.collect()
}

/// Where a file goes. One that was outside of its project's directory goes into the new one.
fn place(file: &ComposeFile, home: &Path, moved: bool, was: Option<&Path>) -> PathBuf {
    let path = without_dots(&file.path);
    if !moved {
        return path;
    }
    match was.map(without_dots).and_then(|was| path.strip_prefix(was).ok().map(Path::to_owned)) {
        Some(inside) => home.join(inside),
        None => home.join(path.file_name().unwrap_or_default()),
    }
}

/// The path without `.` and `..`: compose writes them as they were typed, and what they lead to
/// must not depend on which directories are there.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// What bringing the files of `projects` back would change; `key` is part of the names under which
/// what is replaced is kept.
///
/// # Errors
/// Those of reading; `key_missing` and `key_wrong`.
pub fn compose_changes(
    backup: &PublishedBackup,
    projects: &[ComposeProject],
    key: &str,
) -> Result<Vec<ComposeChange>> {
    let mut changes = Vec::new();
    for Described { object, path } in projects.iter().flat_map(|project| &project.described) {
        let exists = match fs::read(path) {
            Ok(found) if found == backup.read(object)? => continue,
            Ok(_) => true,
            Err(e) if e.kind() == ErrorKind::NotFound => false,
            Err(e) => return Err(Error::io("read", path, e)),
        };
        let mut kept = path.clone().into_os_string();
        kept.push(format!(".before-{key}"));
        let (path, object) = (path.clone(), object.clone());
        changes.push(ComposeChange { path, exists, kept: kept.into(), object });
    }
    Ok(changes)
}

/// Makes the changes. Doing it again does nothing; what somebody has written since the first time
/// is kept under a further name. Returns where what was replaced is kept.
///
/// # Errors
/// Those of writing; `key_missing` and `key_wrong`.
pub fn change_compose_files(
    backup: &PublishedBackup,
    changes: &[ComposeChange],
) -> Result<Vec<PathBuf>> {
    let mut all_kept = Vec::new();
    for change in changes {
        let (path, dir) = (&change.path, change.path.parent().unwrap_or(Path::new("/")));
        let failed = |e| Error::io("replace", path, e);
        create_dir(dir)?;
        let wanted = backup.read(&change.object)?;
        let kept = match fs::read(path) {
            Ok(found) if found != wanted => keep(path, &found, &change.kept).map_err(failed)?,
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(e)),
            _ => change.kept.clone(),
        };
        let replaced = fs::metadata(&kept).ok();
        write_replacing(path, &wanted)?;
        match replaced {
            Some(replaced) => {
                give(path, &replaced, true).map_err(failed)?;
                all_kept.push(kept);
            }
            None => give(path, &fs::metadata(dir).map_err(failed)?, false).map_err(failed)?,
        }
    }
    Ok(all_kept)
}

/// Gives `found`, which is at `path`, a further name: `kept`, or where something else has that,
/// `kept-2` and so on. The path leads to the old content or to the new one, at any moment.
fn keep(path: &Path, found: &[u8], kept: &Path) -> std::io::Result<PathBuf> {
    let (mut name, mut number) = (kept.to_owned(), 1);
    loop {
        match fs::hard_link(path, &name) {
            Ok(()) => return Ok(name),
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            Err(_) if fs::read(&name)? == found => return Ok(name),
            Err(_) => {}
        }
        number += 1;
        let mut next = kept.as_os_str().to_owned();
        next.push(format!("-{number}"));
        name = next.into();
    }
}

/// The owner of what was replaced, and its mode; a new one stays unreadable for others.
fn give(path: &Path, like: &Metadata, with_mode: bool) -> std::io::Result<()> {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(like.uid()), Some(like.gid()))?;
    }
    if with_mode {
        fs::set_permissions(path, fs::Permissions::from_mode(like.mode() & 0o7777))?;
    }
    Ok(())
}

/// Takes the changes back. What was not made, or was taken back before, stays as it is, and so
/// does what somebody has written since: these files are returned.
///
/// # Errors
/// Those of reading and writing; `key_missing` and `key_wrong`.
pub fn unchange_compose_files(
    backup: &PublishedBackup,
    changes: &[ComposeChange],
) -> Result<Vec<PathBuf>> {
    let mut stay = Vec::new();
    for change in changes {
        match fs::read(&change.path) {
            Ok(found) if found != backup.read(&change.object)? => {
                stay.push(change.path.clone());
                continue;
            }
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io("read", &change.path, e));
            }
            _ => {}
        }
        let (from, gone) = match change.exists || change.kept.exists() {
            true => (&change.kept, fs::rename(&change.kept, &change.path)),
            false => (&change.path, fs::remove_file(&change.path)),
        };
        match gone {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io("take back the change of", from, e));
            }
            _ => {}
        }
        match change.path.parent() {
            Some(dir) if dir.exists() => sync_dir(dir)?,
            _ => {}
        }
    }
    Ok(stay)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> ComposeFile {
        ComposeFile { object: "o".into(), path: path.into(), role: ComposeRole::Compose }
    }

    #[test]
    fn no_file_goes_outside_of_the_directory_that_is_named() {
        let (home, was) = (Path::new("/new"), Some(Path::new("/srv/shop")));
        let place = |path| place(&file(path), home, true, was);
        assert_eq!(place("/srv/shop/deploy/a.yml"), Path::new("/new/deploy/a.yml"));
        assert_eq!(place("/srv/shop/../other/a.yml"), Path::new("/new/a.yml"));
        assert_eq!(place("/srv/shop/./a.yml"), Path::new("/new/a.yml"));
        assert_eq!(
            super::place(&file("/srv/x/../a.yml"), home, false, was),
            Path::new("/srv/a.yml")
        );
    }

    #[test]
    fn what_is_replaced_is_kept_however_often_it_was_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, kept) = (dir.path().join("a"), dir.path().join("a.before"));
        for (content, name) in [("one", "a.before"), ("two", "a.before-2"), ("two", "a.before-2")] {
            write_replacing(&path, content.as_bytes()).unwrap();
            assert_eq!(keep(&path, content.as_bytes(), &kept).unwrap(), dir.path().join(name));
        }
        assert_eq!(fs::read_to_string(&kept).unwrap(), "one");
        assert_eq!(fs::read_to_string(dir.path().join("a.before-2")).unwrap(), "two");
    }
}
