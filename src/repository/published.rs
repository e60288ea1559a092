//! A published backup: it is read, verified and deleted, never written.

use super::checksums::{CHECKSUMS, Checksums, hash_blob, hash_bytes};
use super::manifest::{Elsewhere, FORMAT, MANIFEST, Manifest, Object};
use super::{BACKUPS, BackupId};
use crate::encryption::{EXTENSION, Identities};
use crate::error::{Code, Error, Result};
use crate::size::count;
use crate::storage::{Blob, Listed, Scratch, Storage, check_name};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// A directory in `backups/` with a manifest of a known format.
#[derive(Debug, Clone)]
pub struct PublishedBackup {
    storage: Arc<dyn Storage>,
    /// What its objects are read with where they are encrypted.
    identities: Identities,
    /// Where its objects lie, in the storage.
    dir: String,
    manifest: Manifest,
    /// The backups it has contents in, once they were looked for.
    siblings: Arc<Mutex<BTreeMap<BackupId, PublishedBackup>>>,
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
    pub(super) fn find(
        storage: &Arc<dyn Storage>,
        identities: &Identities,
        name: &str,
    ) -> Result<Self> {
        let dir = format!("{BACKUPS}/{name}");
        let file = format!("{dir}/{MANIFEST}");
        let Some(text) = storage.read(&file)? else {
            if storage.directory().is_none() {
                return Err(Error::new(Code::BackupNotFound, "open backup", storage.shown(&dir))
                    .cause("it has no manifest: it was deleted, or is not published yet"));
            }
            return Err(match storage.names(&dir)?.is_empty() && !is_directory(storage, &dir) {
                true => Error::new(Code::BackupNotFound, "open backup", storage.shown(&dir))
                    .cause("there is no such directory"),
                false => Error::new(Code::BackupDamaged, "read", storage.shown(&file))
                    .cause("it is missing"),
            });
        };
        let damaged = || Error::new(Code::BackupDamaged, "read", storage.shown(&file));
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| damaged().source(e))?;
        let found = Self {
            storage: storage.clone(),
            identities: identities.clone(),
            dir,
            manifest,
            siblings: Arc::default(),
        };
        let manifest = &found.manifest;
        // A flipped bit in the number is damage, not the future.
        if manifest.format > FORMAT
            && found.checksums()?.0.get(MANIFEST) != Some(&hash_bytes(&text))
        {
            return Err(damaged().cause("it does not fit SHA256SUMS"));
        }
        if manifest.format > FORMAT {
            return Err(Error::new(Code::RepositoryFormat, "open backup", found.shown())
                .cause(format!("it has format {}, this version knows {FORMAT}", manifest.format)));
        }
        if manifest.name != name {
            return Err(
                damaged().cause(format!("it is the manifest of another backup, {}", manifest.name))
            );
        }
        for component in &manifest.components {
            if !is_file_name(&component.name) {
                return Err(Error::new(Code::UnsafePath, "open backup", found.shown())
                    .cause(format!("`{}` cannot be a component's name", component.name)));
            }
        }
        Ok(found)
    }

    /// A backup whose own manifest is damaged, with one that was put together of what else
    /// says what it holds.
    pub(super) fn described(
        storage: &Arc<dyn Storage>,
        identities: &Identities,
        manifest: Manifest,
    ) -> Self {
        Self {
            storage: storage.clone(),
            identities: identities.clone(),
            dir: format!("{BACKUPS}/{}", manifest.name),
            manifest,
            siblings: Arc::default(),
        }
    }

    /// The backup as messages call it: its directory, or its url.
    pub fn shown(&self) -> String {
        self.storage.shown(&self.dir)
    }

    /// The backup's directory, where it lies in one.
    pub fn directory(&self) -> Option<PathBuf> {
        self.storage.directory().map(|repository| repository.join(&self.dir))
    }

    /// Where its objects lie, in the storage.
    pub(super) fn dir(&self) -> &str {
        &self.dir
    }

    /// Everything about the backup.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The name of a stored file in the storage; `object` as the manifest names it.
    ///
    /// # Errors
    /// `unsafe_path` for a name that would lead out of the backup.
    fn name_of(&self, object: &str) -> Result<String> {
        check_name(object)?;
        Ok(format!("{}/{object}", self.dir))
    }

    /// A stored file's bytes, as `SHA256SUMS` knows them.
    ///
    /// # Errors
    /// `backup_damaged` where it is missing.
    pub fn stored(&self, object: &str) -> Result<Blob> {
        let name = self.name_of(object)?;
        self.storage.open(&name)?.ok_or_else(|| {
            Error::new(Code::BackupDamaged, "read", self.storage.shown(&name))
                .cause("it is missing")
        })
    }

    /// The content of an object, as components and the index name it: decrypted, where the
    /// backup is encrypted.
    ///
    /// # Errors
    /// `backup_damaged`, `key_missing`, `key_wrong`.
    pub fn open(&self, object: &str) -> Result<Blob> {
        self.content(&self.manifest.stored_name(object))
    }

    /// As [`Self::open`], where the end of the object may be damaged: what comes before is
    /// read all the same.
    pub fn open_damaged(&self, object: &str) -> Result<Blob> {
        let stored = self.manifest.stored_name(object);
        let blob = self.stored(&stored)?;
        match self.is_sealed(&stored) {
            true => self.identities.open_damaged(blob),
            false => Ok(blob),
        }
    }

    fn content(&self, stored: &str) -> Result<Blob> {
        let blob = self.stored(stored)?;
        match self.is_sealed(stored) {
            true => self.identities.open(blob),
            false => Ok(blob),
        }
    }

    fn is_sealed(&self, stored: &str) -> bool {
        self.is_encrypted() && stored.ends_with(EXTENSION)
    }

    /// Whether its objects are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.manifest.encryption.is_some()
    }

    /// Makes sure that its objects can be decrypted, by the smallest one.
    ///
    /// # Errors
    /// `key_missing`, `key_wrong`. Damage is left to whoever reads the object.
    pub fn check_key(&self) -> Result<()> {
        let encrypted = self.manifest.objects.iter().filter(|it| it.path.ends_with(EXTENSION));
        let Some(smallest) = encrypted.min_by_key(|object| object.size) else { return Ok(()) };
        match self.content(&smallest.path) {
            Err(e) if matches!(e.code(), Code::KeyMissing | Code::KeyWrong) => Err(e),
            _ => Ok(()),
        }
    }

    /// The whole content of a small stored file.
    pub fn read(&self, object: &str) -> Result<Vec<u8>> {
        let content = self.open(object)?;
        content.read_all().map_err(|e| Error::io("read", Path::new(content.name()), e))
    }

    /// The content of a stored file, or of all files of a stored directory, as files of this
    /// host: for programs that read nothing else. What does not lie on a disk already, or is
    /// encrypted there, is brought to a place of its own below `state_dir`, until the result is
    /// dropped.
    pub fn fetch(
        &self,
        object: &str,
        state_dir: &Path,
        cancel: &CancellationToken,
    ) -> Result<Fetched> {
        check_name(object)?;
        if let Some(directory) = self.directory().filter(|_| !self.is_encrypted()) {
            return Ok(Fetched { path: directory.join(object), _scratch: None });
        }
        let scratch = Scratch::below(state_dir)?;
        let below = format!("{object}/");
        let is_wanted = |name: &str| name == object || name.starts_with(&below);
        for stored in &self.manifest.objects {
            let name = self.manifest.logical_name(&stored.path);
            if is_wanted(name) {
                let content = self.content(&stored.path)?;
                scratch.storage().upload(name, &content, cancel, &mut |_| {})?;
            }
        }
        Ok(Fetched { path: scratch.path().join(object), _scratch: Some(scratch) })
    }

    /// What `SHA256SUMS` says, as far as it can be read; nothing where it is damaged.
    pub fn checksums(&self) -> Result<Checksums> {
        let text = self.storage.read(&format!("{}/{CHECKSUMS}", self.dir))?.unwrap_or_default();
        let text = String::from_utf8(text).unwrap_or_default();
        Ok(Checksums::parse(&text, Path::new(CHECKSUMS)).unwrap_or_default())
    }

    /// Compares every stored file's size with the manifest, and the list of files with
    /// the directory. Reads no content but that of `SHA256SUMS`.
    pub fn check_sizes(&self) -> Result<Vec<Damage>> {
        let listed = self.storage.list(&self.dir)?;
        let mut damages = self.check_list(&listed)?;
        let sizes: BTreeMap<&str, u64> =
            listed.iter().map(|found| (found.name.as_str(), found.size)).collect();
        for object in &self.manifest.objects {
            self.name_of(&object.path)?;
            match sizes.get(object.path.as_str()) {
                Some(_) if self.is_no_file(&object.path) => {
                    damages.push(Damage::new(&object.path, "is not a file"));
                }
                Some(size) if *size == object.size => {}
                Some(size) => damages.push(Damage::new(
                    &object.path,
                    &format!("has {} instead of {}", count(*size, "byte", "bytes"), object.size),
                )),
                None => damages.push(Damage::new(&object.path, "is missing")),
            }
        }
        Ok(damages)
    }

    /// Whether something else than a file lies where a file should, which only a directory's
    /// owner can do.
    fn is_no_file(&self, object: &str) -> bool {
        let found = self.directory().map(|dir| dir.join(object).symlink_metadata());
        found.is_some_and(|found| found.is_ok_and(|found| !found.is_file()))
    }

    /// Reads every stored byte of the `wanted` objects and compares it with the manifest and with
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
            [MANIFEST, CHECKSUMS].contains(&damage.object.as_str())
                || wanted(self.manifest.logical_name(&damage.object))
        });
        let wanted = |object: &&Object| wanted(self.manifest.logical_name(&object.path));
        for object in self.manifest.objects.iter().filter(wanted) {
            if cancel.is_cancelled() {
                return Err(Error::new(Code::Interrupted, "verify backup", &self.manifest.name));
            }
            if damages.iter().any(|damage| damage.object == object.path) {
                continue;
            }
            match self.stored(&object.path).and_then(|blob| hash_blob(cancel, &blob)) {
                Ok((_, hash)) if hash == object.sha256 => {}
                Ok(_) => {
                    damages.push(Damage::new(&object.path, "has other bytes than were written"))
                }
                Err(e) if is_no_damage(&e) => return Err(e),
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
        let mut siblings = self.siblings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = siblings.get(id) {
            return Ok(known.clone());
        }
        let mut unreadable = None;
        for name in self.namesakes(id)? {
            // One that cannot be read may be another whose id begins alike.
            match Self::find(&self.storage, &self.identities, &name) {
                Ok(found) if found.manifest.id == *id => {
                    siblings.insert(id.clone(), found.clone());
                    return Ok(found);
                }
                Ok(_) => {}
                Err(e) => unreadable = Some(e),
            }
        }
        Err(unreadable.unwrap_or_else(not_found))
    }

    /// The names of the backups that may have this id.
    fn namesakes(&self, id: &BackupId) -> Result<Vec<String>> {
        let suffix = format!("_{}", id.suffix());
        let mut names = self.storage.names(BACKUPS)?;
        names.retain(|name| name.ends_with(&suffix));
        Ok(names)
    }

    /// An archive that the index names by its backup's id and its path there.
    ///
    /// # Errors
    /// `unsafe_path` for a path that leads out of its backup, `backup_not_found`.
    pub fn locate(&self, stored_in: &str, archive: &str) -> Result<Blob> {
        self.holder(stored_in)?.open(archive)
    }

    /// The backup, this one or an earlier one, that the index names by its id.
    ///
    /// # Errors
    /// `backup_not_found`.
    pub fn holder(&self, stored_in: &str) -> Result<Self> {
        match stored_in == self.manifest.id.as_str() {
            true => Ok(self.clone()),
            false => self.sibling(&BackupId::try_from(stored_in.to_owned())?),
        }
    }

    /// As [`Self::locate`], where the earlier backup's manifest may be damaged: what it holds
    /// has to be compared with its hash.
    pub fn locate_damaged(&self, stored_in: &str, archive: &str) -> Result<Blob> {
        let located = self.holder(stored_in).and_then(|holder| holder.open_damaged(archive));
        let (Err(_), Ok(id)) = (&located, BackupId::try_from(stored_in.to_owned())) else {
            return located;
        };
        for name in self.namesakes(&id)? {
            let dir = format!("{BACKUPS}/{name}");
            let namesake = Self { dir, ..self.clone() };
            if let Ok(found) = namesake.open_damaged(archive) {
                return Ok(found);
            }
        }
        located
    }

    /// Looks whether the archives of earlier backups are there that the `wanted` components
    /// need, with the sizes they should have.
    pub fn check_references(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Damage>> {
        self.each_reference(wanted, &mut |earlier, object| {
            let size = earlier.storage.size(&earlier.name_of(&object.path)?)?;
            Ok((size != Some(object.size)).then(|| "is missing or has another size".into()))
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
            let read = earlier.stored(&object.path).and_then(|blob| hash_blob(cancel, &blob));
            let fault = match read {
                Ok((_, hash)) if hash == object.sha256 => None,
                Ok(_) => Some("has other bytes than were written".into()),
                Err(e) if is_no_damage(&e) => return Err(e),
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
                    Err(e) if is_no_damage(&e) => return Err(e),
                    Err(e) => Some(e.to_string()),
                    Ok(earlier) => {
                        let stored = earlier.manifest.stored_name(object);
                        match earlier.manifest.objects.iter().find(|it| it.path == stored) {
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
    fn check_list(&self, listed: &[Listed]) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        let text = self.storage.read(&format!("{}/{CHECKSUMS}", self.dir))?.unwrap_or_default();
        let sums = self.checksums()?;
        // One that is missing or cannot be read fits nothing.
        let manifest = self.storage.read(&format!("{}/{MANIFEST}", self.dir))?.unwrap_or_default();
        let manifest_hash = hash_bytes(&manifest);
        if sums.0.get(MANIFEST) != Some(&manifest_hash) {
            damages.push(Damage::new(MANIFEST, "does not fit SHA256SUMS"));
        }
        let mut expected = self
            .manifest
            .objects
            .iter()
            .map(|object| (object.path.clone(), object.sha256.clone()))
            .collect::<BTreeMap<_, _>>();
        expected.insert(MANIFEST.into(), manifest_hash);
        if sums.to_text().as_bytes() != text
            || sums.0.keys().ne(expected.keys())
            || expected
                .iter()
                .any(|(path, hash)| path != MANIFEST && sums.0.get(path) != Some(hash))
        {
            damages.push(Damage::new(CHECKSUMS, "is missing or does not fit the manifest"));
        }
        for found in listed {
            if found.name != CHECKSUMS && !expected.contains_key(&found.name) {
                damages.push(Damage::new(&found.name, "does not belong to the backup"));
            }
        }
        Ok(damages)
    }
}

/// Files of this host that hold what a backup holds.
#[derive(Debug)]
pub struct Fetched {
    path: PathBuf,
    /// Removed with it.
    _scratch: Option<Scratch>,
}

impl Fetched {
    /// The file, or the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether the storage has an empty directory there.
fn is_directory(storage: &Arc<dyn Storage>, dir: &str) -> bool {
    storage.directory().is_some_and(|root| root.join(dir).is_dir())
}

/// Whether a failure to read says nothing of what is stored.
fn is_no_damage(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::Interrupted
            | Code::StorageUnreachable
            | Code::StorageFailed
            | Code::KeyMissing
            | Code::KeyWrong
    )
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

    /// Whether it is a damage of `object`, as components and the index name it: a file, stored
    /// as it is or encrypted, or a directory.
    pub fn concerns(&self, object: &str) -> bool {
        let rest = self.object.strip_prefix(object);
        rest.is_some_and(|rest| rest.is_empty() || rest == EXTENSION || rest.starts_with('/'))
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
