//! A backup that is being written: `incoming/ID/`, until it is published. One that goes to a
//! store is put together in the state directory.

mod transfer;

use super::checksums::{CHECKSUMS, Checksums, hash_bytes, hash_file};
use super::durable::{create_dir, sync_dir, write_new};
use super::manifest::{MANIFEST, Manifest, Object};
use super::{BACKUPS, BackupId, INCOMING, Pace, PublishedBackup};
use crate::encryption::Identities;
use crate::error::{Code, Error, Result};
use crate::storage::{Blob, LocalStorage, Storage};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
pub(super) use transfer::Transfer;

/// A directory to write a backup into, removed on drop unless it is published, and with it what
/// was sent to a store already.
#[derive(Debug)]
pub struct IncomingBackup {
    path: PathBuf,
    identities: Identities,
    target: Target,
    published: bool,
}

/// Where the backup goes.
#[derive(Debug)]
enum Target {
    /// Into the repository's directory, by a rename.
    Directory(PathBuf),
    /// To a store; none once it is there.
    Store(Option<Box<Transfer>>),
}

impl IncomingBackup {
    pub(super) fn create(
        repository: &Path,
        identities: &Identities,
        id: &BackupId,
    ) -> Result<Self> {
        let path = repository.join(INCOMING).join(id.as_str());
        create_dir(&path)?;
        let (target, identities) =
            (Target::Directory(repository.to_path_buf()), identities.clone());
        Ok(Self { path, identities, target, published: false })
    }

    /// A backup that is put together in `path` and goes to a store.
    pub(super) fn stage(
        (storage, identities): (&Arc<dyn Storage>, &Identities),
        path: PathBuf,
        id: &BackupId,
        parent: Option<&PublishedBackup>,
        pace: Pace,
    ) -> Result<Self> {
        let transfer = Transfer::begin(storage, id, parent, pace)?;
        create_dir(&path)?;
        let target = Target::Store(Some(Box::new(transfer)));
        Ok(Self { path, identities: identities.clone(), target, published: false })
    }

    /// The directory to write into.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an object of another backup.
    pub fn copy(&self, blob: &Blob, object: &str, cancel: &CancellationToken) -> Result<()> {
        LocalStorage::new(&self.path).upload(object, blob, cancel, &mut |_| {})
    }

    /// Reads every stored file back and returns its size and SHA-256, sorted by path.
    ///
    /// `written` are hashes that were computed while writing.
    ///
    /// # Errors
    /// `backup_damaged` where what is read differs from what was written; `interrupted`
    /// when `cancel` is set.
    pub fn read_back(&self, written: &[Object], cancel: &CancellationToken) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        for path in files_below(&self.path)? {
            let (size, sha256) = hash_file(cancel, &self.path.join(&path))?;
            objects.push(Object { path, size, sha256 });
        }
        for expected in written {
            if !objects.contains(expected) {
                return Err(Error::new(Code::BackupDamaged, "read back", &expected.path)
                    .cause("the disk returned other bytes than were written")
                    .hint("check the disk below repository.path, or below state.dir"));
            }
        }
        Ok(objects)
    }

    /// Sends every object to the store, where the backup goes to one. `sent` is told of bytes.
    ///
    /// # Errors
    /// `interrupted` when `cancel` is set; what the store answers.
    pub fn send(
        &mut self,
        manifest: &Manifest,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
    ) -> Result<()> {
        match &mut self.target {
            Target::Store(Some(transfer)) => transfer.send(&self.path, manifest, cancel, sent),
            Target::Store(None) | Target::Directory(_) => Ok(()),
        }
    }

    /// Makes everything durable, writes checksums and manifest, and makes it a backup: moves the
    /// directory to its published name, or writes the manifest to the store, to which
    /// everything was [sent](Self::send).
    ///
    /// The manifest's `objects` must be what [`Self::read_back`] returned.
    ///
    /// # Errors
    /// `locked` where another host deleted what a backup on a store builds upon.
    pub fn publish(mut self, manifest: &Manifest) -> Result<PublishedBackup> {
        let mut text = serde_json::to_vec_pretty(manifest).map_err(|e| {
            Error::new(Code::RepositoryFormat, "write manifest of", &manifest.name).source(e)
        })?;
        text.push(b'\n');
        let mut sums = Checksums(
            manifest.objects.iter().map(|o| (o.path.clone(), o.sha256.clone())).collect(),
        );
        sums.0.insert(MANIFEST.into(), hash_bytes(&text));
        let sums = sums.to_text();
        let repository = match &mut self.target {
            Target::Directory(repository) => repository.clone(),
            Target::Store(transfer) => {
                let gone = || Error::new(Code::StorageFailed, "publish", &manifest.name);
                let transfer = transfer.take().ok_or_else(gone)?;
                let storage = transfer.storage().clone();
                transfer.publish(manifest, sums.as_bytes(), &text)?;
                return PublishedBackup::find(&storage, &self.identities, &manifest.name);
            }
        };

        write_new(&self.path.join(CHECKSUMS), sums.as_bytes())?;
        settle(&self.path, manifest)?;
        write_new(&self.path.join(MANIFEST), &text)?;
        sync_dir(&self.path)?;
        rename_into(&repository, &self.path, &manifest.name)?;
        self.published = true;
        let storage: Arc<dyn Storage> = Arc::new(LocalStorage::new(&repository));
        PublishedBackup::find(&storage, &self.identities, &manifest.name)
    }
}

/// `fsync` on every file and directory below `path`, and the modes that the format demands.
pub(super) fn settle(path: &Path, manifest: &Manifest) -> Result<()> {
    for object in &manifest.objects {
        let path = path.join(&object.path);
        File::open(&path)
            .and_then(|file| {
                file.set_permissions(PermissionsExt::from_mode(0o600))?;
                file.sync_all()
            })
            .map_err(|e| Error::io("sync", &path, e))?;
    }
    for dir in directories_below(path)? {
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700))
            .map_err(|e| Error::io("set the mode of", &dir, e))?;
        sync_dir(&dir)?;
    }
    Ok(())
}

/// Removes what does not belong to the backup that is being put together below `path`: what an
/// earlier attempt was writing when it was killed.
pub(super) fn remove_strangers(path: &Path, manifest: &Manifest) -> Result<()> {
    let objects = manifest.objects.iter().map(|object| object.path.as_str());
    let ours: HashSet<PathBuf> =
        objects.chain([CHECKSUMS, MANIFEST]).map(|object| path.join(object)).collect();
    let mut strangers = Vec::new();
    walk(path, &mut |found, is_dir| {
        if !is_dir && !ours.contains(found) {
            strangers.push(found.to_path_buf());
        }
    })?;
    strangers
        .iter()
        .try_for_each(|path| std::fs::remove_file(path).map_err(|e| Error::io("remove", path, e)))
}

/// Makes a directory in `incoming/` the backup `name`.
pub(super) fn rename_into(repository: &Path, path: &Path, name: &str) -> Result<()> {
    let backups = repository.join(BACKUPS);
    let target = backups.join(name);
    renameat_with(CWD, path, CWD, &target, RenameFlags::NOREPLACE)
        .map_err(|e| Error::io("publish backup as", &target, e.into()))?;
    sync_dir(&backups)?;
    sync_dir(&repository.join(INCOMING))
}

impl Drop for IncomingBackup {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is cleared by the next command that takes the lock.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Paths of all files below `root`, relative to it, with `/`, sorted.
fn files_below(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    walk(root, &mut |path, is_dir| {
        if !is_dir && let Ok(relative) = path.strip_prefix(root) {
            files.push(relative.to_string_lossy().into_owned());
        }
    })?;
    files.sort();
    Ok(files)
}

fn directories_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut dirs = vec![root.to_path_buf()];
    walk(root, &mut |path, is_dir| {
        if is_dir {
            dirs.push(path.to_path_buf());
        }
    })?;
    Ok(dirs)
}

fn walk(dir: &Path, visit: &mut dyn FnMut(&Path, bool)) -> Result<()> {
    let list = |e| Error::io("list", dir, e);
    for entry in std::fs::read_dir(dir).map_err(list)? {
        let entry = entry.map_err(list)?;
        let is_dir = entry.file_type().map_err(list)?.is_dir();
        visit(&entry.path(), is_dir);
        if is_dir {
            walk(&entry.path(), visit)?;
        }
    }
    Ok(())
}
