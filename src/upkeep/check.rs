//! Whether a repository is built as it should be. Contents are not read: `verify` does that.

use crate::backup::{lock, open_repository};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::MANIFEST;
use crate::repository::{BackupId, LockMode, PublishedBackup, Repository, is_relocation_file};
use crate::setting::Setting;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is wrong with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It belongs to no backup and not to the repository.
    Stray,
    /// An interrupted command left it; the next one that writes removes it.
    Leftover,
    /// Somebody else may read it.
    WrongMode,
    /// A directory among the backups has no manifest.
    NoManifest,
    /// A manifest cannot be read, or belongs elsewhere.
    Unreadable,
    /// A file of a backup is missing or has another size than it should have.
    Damaged,
    /// A backup needs an archive that is not there.
    Dangling,
    /// Two backups have the same id, or the same place in the history.
    Duplicate,
    /// A backup was written into another repository.
    Foreign,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Irregularity {
    /// Where, relative to the repository.
    pub path: PathBuf,
    /// What kind of thing it is.
    pub kind: Kind,
    /// What is wrong, as people read it.
    pub fault: String,
}

impl Kind {
    /// Whether every backup can be restored all the same.
    pub fn is_harmless(self) -> bool {
        matches!(self, Self::Stray | Self::Leftover | Self::WrongMode | Self::Foreign)
    }
}

impl fmt::Display for Irregularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

/// Looks the repository over, while nobody writes to it.
///
/// # Errors
/// When it cannot be listed; irregularities are returned, sorted by their paths.
pub async fn check(setting: &Setting) -> Result<Vec<Irregularity>> {
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    let part = setting.clone();
    setting.blocking(move || Look::over(&part, &repository)).await
}

struct Look<'a> {
    repository: &'a Repository,
    found: Vec<Irregularity>,
    ids: BTreeMap<BackupId, String>,
    sequences: BTreeMap<u64, PublishedBackup>,
}

impl<'a> Look<'a> {
    fn over(setting: &Setting, repository: &'a Repository) -> Result<Vec<Irregularity>> {
        let (found, ids, sequences) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut look = Self { repository, found, ids, sequences };
        match repository.directory() {
            Some(top) => {
                look.top(top)?;
                for path in list(&top.join("backups"))? {
                    setting.check_interrupted("check repository of")?;
                    look.directory(&path)?;
                }
            }
            None => {
                for name in repository.names()? {
                    setting.check_interrupted("check repository of")?;
                    look.backup(&name, &Path::new("backups").join(&name))?;
                }
            }
        }
        look.found.sort();
        Ok(look.found)
    }

    fn top(&mut self, top: &Path) -> Result<()> {
        for path in list(top)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match name.as_str() {
                "backups" | "incoming" | "pins" | "trash" => self.mode(&path, 0o700)?,
                "lock" | "backstop-repository.json" => self.mode(&path, 0o600)?,
                _ if is_relocation_file(&name) => self.note(&path, Kind::Leftover, LEFT),
                // What an atomic write was cut off from.
                _ if name.starts_with(".backstop-new-") => self.note(&path, Kind::Leftover, LEFT),
                _ => self.note(&path, Kind::Stray, "does not belong to the repository"),
            }
        }
        for name in ["incoming", "trash"] {
            for path in list(&top.join(name))? {
                self.note(&path, Kind::Leftover, LEFT);
            }
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path) -> Result<()> {
        let metadata = metadata(path)?;
        if !metadata.is_dir() {
            self.note(path, Kind::Stray, "is no directory");
            return Ok(());
        }
        self.modes(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.join(MANIFEST).exists() {
            self.note(
                path,
                Kind::NoManifest,
                format!(
                    "has no manifest.json: bring that back from a copy of the repository; without \
                     one, `backstop delete {name} --force` takes away what is left"
                ),
            );
            return Ok(());
        }
        self.backup(&name, path)
    }

    fn backup(&mut self, name: &str, path: &Path) -> Result<()> {
        let backup = match self.repository.backup(name) {
            Ok(backup) => backup,
            // On a store: being written, or cleared away by the next writer.
            Err(e) if e.code() == Code::BackupNotFound => {
                self.note(path, Kind::Leftover, "has no manifest.json: it is not published");
                return Ok(());
            }
            Err(e) => {
                self.note(path, Kind::Unreadable, e);
                return Ok(());
            }
        };
        for damage in backup.check_sizes()? {
            let kind = match damage.fault.as_str() {
                "does not belong to the backup" => Kind::Stray,
                _ => Kind::Damaged,
            };
            self.note(&path.join(&damage.object), kind, &damage.fault);
        }
        for damage in backup.check_references(&|_| true)? {
            self.note(path, Kind::Dangling, format!("needs {} {}", damage.object, damage.fault));
        }
        self.identity(path, backup);
        Ok(())
    }

    fn identity(&mut self, path: &Path, backup: PublishedBackup) {
        let manifest = backup.manifest();
        if manifest.repository_id != self.repository.id() {
            let other = &manifest.repository_id;
            self.note(path, Kind::Foreign, format!("was written into the repository {other}"));
        }
        if let Some(other) = self.ids.insert(manifest.id.clone(), manifest.name.clone()) {
            self.note(path, Kind::Duplicate, format!("has the id of {other}"));
        }
        let sequence = manifest.sequence;
        if let Some(other) = self.sequences.insert(sequence, backup.clone())
            && !super::consolidate::are_same_instant(&backup, &other)
        {
            let other = &other.manifest().name;
            self.note(
                path,
                Kind::Duplicate,
                format!("has the place {sequence} in the history, as {other} has"),
            );
        }
    }

    /// The modes of everything below a backup's directory.
    fn modes(&mut self, path: &Path) -> Result<()> {
        self.mode(path, 0o700)?;
        for below in list(path)? {
            match metadata(&below)?.is_dir() {
                true => self.modes(&below)?,
                false => self.mode(&below, 0o600)?,
            }
        }
        Ok(())
    }

    fn mode(&mut self, path: &Path, wanted: u32) -> Result<()> {
        let mode = metadata(path)?.permissions().mode() & 0o7777;
        if mode & !wanted != 0 {
            self.note(
                path,
                Kind::WrongMode,
                format!("has mode {mode:04o} instead of {wanted:04o}"),
            );
        }
        Ok(())
    }

    fn note(&mut self, path: &Path, kind: Kind, fault: impl fmt::Display) {
        let top = self.repository.directory().unwrap_or(Path::new(""));
        let path = path.strip_prefix(top).unwrap_or(path).to_path_buf();
        self.found.push(Irregularity { path, kind, fault: fault.to_string() });
    }
}

const LEFT: &str = "was left by an interrupted command; the next one that writes removes it";

/// What lies in a directory; nothing where it is missing.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("list", dir, e);
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn metadata(path: &Path) -> Result<Metadata> {
    std::fs::symlink_metadata(path).map_err(|e| Error::io("look at", path, e))
}
