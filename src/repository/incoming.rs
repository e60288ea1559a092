//! A backup that is being written: `incoming/ID/`, until it is published.

use super::checksums::{CHECKSUMS, Checksums, hash_bytes, hash_file};
use super::durable::{create_dir, sync_dir, write_new};
use super::manifest::{MANIFEST, Manifest, Object};
use super::{BACKUPS, BackupId, INCOMING, PublishedBackup};
use crate::encryption::Identities;
use crate::error::{Code, Error, Result};
use crate::storage::{Blob, LocalStorage, Storage};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A directory in `incoming/`, removed on drop unless it is published.
#[derive(Debug)]
pub struct IncomingBackup {
    repository: PathBuf,
    path: PathBuf,
    identities: Identities,
    published: bool,
}

impl IncomingBackup {
    pub(super) fn create(
        repository: &Path,
        identities: &Identities,
        id: &BackupId,
    ) -> Result<Self> {
        let path = repository.join(INCOMING).join(id.as_str());
        create_dir(&path)?;
        let (repository, identities) = (repository.to_path_buf(), identities.clone());
        Ok(Self { repository, path, identities, published: false })
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
                    .hint("check the disk below repository.path"));
            }
        }
        Ok(objects)
    }

    /// Makes everything durable, writes checksums and manifest, and moves the directory
    /// to its published name.
    ///
    /// The manifest's `objects` must be what [`Self::read_back`] returned.
    pub fn publish(mut self, manifest: &Manifest) -> Result<PublishedBackup> {
        let mut text = serde_json::to_vec_pretty(manifest).map_err(|e| {
            Error::new(Code::RepositoryFormat, "write manifest of", &manifest.name).source(e)
        })?;
        text.push(b'\n');
        let mut sums = Checksums(
            manifest.objects.iter().map(|o| (o.path.clone(), o.sha256.clone())).collect(),
        );
        sums.0.insert(MANIFEST.into(), hash_bytes(&text));

        write_new(&self.path.join(CHECKSUMS), sums.to_text().as_bytes())?;
        self.sync(manifest)?;
        write_new(&self.path.join(MANIFEST), &text)?;
        sync_dir(&self.path)?;

        let backups = self.repository.join(BACKUPS);
        let target = backups.join(&manifest.name);
        renameat_with(CWD, &self.path, CWD, &target, RenameFlags::NOREPLACE)
            .map_err(|e| Error::io("publish backup as", &target, e.into()))?;
        self.published = true;
        sync_dir(&backups)?;
        sync_dir(&self.repository.join(INCOMING))?;
        let storage: Arc<dyn Storage> = Arc::new(LocalStorage::new(&self.repository));
        PublishedBackup::find(&storage, &self.identities, &manifest.name)
    }

    /// `fsync` on every file and directory, and the modes that the format demands.
    fn sync(&self, manifest: &Manifest) -> Result<()> {
        for object in &manifest.objects {
            let path = self.path.join(&object.path);
            File::open(&path)
                .and_then(|file| {
                    file.set_permissions(PermissionsExt::from_mode(0o600))?;
                    file.sync_all()
                })
                .map_err(|e| Error::io("sync", &path, e))?;
        }
        for dir in directories_below(&self.path)? {
            std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700))
                .map_err(|e| Error::io("set the mode of", &dir, e))?;
            sync_dir(&dir)?;
        }
        Ok(())
    }
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
