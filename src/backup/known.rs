//! Which repository lies at a path: remembered in the state directory from the first use on.
//!
//! A file system that is not mounted leaves an empty directory, and another disk may be mounted
//! in its place. Without memory the next backup would begin a new repository there, and the
//! history would seem to be gone.

use crate::config::{Config, Copy, Place};
use crate::encryption::Identities;
use crate::error::{Code, Error, Result};
use crate::repository::{Repository, create_dir, write_new, write_replacing};
use crate::setting::Setting;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// In the state directory: the id of the repository at each path that was ever used.
const FILE: &str = "repositories.json";

/// In the state directory: the name of the stack that it belongs to.
const STACK: &str = "stack";

/// Makes the state directory this stack's own. Journals, restores and the catalog in it say
/// nothing of stacks: two in one directory would undo each other's work.
///
/// # Errors
/// `config_invalid` where it is another stack's.
pub(crate) fn claim_state(config: &Config) -> Result<()> {
    let (dir, name) = (&config.state.dir, &config.stack.name);
    let file = dir.join(STACK);
    // Whatever is wrong with the directory itself, whoever uses it says so.
    if !file.exists() && create_dir(dir).is_ok() {
        let _ = write_new(&file, name.as_bytes());
    }
    match std::fs::read_to_string(&file) {
        // A crash may have left it empty.
        Ok(owner) if owner.is_empty() => write_replacing(&file, name.as_bytes()),
        Ok(owner) if owner != *name => {
            Err(Error::new(Code::ConfigInvalid, "use state.dir", dir.display())
                .cause(format!("it belongs to the stack {owner}, this one is {name}"))
                .hint(format!(
                    "give each stack a state.dir of its own; if the stack was only renamed, \
                     remove {}",
                    file.display()
                )))
        }
        _ => Ok(()),
    }
}

/// What is remembered of the repository that a config names.
pub(super) struct Known {
    file: PathBuf,
    /// A path, or the url of a store.
    path: PathBuf,
    place: Place,
    state_dir: PathBuf,
    identities: Identities,
    ids: BTreeMap<PathBuf, String>,
    /// Whether a copy of the repository lies there.
    is_copy: bool,
}

/// Opens the repository, which must exist, and be the one that was there before.
///
/// # Errors
/// `repository_not_found`, `repository_replaced`, `repository_format`.
pub(crate) fn open_repository(setting: &Setting) -> Result<Repository> {
    let mut known = Known::of(setting)?;
    let repository = known.open()?;
    known.remember(&repository)?;
    Ok(repository)
}

/// Opens a copy of `source`, or creates it where none was before.
///
/// # Errors
/// As [`open_repository`], also where the copy that was there is gone.
pub(crate) fn open_copy(setting: &Setting, copy: &Copy, source: &Repository) -> Result<Repository> {
    let mut known = Known::of_copy(setting, copy)?;
    let copy = match known.is_known() {
        true => known.open()?.into_copy_of(source)?,
        false => Repository::open_or_create_copy(&known.place, &known.state_dir, source)?,
    };
    known.remember(&copy)?;
    Ok(copy)
}

/// Remembers the repository that lies in a place now, whatever lay there before.
pub(crate) fn remember_repository(setting: &Setting, repository: &Repository) -> Result<()> {
    let Known { file, mut ids, identities, is_copy, .. } = Known::of(setting)?;
    let path = key(repository);
    ids.remove(&path);
    let (place, state_dir) = (Place::Directory(path.clone()), setting.config.state.dir.clone());
    Known { file, path, place, state_dir, identities, ids, is_copy }.remember(repository)
}

/// Under what a repository is remembered.
fn key(repository: &Repository) -> PathBuf {
    repository.directory().map_or_else(|| repository.shown().into(), Path::to_path_buf)
}

impl Known {
    /// What is remembered of the config's repository.
    pub(super) fn of(setting: &Setting) -> Result<Self> {
        Self::at(setting, setting.config.repository.place())
    }

    /// What is remembered of a copy of it.
    pub(super) fn of_copy(setting: &Setting, copy: &Copy) -> Result<Self> {
        let state_dir = setting.config.copy_state_dir(&copy.name);
        Ok(Self { state_dir, is_copy: true, ..Self::at(setting, copy.place())? })
    }

    /// Reads what is remembered of a place.
    fn at(setting: &Setting, place: Place) -> Result<Self> {
        let file = setting.config.state.dir.join(FILE);
        let ids = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| {
                Error::new(Code::Io, "read", file.display())
                    .source(e)
                    .hint("move it away: the next command writes it anew")
            })?,
            Err(e) if e.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(Error::io("read", &file, e)),
        };
        let path = place.key();
        let (state_dir, identities) =
            (setting.config.state.dir.clone(), setting.identities.clone());
        let is_copy = setting.config.is_copy();
        Ok(Self { file, path, place, state_dir, identities, ids, is_copy })
    }

    /// Whether a repository was used at this path before.
    pub(super) fn is_known(&self) -> bool {
        self.ids.contains_key(&self.path)
    }

    /// Opens the repository without remembering it.
    pub(super) fn open(&self) -> Result<Repository> {
        let (file, path) = (self.file.display(), self.path.display());
        match (Repository::open_at(&self.place, &self.state_dir), self.ids.get(&self.path)) {
            (Ok(found), Some(id)) if found.id() != id => {
                let error = Error::new(Code::RepositoryReplaced, "open repository", found.shown());
                Err(error
                    .cause(format!("its id is {}, and was {id} when it was used last", found.id()))
                    .hint(match self.is_copy {
                        true => "mount the file system that belongs there, or name another place \
                                 for the copy in [[repository.copies]]"
                            .to_owned(),
                        false => format!(
                            "mount the file system that belongs there; to use this repository \
                             from now on, move {file} away"
                        ),
                    }))
            }
            (Err(e), Some(id)) if e.code() == Code::RepositoryNotFound => Err(e
                .cause(format!("the repository {id}, which was used there, is gone"))
                .hint(match self.is_copy {
                    // The file remembers the repository itself as well, which is not gone.
                    true => format!(
                        "mount its file system; if this copy is gone for good, take the entry \
                         \"{path}\" out of {file}, and the next `backstop sync` begins it anew"
                    ),
                    false => format!(
                        "mount its file system; if the backups are gone for good, move {file} and \
                         catalog.duckdb beside it away, and the next backup begins a new repository"
                    ),
                })),
            (opened, _) => opened.map(|found| found.with_identities(&self.identities)),
        }
    }

    /// Remembers the repository.
    pub(super) fn remember(&mut self, repository: &Repository) -> Result<()> {
        if self.is_known() {
            return Ok(());
        }
        self.ids.insert(self.path.clone(), repository.id().to_string());
        let mut text = serde_json::to_vec_pretty(&self.ids)
            .map_err(|e| Error::new(Code::Io, "write", self.file.display()).source(e))?;
        text.push(b'\n');
        if let Some(dir) = self.file.parent() {
            create_dir(dir)?;
        }
        write_replacing(&self.file, &text)
    }
}
