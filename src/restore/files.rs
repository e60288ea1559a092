//! File trees on their way back.

use super::salvage::Reading;
use crate::archive::extract::{Extracted, Extraction, extract as unpack, salvage};
use crate::archive::index::IndexReader;
use crate::backup::INDEX;
use crate::error::{Code, Result};
use crate::repository::PublishedBackup;
use crate::repository::manifest::{Component, FilesDetail};
use crate::setting::Setting;
use crate::size;
use crate::storage::Blob;
use std::path::Path;

/// Unpacks one tree into the new directory `target`, every file compared with the index.
/// What cannot be set without root's rights is a warning.
pub(super) async fn extract(
    setting: &Setting,
    backup: &PublishedBackup,
    (component, reading): (&Component, Reading),
    detail: &FilesDetail,
    target: &Path,
) -> Result<Extracted> {
    if !detail.exclude.is_empty() {
        setting.progress.note(format!(
            "files of {} that fit {} are not in the backup; a replaced tree keeps its own aside",
            component.name,
            detail.exclude.join(", ")
        ));
    }
    let name = component.name.clone();
    let extracted = match reading {
        Reading::Whole => read(setting, backup, name, detail, Some(target), false).await?,
        Reading::Salvaged => read(setting, backup, name, detail, Some(target), true).await?,
    };
    let first = extracted.incomplete.first().map(ToString::to_string).unwrap_or_default();
    warn_incomplete(setting, &component.name, extracted.incomplete_count, &first);
    Ok(extracted)
}

/// The files of a tree whose content is damaged.
pub(super) struct LostFiles {
    /// The first thousand, relative to the tree.
    pub(super) paths: Vec<String>,
    /// How many there are.
    pub(super) count: u64,
}

/// Reads a tree whose archives are damaged, and returns what is lost of it, and how many bytes
/// are not.
pub(super) async fn survey(
    setting: &Setting,
    backup: &PublishedBackup,
    name: &str,
    detail: &FilesDetail,
) -> Result<(LostFiles, u64)> {
    let found = read(setting, backup, name.to_owned(), detail, None, true).await?;
    let paths = found.lost.iter().map(|fault| fault.path.display().to_string()).collect();
    Ok((LostFiles { paths, count: found.lost_count }, found.bytes))
}

/// Unpacks a tree, or only reads it without a target.
async fn read(
    setting: &Setting,
    backup: &PublishedBackup,
    name: String,
    detail: &FilesDetail,
    target: Option<&Path>,
    is_damaged: bool,
) -> Result<Extracted> {
    let object = detail.object.clone();
    // The archive of any but a full backup lacks what earlier ones hold, directories too.
    let (is_partial, whole) = (backup.manifest().parent.is_some(), backup.clone());
    let target = target.map(Path::to_path_buf);
    let (progress, cancel) = (setting.progress.clone(), setting.cancel.clone());
    let work = move || {
        let index = IndexReader::open(&whole.open(INDEX)?)?;
        let archive = match is_damaged {
            false => whole.open(&object)?,
            true => match whole.open_damaged(&object) {
                // Nothing can be read of it: row by row that is a loss.
                Err(e) if e.code() == Code::BackupDamaged => Blob::empty(&object),
                opened => opened?,
            },
        };
        let task = format!("restore {name}");
        let locate = |stored_in: &str, archive: &str| match is_damaged {
            true => whole.locate_damaged(stored_in, archive),
            false => whole.locate(stored_in, archive),
        };
        let what = Extraction {
            archive: &archive,
            locate: is_partial.then_some(&locate),
            target: target.as_deref().unwrap_or(Path::new("")),
            index: Some((&index, &name)),
            select: None,
            task: &task,
        };
        match is_damaged {
            true => salvage(&what, target.is_some(), &progress, &cancel),
            false => unpack(&what, &progress, &cancel),
        }
    };
    setting.blocking(work).await
}

/// Warns where `count` files of a component could not get all of their metadata.
pub(super) fn warn_incomplete(setting: &Setting, component: &str, count: u64, first: &str) {
    if count > 0 {
        setting.progress.warn(
            Code::PermissionDenied,
            format!(
                "{} of {component} came back without all metadata, the first: {first}",
                size::count(count, "file", "files")
            ),
        );
    }
}
