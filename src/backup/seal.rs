//! Encrypts what `pg_dump` itself has written.

use super::plain::PlainFile;
use crate::encryption::sealed_name;
use crate::error::{Error, Result};
use crate::setting::Setting;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How many files are encrypted at once.
const MOST_THREADS: usize = 4;

/// Encrypts the files of the dump in directory format `object`, which lies in `dir`, several at
/// once, and removes each plain one. Returns what the plain files were, by their object, and
/// the bytes that are stored.
///
/// # Errors
/// `interrupted`, or when a file cannot be written. What was written is left to the caller.
pub(super) async fn seal_directory(
    setting: &Setting,
    dir: &Path,
    object: &str,
) -> Result<(BTreeMap<String, PlainFile>, u64)> {
    let (part, dir, object) = (setting.clone(), dir.to_path_buf(), object.to_owned());
    setting.blocking(move || seal_all(&part, &dir, &object)).await
}

fn seal_all(
    setting: &Setting,
    dir: &Path,
    object: &str,
) -> Result<(BTreeMap<String, PlainFile>, u64)> {
    let directory = dir.join(object);
    let list = |e| Error::io("list", &directory, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(list)? {
        // pg_dump numbers its files.
        let name = entry.map_err(list)?.file_name();
        names.push(format!("{object}/{}", name.to_string_lossy()));
    }
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(String, PlainFile, u64)>> {
        let mut sealed = Vec::new();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (from, to) = (dir.join(name), dir.join(sealed_name(name)));
            let (plain, stored) = setting.recipients.seal_file(&from, &to, &setting.cancel)?;
            std::fs::remove_file(&from).map_err(|e| Error::io("remove", &from, e))?;
            sealed.push((name.clone(), PlainFile::from(plain), stored.size));
        }
        Ok(sealed)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join()).collect()
    });
    let (mut files, mut bytes) = (BTreeMap::new(), 0);
    for result in results {
        let ended = std::io::Error::other("a thread ended early");
        for (name, plain, stored) in
            result.map_err(|_| Error::io("encrypt", &directory, ended))??
        {
            bytes += stored;
            files.insert(name, plain);
        }
    }
    Ok((files, bytes))
}
