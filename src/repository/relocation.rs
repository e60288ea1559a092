//! Two small files by which a move of a repository can be cut off at any point: one where it
//! comes to says that it is not there yet, one where it was says where it has gone. On a store
//! the header says the same, which everybody reads anyway.

use super::durable::write_replacing;
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a repository was: `{id, to}`. From the moment it is written the other place counts.
const MOVED: &str = "backstop-moved.json";
/// Where a repository comes to: `{id, from}`. Removed when the move is over.
const MOVING: &str = "backstop-moving.json";

/// Where a repository has gone to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedTo {
    /// The repository's id.
    pub id: String,
    /// Its new directory, or the url of a store.
    pub to: PathBuf,
}

/// Where a repository comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovingFrom {
    /// The repository's id.
    pub id: String,
    /// Its old directory, or the url of a store.
    pub from: PathBuf,
}

/// What a header on a store says of the way of its repository.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// It has gone there.
    To(&'a Path),
    /// It is still coming from there.
    From(&'a Path),
    /// It lies here.
    Here,
}

impl MovedTo {
    /// What the directory `old` says; nothing where the repository has not gone.
    pub fn read(old: &Path) -> Result<Option<Self>> {
        read(&old.join(MOVED))
    }

    /// Makes the other place count.
    pub fn write(&self, old: &Path) -> Result<()> {
        write(&old.join(MOVED), self)
    }

    /// Forgets that it has gone: it comes back.
    pub fn remove(old: &Path) -> Result<()> {
        remove(old, MOVED)
    }
}

impl MovingFrom {
    /// What the directory `new` says; nothing where no move is under way.
    pub fn read(new: &Path) -> Result<Option<Self>> {
        read(&new.join(MOVING))
    }

    /// Says that the repository is not there yet.
    pub fn write(&self, new: &Path) -> Result<()> {
        write(&new.join(MOVING), self)
    }

    /// Says that it is.
    pub fn remove(new: &Path) -> Result<()> {
        remove(new, MOVING)
    }
}

/// Whether `name` is one of these files.
pub fn is_relocation_file(name: &str) -> bool {
    [MOVED, MOVING].contains(&name)
}

/// Refuses a directory from which a repository has gone, or to which one is still coming.
pub(super) fn refuse_elsewhere(path: &Path) -> Result<()> {
    refuse(&path.to_string_lossy(), MovedTo::read(path)?, MovingFrom::read(path)?)
}

/// Refuses the place `shown` because of what it says.
pub(super) fn refuse(
    shown: &str,
    moved: Option<MovedTo>,
    moving: Option<MovingFrom>,
) -> Result<()> {
    let refused = |cause: String, hint: String| {
        let error = Error::new(Code::RepositoryMoved, "open repository", shown);
        Err(error.cause(cause).hint(hint))
    };
    if let Some(moved) = moved {
        let to = moved.to.display();
        let key = if is_url(&moved.to) { "url" } else { "path" };
        return refused(
            format!("the repository {} was moved to {to}", moved.id),
            format!("set repository.{key} to {to}"),
        );
    }
    if let Some(moving) = moving {
        // What a store says cannot be asked for here: how it is spoken to, the other config says.
        let switched = MovedTo::read(&moving.from).ok().flatten();
        let is_here = |moved: &MovedTo| moved.id == moving.id && leads_to(&moved.to, shown);
        if !switched.as_ref().is_some_and(is_here) {
            let from = moving.from.display();
            return refused(
                format!("it is still being moved here from {from}"),
                format!("go on with `backstop repo move {shown}` and the config that names {from}"),
            );
        }
    }
    Ok(())
}

/// Whether `to` is the place `shown`: an earlier move to here may have been given up for one to
/// elsewhere.
fn leads_to(to: &Path, shown: &str) -> bool {
    let shown = Path::new(shown);
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    to == shown || real(to).is_some_and(|to| real(shown) == Some(to))
}

/// Whether what such a file names is no directory.
fn is_url(place: &Path) -> bool {
    place.to_str().is_some_and(|text| text.contains("://"))
}

fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<Option<T>> {
    match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::new(Code::RepositoryFormat, "read", file.display()).source(e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => Ok(None),
        Err(e) => Err(Error::io("read", file, e)),
    }
}

fn remove(dir: &Path, name: &str) -> Result<()> {
    let file = dir.join(name);
    match std::fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &file, e)),
        _ => super::sync_dir(dir),
    }
}

fn write(file: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::new(Code::RepositoryFormat, "write", file.display()).source(e))?;
    text.push(b'\n');
    write_replacing(file, &text)
}
