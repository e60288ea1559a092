//! Whether a repository is still where it was opened, and a backup still in it.

use super::checksums::CHECKSUMS;
use super::header::Header;
use super::manifest::MANIFEST;
use super::{BACKUPS, BackupId, Damage, Home, Listing, Repository, is_no_damage, lease};
use crate::error::{Code, Error, Result};

impl Repository {
    /// Makes sure that the repository is still there. In one whose disk was unmounted, or that was
    /// moved away, every backup is missing, and none was deleted.
    ///
    /// # Errors
    /// `repository_not_found`, `repository_moved`, and what a disk or a store answers;
    /// `repository_replaced` where another one lies there now.
    pub fn require_there(&self) -> Result<()> {
        let header = match &self.home {
            Home::Directory(path) => Header::read(path)?,
            Home::Store(_) => Header::read_from(self.storage.as_ref())?,
        };
        if header.id != self.id {
            return Err(Error::new(Code::RepositoryReplaced, "look again at", self.shown())
                .cause(format!("the repository {} lies there now", header.id)));
        }
        // Without its directory for backups it is no more there than without its header.
        self.names().map(drop)
    }

    /// Whether a backup that was here has been deleted since, from a repository that is still
    /// there. On a store that is so too while somebody is deleting it; one that lost its manifest
    /// alone was not deleted.
    ///
    /// # Errors
    /// As [`require_there`](Self::require_there).
    pub fn is_deleted(&self, name: &str, id: &BackupId) -> Result<bool> {
        let dir = format!("{BACKUPS}/{name}");
        let is_absent = match &self.home {
            Home::Directory(path) => {
                let found = std::fs::symlink_metadata(path.join(&dir));
                found.is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
            }
            Home::Store(_) => {
                let storage = self.storage.as_ref();
                storage.size(&format!("{dir}/{MANIFEST}"))?.is_none()
                    && (storage.names(&dir)?.is_empty()
                        || lease::who_deletes(storage, id)?.is_some())
            }
        };
        // Asked after the backup: one that was missing because its disk was is not taken for deleted.
        self.require_there()?;
        Ok(is_absent)
    }

    /// What is missing or damaged of a backup, as far as its manifest, its checksums and the sizes
    /// of its objects tell. Of a store that was listed only the manifest and the checksums are read.
    ///
    /// # Errors
    /// `backup_not_found` where it is not there at all, `repository_format` where a later version
    /// wrote it, `permission_denied`, and what a store answers.
    pub fn missing_of(&self, name: &str, listed: Option<&Listing>) -> Result<Vec<Damage>> {
        const NO_DAMAGE: [Code; 3] =
            [Code::BackupNotFound, Code::RepositoryFormat, Code::PermissionDenied];
        let backup = match self.proven_backup(name) {
            Ok(backup) => backup,
            Err(e) if is_no_damage(&e) || NO_DAMAGE.contains(&e.code()) => return Err(e),
            Err(e) => return Ok(vec![Damage::new(MANIFEST, &e.to_string())]),
        };
        let objects = &backup.manifest().objects;
        let Some(listed) = listed else {
            let mut damages = backup.check_sizes()?;
            let known = |name: &str| objects.iter().any(|object| object.path == name);
            // What somebody has put beside it harms nobody.
            damages.retain(|it| [MANIFEST, CHECKSUMS].contains(&&*it.object) || known(&it.object));
            return Ok(damages);
        };
        let size = |object: &str| listed.get(name).and_then(|lying| lying.get(object));
        let wrong = objects.iter().filter(|object| size(&object.path) != Some(&object.size));
        let wrong = wrong.map(|object| object.path.as_str());
        let unproven = size(CHECKSUMS).is_none().then_some(CHECKSUMS);
        let fault = "is missing or has another size";
        Ok(wrong.chain(unproven).map(|object| Damage::new(object, fault)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_with_its_repository_was_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (path, away) = (dir.path().join("repository"), dir.path().join("away"));
        let repository = Repository::open_or_create(&path).unwrap();
        let id = BackupId::random().unwrap();
        let is_deleted = || repository.is_deleted("one", &id).map_err(|e| e.code());
        assert_eq!(is_deleted(), Ok(true));
        std::fs::create_dir(path.join("backups/one")).unwrap();
        assert_eq!(is_deleted(), Ok(false));
        std::fs::rename(&path, &away).unwrap();
        assert_eq!(is_deleted(), Err(Code::RepositoryNotFound));
        let other = Repository::open_or_create(&path).unwrap();
        assert_ne!(other.id(), repository.id());
        assert_eq!(is_deleted(), Err(Code::RepositoryReplaced));
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
        std::fs::rename(path.join("backups"), path.join("elsewhere")).unwrap();
        assert!(is_deleted().is_err());
    }
}
