//! A published backup: it is read, verified and deleted, never written.

mod content;
mod damage;
mod find;

pub use content::Fetched;
pub use damage::Damage;

use super::checksums::{CHECKSUMS, Checksums, hash_blob, hash_bytes};
use super::manifest::{Elsewhere, MANIFEST, Manifest, Object};
use super::{BACKUPS, BackupId};
use crate::encryption::Identities;
use crate::error::{Code, Error, Result};
use crate::size::count;
use crate::storage::{Blob, Listed, Storage, check_name};
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

impl PublishedBackup {
    /// The backup as messages call it: its directory, or its url.
    pub fn shown(&self) -> String {
        self.storage.shown(&self.dir)
    }

    /// The backup's directory, where it lies in one.
    pub fn directory(&self) -> Option<PathBuf> {
        self.storage.directory().map(|repository| repository.join(&self.dir))
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

    /// The SHA-256 of `SHA256SUMS`, in hex: whoever noted it can tell later that nothing of the
    /// backup was changed.
    ///
    /// # Errors
    /// `backup_damaged` where the file is missing.
    pub fn fingerprint(&self) -> Result<String> {
        let (_, sha256) = hash_blob(&CancellationToken::new(), &self.stored(CHECKSUMS)?)?;
        Ok(sha256)
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

/// Whether a failure to read says nothing of what is stored.
pub(crate) fn is_no_damage(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::Interrupted
            | Code::StorageUnreachable
            | Code::StorageFailed
            | Code::KeyMissing
            | Code::KeyWrong
    )
}
