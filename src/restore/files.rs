//! File trees on their way back.

use crate::archive::extract::{Extracted, Extraction, extract as unpack};
use crate::archive::index::IndexReader;
use crate::error::{Code, Result};
use crate::repository::PublishedBackup;
use crate::repository::manifest::{Component, FilesDetail};
use crate::setting::Setting;
use crate::size;
use std::path::Path;

/// The index of a backup, relative to its directory.
pub(super) const INDEX: &str = "files/index.parquet";

/// Unpacks one tree into the new directory `target`, every file compared with the index.
/// What cannot be set without root's rights is a warning.
pub(super) async fn extract(
    setting: &Setting,
    backup: &PublishedBackup,
    component: &Component,
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
    let archive = backup.object(&detail.object)?;
    // The archive of any but a full backup lacks what earlier ones hold, directories too.
    let (is_partial, whole) = (backup.manifest().parent.is_some(), backup.clone());
    let index = backup.object(INDEX)?;
    let (name, target) = (component.name.clone(), target.to_path_buf());
    let (progress, cancel) = (setting.progress.clone(), setting.cancel.clone());
    let extracted = setting
        .blocking(move || {
            let index = IndexReader::open(&index)?;
            let task = format!("restore {name}");
            let locate = |stored_in: &str, archive: &str| whole.locate(stored_in, archive);
            let what = Extraction {
                archive: &archive,
                locate: is_partial.then_some(&locate),
                target: &target,
                index: Some((&index, &name)),
                select: None,
                task: &task,
            };
            unpack(&what, &progress, &cancel)
        })
        .await?;
    let first = extracted.incomplete.first().map(ToString::to_string).unwrap_or_default();
    warn_incomplete(setting, &component.name, extracted.incomplete_count, &first);
    Ok(extracted)
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
