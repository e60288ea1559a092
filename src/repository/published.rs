//! A published backup: it is read, verified and deleted, never written.

use super::BackupId;
use super::checksums::{CHECKSUMS, Checksums, hash_bytes, hash_file, hash_file_unless};
use super::incoming::files_below;
use super::manifest::{Elsewhere, FORMAT, MANIFEST, Manifest, Object};
use crate::error::{Code, Error, Result};
use crate::size::count;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// A directory in `backups/` with a manifest of a known format.
#[derive(Debug, Clone)]
pub struct PublishedBackup {
    path: PathBuf,
    manifest: Manifest,
}

/// Objects that were read, by their backup and path, with what is wrong with each.
pub type Checked = BTreeMap<(BackupId, String), Option<String>>;

/// One stored file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The file, relative to the backup's directory.
    pub object: String,
    /// What is wrong with it.
    pub fault: String,
    /// The names of other backups that need this file.
    #[serde(default)]
    pub needed_by: Vec<String>,
}

impl PublishedBackup {
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let file = path.join(MANIFEST);
        let text = std::fs::read(&file).map_err(|e| match e.kind() {
            ErrorKind::NotFound if path.is_dir() => {
                Error::new(Code::BackupDamaged, "read", file.display()).cause("it is missing")
            }
            ErrorKind::NotFound => Error::new(Code::BackupNotFound, "open backup", path.display())
                .cause("there is no such directory"),
            _ => Error::io("read", &file, e),
        })?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|e| Error::new(Code::BackupDamaged, "read", file.display()).source(e))?;
        // A flipped bit in the number is damage, not the future.
        if manifest.format > FORMAT && !fits_checksums(&path, &text) {
            return Err(Error::new(Code::BackupDamaged, "read", file.display())
                .cause("it does not fit SHA256SUMS"));
        }
        if manifest.format > FORMAT {
            return Err(Error::new(Code::RepositoryFormat, "open backup", path.display())
                .cause(format!("it has format {}, this version knows {FORMAT}", manifest.format)));
        }
        if path.file_name().is_none_or(|name| name != manifest.name.as_str()) {
            return Err(Error::new(Code::BackupDamaged, "read", file.display())
                .cause(format!("it is the manifest of another backup, {}", manifest.name)));
        }
        for component in &manifest.components {
            if !is_file_name(&component.name) {
                return Err(Error::new(Code::UnsafePath, "open backup", path.display())
                    .cause(format!("`{}` cannot be a component's name", component.name)));
            }
        }
        Ok(Self { path, manifest })
    }

    /// A backup whose own manifest is damaged, with one that was put together of what else
    /// says what it holds.
    pub(super) fn described(path: PathBuf, manifest: Manifest) -> Self {
        Self { path, manifest }
    }

    /// The backup's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything about the backup.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where a stored file lies; `object` as the manifest names it.
    ///
    /// # Errors
    /// `unsafe_path` for a name that would lead out of the backup.
    pub fn object(&self, object: &str) -> Result<PathBuf> {
        let inside = Path::new(object)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if inside && !object.is_empty() {
            Ok(self.path.join(object))
        } else {
            Err(Error::new(Code::UnsafePath, "open object", object)
                .cause("the name leads out of the backup"))
        }
    }

    /// Compares every stored file's size with the manifest, and the list of files with
    /// the directory. Reads no content but that of `SHA256SUMS`.
    pub fn check_sizes(&self) -> Result<Vec<Damage>> {
        let mut damages = self.check_list()?;
        for object in &self.manifest.objects {
            match std::fs::symlink_metadata(self.object(&object.path)?) {
                Ok(found) if found.is_file() && found.len() == object.size => {}
                Ok(found) if found.is_file() => damages.push(Damage::new(
                    &object.path,
                    &format!(
                        "has {} instead of {}",
                        count(found.len(), "byte", "bytes"),
                        object.size
                    ),
                )),
                Ok(_) => damages.push(Damage::new(&object.path, "is not a file")),
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    damages.push(Damage::new(&object.path, "is missing"));
                }
                Err(e) => damages.push(Damage::new(&object.path, &format!("cannot be read: {e}"))),
            }
        }
        Ok(damages)
    }

    /// Reads every byte of the `wanted` files and compares it with the manifest and with
    /// `SHA256SUMS`. `read` is told of every file's size when it has been read. Damage to
    /// manifest or checksums concerns every file.
    ///
    /// # Errors
    /// `interrupted` when `cancel` is set; damage is returned, not an error.
    pub fn check_bytes(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        cancel: &CancellationToken,
        read: &mut dyn FnMut(u64),
    ) -> Result<Vec<Damage>> {
        let mut damages = self.check_sizes()?;
        damages.retain(|damage| {
            [MANIFEST, CHECKSUMS].contains(&damage.object.as_str()) || wanted(&damage.object)
        });
        for object in self.manifest.objects.iter().filter(|object| wanted(&object.path)) {
            if cancel.is_cancelled() {
                return Err(Error::new(Code::Interrupted, "verify backup", &self.manifest.name));
            }
            if damages.iter().any(|damage| damage.object == object.path) {
                continue;
            }
            match hash_file_unless(cancel, &self.object(&object.path)?) {
                Ok((_, hash)) if hash == object.sha256 => {}
                Ok(_) => {
                    damages.push(Damage::new(&object.path, "has other bytes than were written"))
                }
                Err(e) if e.code() == Code::Interrupted => return Err(e),
                Err(e) => damages.push(Damage::new(&object.path, &e.to_string())),
            }
            read(object.size);
        }
        Ok(damages)
    }

    /// The backup of this id in the same repository.
    ///
    /// # Errors
    /// `backup_not_found` where it is not there, and what opening it meets.
    pub fn sibling(&self, id: &BackupId) -> Result<Self> {
        let not_found = || {
            Error::new(Code::BackupNotFound, "open backup", id)
                .cause(format!("{} builds upon it, and it is gone", self.manifest.name))
        };
        let mut unreadable = None;
        let backups = self.path.parent().ok_or_else(not_found)?;
        let entries =
            std::fs::read_dir(backups).map_err(|e| Error::io("list backups in", backups, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("list backups in", backups, e))?;
            let name = entry.file_name();
            if !name.to_string_lossy().ends_with(&format!("_{}", id.suffix())) {
                continue;
            }
            // One that cannot be read may be another whose id begins alike.
            match Self::open(entry.path()) {
                Ok(found) if found.manifest.id == *id => return Ok(found),
                Ok(_) => {}
                Err(e) => unreadable = Some(e),
            }
        }
        Err(unreadable.unwrap_or_else(not_found))
    }

    /// Where an archive lies that the index names by its backup's id and its path there.
    ///
    /// # Errors
    /// `unsafe_path` for a path that leads out of its backup, `backup_not_found`.
    pub fn locate(&self, stored_in: &str, archive: &str) -> Result<PathBuf> {
        if stored_in == self.manifest.id.as_str() {
            return self.object(archive);
        }
        self.sibling(&BackupId::try_from(stored_in.to_owned())?)?.object(archive)
    }

    /// As [`Self::locate`], where the earlier backup's manifest may be damaged: what it holds
    /// has to be compared with its hash.
    pub fn locate_damaged(&self, stored_in: &str, archive: &str) -> Result<PathBuf> {
        let located = self.locate(stored_in, archive);
        let (Err(_), Ok(id)) = (&located, BackupId::try_from(stored_in.to_owned())) else {
            return located;
        };
        let suffix = format!("_{}", id.suffix());
        let entries = self.path.parent().map(std::fs::read_dir);
        for entry in entries.into_iter().flatten().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().ends_with(&suffix)
                && path.join(archive).is_file()
            {
                return Self { path, manifest: self.manifest.clone() }.object(archive);
            }
        }
        located
    }

    /// Looks whether the archives of earlier backups are there that the `wanted` components
    /// need, with the sizes they should have.
    pub fn check_references(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Damage>> {
        self.each_reference(wanted, &mut |earlier, object| {
            let size = std::fs::metadata(earlier.object(&object.path)?).map(|found| found.len());
            Ok((size.ok() != Some(object.size)).then(|| "is missing or has another size".into()))
        })
    }

    /// Reads every byte of those archives and compares it with their manifests. What is in
    /// `checked` is not read again.
    pub fn check_reference_bytes(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        cancel: &CancellationToken,
        checked: &mut Checked,
    ) -> Result<Vec<Damage>> {
        self.each_reference(wanted, &mut |earlier, object| {
            let key = (earlier.manifest.id.clone(), object.path.clone());
            if let Some(fault) = checked.get(&key) {
                return Ok(fault.clone());
            }
            let fault = match hash_file_unless(cancel, &earlier.object(&object.path)?) {
                Ok((_, hash)) if hash == object.sha256 => None,
                Ok(_) => Some("has other bytes than were written".into()),
                Err(e) if e.code() == Code::Interrupted => return Err(e),
                Err(e) => Some(e.to_string()),
            };
            checked.insert(key, fault.clone());
            Ok(fault)
        })
    }

    fn each_reference(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        check: &mut dyn FnMut(&Self, &Object) -> Result<Option<String>>,
    ) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        let mut checked = BTreeSet::new();
        for component in self.manifest.components.iter().filter(|c| wanted(&c.name)) {
            for named in component.elsewhere() {
                let Elsewhere { backup, object } = named;
                if !checked.insert((backup.as_str(), object)) {
                    continue;
                }
                let fault = match self.sibling(backup) {
                    Err(e) if e.code() == Code::BackupNotFound => Some("is gone".into()),
                    Err(e) => Some(e.to_string()),
                    Ok(earlier) => {
                        match earlier.manifest.objects.iter().find(|o| o.path == *object) {
                            Some(object) => check(&earlier, object)?,
                            None => Some("is not in its backup's manifest".into()),
                        }
                    }
                };
                damages.extend(fault.map(|fault| Damage::new(&named.shown(), &fault)));
            }
        }
        Ok(damages)
    }

    /// Whether `SHA256SUMS`, the manifest and the directory agree on which files there are.
    fn check_list(&self) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        let file = self.path.join(CHECKSUMS);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let sums = Checksums::parse(&text, &file).unwrap_or_default();
        // One that is missing or cannot be read fits nothing.
        let (_, manifest_hash) = hash_file(&self.path.join(MANIFEST)).unwrap_or_default();
        if sums.0.get(MANIFEST) != Some(&manifest_hash) {
            damages.push(Damage::new(MANIFEST, "does not fit SHA256SUMS"));
        }
        let mut expected = self
            .manifest
            .objects
            .iter()
            .map(|object| (object.path.clone(), object.sha256.clone()))
            .collect::<std::collections::BTreeMap<_, _>>();
        expected.insert(MANIFEST.into(), manifest_hash);
        if sums.to_text() != text
            || sums.0.keys().ne(expected.keys())
            || expected
                .iter()
                .any(|(path, hash)| path != MANIFEST && sums.0.get(path) != Some(hash))
        {
            damages.push(Damage::new(CHECKSUMS, "is missing or does not fit the manifest"));
        }
        for path in files_below(&self.path)? {
            if path != CHECKSUMS && !expected.contains_key(&path) {
                damages.push(Damage::new(&path, "does not belong to the backup"));
            }
        }
        Ok(damages)
    }
}

/// Whether `SHA256SUMS` lists a manifest of this text.
fn fits_checksums(backup: &Path, manifest: &[u8]) -> bool {
    let file = backup.join(CHECKSUMS);
    let sums = std::fs::read_to_string(&file).ok();
    let sums = sums.and_then(|text| Checksums::parse(&text, &file).ok()).unwrap_or_default();
    sums.0.get(MANIFEST) == Some(&hash_bytes(manifest))
}

/// Names of components become parts of paths: a single one, and not a hidden one.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

impl Damage {
    /// `object` has `fault`.
    pub fn new(object: &str, fault: &str) -> Self {
        Self { object: object.into(), fault: fault.into(), needed_by: Vec::new() }
    }
}

impl Elsewhere {
    /// The archive as a damage names it.
    pub fn shown(&self) -> String {
        format!("{} of backup {}", self.object, self.backup.short())
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.object, self.fault)?;
        match self.needed_by.as_slice() {
            [] => Ok(()),
            names => write!(f, " (needed by {})", names.join(", ")),
        }
    }
}
