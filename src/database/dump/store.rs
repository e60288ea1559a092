//! Private files and directories for dumps, and how big they are.

use crate::error::{Code, Error, Result};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a dump takes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::database) struct Stored {
    pub(in crate::database) bytes: u64,
    pub(in crate::database) files: u64,
}

/// Makes `path` and what is missing above it, with mode 0700.
pub(in crate::database) fn private_directory(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io("create directory", path, error))
}

/// Makes the new file `path`, with mode 0600.
pub(in crate::database) fn private_file(path: &Path) -> Result<tokio::fs::File> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map(tokio::fs::File::from_std)
        .map_err(|error| Error::io("create", path, error))
}

/// Bytes and files of the dump at `path`.
pub(in crate::database) async fn measure(path: &Path) -> Result<Stored> {
    walk(path.to_owned(), false).await
}

/// As [`measure`], and takes away everybody else's permissions.
pub(in crate::database) async fn seal(path: &Path) -> Result<Stored> {
    walk(path.to_owned(), true).await
}

async fn walk(path: PathBuf, seal: bool) -> Result<Stored> {
    let subject = path.clone();
    tokio::task::spawn_blocking(move || {
        let mut stored = Stored::default();
        if !path.is_dir() {
            add(&path, seal, &mut stored)?;
            return Ok(stored);
        }
        // The dumps of pg_dump have no directories inside.
        for entry in fs::read_dir(&path)? {
            add(&entry?.path(), seal, &mut stored)?;
        }
        Ok(stored)
    })
    .await
    .map_err(|_| Error::new(Code::Interrupted, "measure", subject.display()))?
    .map_err(|error| Error::io("measure", &subject, error))
}

fn add(path: &Path, seal: bool, stored: &mut Stored) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // pg_dump may have renamed or removed it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if metadata.is_file() {
        stored.bytes += metadata.len();
        stored.files += 1;
        if seal {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}
