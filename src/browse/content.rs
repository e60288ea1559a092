//! `cat`: one file's content, read by seeking.

use super::{FilePath, INDEX};
use crate::archive::Kind;
use crate::archive::extract::write_row;
use crate::archive::index::IndexReader;
use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;
use std::io::Write;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Writes the content of the file `path` to `output` and compares it with its hash. Only the
/// frames that hold it are read. Blocking.
///
/// # Errors
/// `file_not_found` where there is no such file, or where it is none that has a content;
/// `backup_damaged` where its bytes are not what was written: then part of it was put out.
pub fn write_content(
    backup: &PublishedBackup,
    path: &FilePath,
    output: &mut dyn Write,
    cancel: &CancellationToken,
) -> Result<()> {
    let not_found = |cause: String| {
        Error::new(Code::FileNotFound, "read", path.to_string())
            .cause(cause)
            .hint("`backstop ls` lists the files of a backup, `backstop find` searches all")
    };
    let manifest = backup.manifest();
    let missing =
        || not_found(path.absence(&manifest.name, &manifest.components, &manifest.omitted));
    // Without any file tree there is no index.
    if !path.has_tree(&manifest.components) {
        return Err(missing());
    }
    let index = IndexReader::open(&backup.open(INDEX)?)?;
    let mut row = index.find_shown(&path.component, &path.path)?.ok_or_else(missing)?;
    if let (Kind::Hardlink, Some(target)) = (row.entry.kind, &row.entry.link_target) {
        row = index.find(&path.component, Path::new(target))?.ok_or_else(missing)?;
    }
    if row.entry.kind != Kind::File {
        let target =
            row.entry.link_target.as_ref().map(|to| format!(" to {}", Path::new(to).display()));
        return Err(not_found(format!(
            "it is a {}{}",
            row.entry.kind.as_str(),
            target.unwrap_or_default()
        )));
    }
    let locate = |stored_in: &str, archive: &str| backup.locate(stored_in, archive);
    write_row(&row, &locate, output, cancel)
}
