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
use std::path::{Path, PathBuf};

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
        Some(ComposeProject { project: name.clone(), dir: home, files, env_file, described })
    };
    let found = names.into_iter().map(|name| {
        project(name).ok_or_else(|| {
            Error::new(Code::FileNotFound, "find the compose files of", name)
                .cause(format!("the backup {} does not say where they were", manifest.name))
                .hint("name the directory that they go to")
        })
    });
    found.collect()
}

/// Where a file goes.
fn place(file: &ComposeFile, home: &Path, moved: bool, was: Option<&Path>) -> PathBuf {
    if !moved {
        return file.path.clone();
    }
    match was.and_then(|was| file.path.strip_prefix(was).ok()) {
        Some(inside) => home.join(inside),
        None => home.join(file.path.file_name().unwrap_or_default()),
    }
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

/// Makes the changes. Doing it again does nothing.
///
/// # Errors
/// Those of writing; `key_missing` and `key_wrong`.
pub fn change_compose_files(backup: &PublishedBackup, changes: &[ComposeChange]) -> Result<()> {
    for change in changes {
        let (path, dir) = (&change.path, change.path.parent().unwrap_or(Path::new("/")));
        let failed = |e| Error::io("replace", path, e);
        create_dir(dir)?;
        let like = match change.exists {
            // The name leads to the old content or to the new, at any moment.
            true => match fs::hard_link(path, &change.kept) {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(failed(e)),
                _ => fs::metadata(&change.kept).map_err(failed)?,
            },
            false => fs::metadata(dir).map_err(failed)?,
        };
        write_replacing(path, &backup.read(&change.object)?)?;
        give(path, &like, change.exists).map_err(failed)?;
    }
    Ok(())
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
        let (from, gone) = match change.exists {
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
