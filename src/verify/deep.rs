//! The deep part of a verification: what lies inside the stored files.

use crate::archive::frame::FrameReader;
use crate::archive::index::{IndexReader, Row};
use crate::archive::{self, Base, Extraction};
use crate::backup::{CHANGES, INDEX, Reach, connect_if_needed, fetch, local_tools};
use crate::database::{Tools, check_globals, list_dump, read_dump};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{Component, DatabaseDetail, Detail, FilesDetail};
use crate::repository::{Damage, PublishedBackup};
use crate::setting::Setting;
use crate::storage::Blob;
use std::collections::BTreeMap;
use std::path::Path;

/// Decompresses the archives, compares every file with the index, follows every row to where
/// its bytes lie, and reads definitions and roles. What `known` names as damaged is left out.
/// Blocking.
pub(super) fn contents(
    setting: &Setting,
    backup: &PublishedBackup,
    known: &[Damage],
) -> Result<Vec<Damage>> {
    let mut damages = Vec::new();
    for component in &backup.manifest().components {
        match &component.detail {
            Detail::Files(files) if is_whole(known, INDEX) => {
                damages.extend(tree(setting, backup, component, files, known)?);
            }
            Detail::Container(container) if is_whole(known, &container.object) => {
                damages.extend(found(&container.object, definition(backup, &container.object))?);
            }
            Detail::Globals { object, .. } if is_whole(known, object) => {
                let checked = backup.read(object).and_then(|script| check_globals(&script));
                damages.extend(found(object, checked)?);
            }
            _ => {}
        }
    }
    Ok(as_stored(backup, damages))
}

/// Lists every dump and reads it to its end.
pub(super) async fn dumps(
    setting: &Setting,
    backup: &PublishedBackup,
    known: &[Damage],
) -> Result<Vec<Damage>> {
    let mut damages = Vec::new();
    for component in &backup.manifest().components {
        let Detail::Database(detail) = &component.detail else { continue };
        if !is_whole(known, &detail.object) {
            continue;
        }
        let tools = tools(setting, component).await?;
        damages.extend(found(&detail.object, dump(setting, &tools, backup, detail).await)?);
    }
    Ok(as_stored(backup, damages))
}

/// The damages with the names under which their objects are stored.
fn as_stored(backup: &PublishedBackup, mut damages: Vec<Damage>) -> Vec<Damage> {
    for damage in &mut damages {
        damage.object = backup.manifest().stored_name(&damage.object);
    }
    damages
}

async fn dump(
    setting: &Setting,
    tools: &Tools,
    backup: &PublishedBackup,
    detail: &DatabaseDetail,
) -> Result<()> {
    let dump = fetch(setting, backup, &detail.object).await?;
    list_dump(tools, dump.path(), detail.format).await?;
    read_dump(tools, dump.path(), detail.format).await.map(drop)
}

/// The programs of this host, or those in the database's container.
async fn tools(setting: &Setting, component: &Component) -> Result<Tools> {
    let databases = &setting.config.databases;
    let configured = databases.iter().find(|database| database.name == component.name);
    let local = local_tools(setting, configured.and_then(|it| it.bin_dir.as_deref())).await;
    match (local, configured) {
        (Err(e), Some(database))
            if e.code() == Code::ToolMissing && database.container.is_some() =>
        {
            let docker = connect_if_needed(setting).await?;
            let reach = Reach::find(setting, database, docker.as_ref(), Some("postgres")).await?;
            Ok(reach.tools)
        }
        (local, _) => local,
    }
}

fn tree(
    setting: &Setting,
    backup: &PublishedBackup,
    component: &Component,
    files: &FilesDetail,
    known: &[Damage],
) -> Result<Vec<Damage>> {
    let index = match backup.open(INDEX).and_then(|index| IndexReader::open(&index)) {
        Ok(index) => index,
        Err(e) => return found(INDEX, Err(e)),
    };
    let mut damages = found(INDEX, places(setting, backup, component, files, &index, known))?;
    if component.changes_since().is_some() && is_whole(known, CHANGES) {
        damages.extend(found(CHANGES, changes(setting, backup, component, &index))?);
    }
    let is_sound = |object: &str| is_whole(known, object);
    if damages.is_empty() && files.elsewhere.iter().all(|earlier| is_sound(&earlier.shown())) {
        damages
            .extend(found(INDEX, contents_elsewhere(setting, backup, component, files, &index))?);
    }
    if is_whole(known, &files.object) {
        let names = (component.name.as_str(), backup.manifest().id.as_str());
        let archive = backup.open(&files.object)?;
        let read = archive::verify(&archive, &index, names, &setting.progress, &setting.cancel);
        damages.extend(found(&files.object, read.map(drop))?);
    }
    Ok(damages)
}

/// Reads the tree as a restore would, out of the earlier backups that hold contents of it too,
/// and compares every file with the index. Nothing to do where the backup's own archive, which
/// is read as a whole besides, holds all.
fn contents_elsewhere(
    setting: &Setting,
    backup: &PublishedBackup,
    component: &Component,
    files: &FilesDetail,
    index: &IndexReader,
) -> Result<()> {
    if files.elsewhere.is_empty() {
        return Ok(());
    }
    let locate = |stored_in: &str, archive: &str| backup.locate(stored_in, archive);
    let what = Extraction {
        archive: &Blob::empty(&files.object),
        locate: Some(&locate),
        target: Path::new(""),
        index: Some((index, &component.name)),
        select: None,
        task: &format!("verify {}", component.name),
    };
    let read = archive::salvage(&what, false, &setting.progress, &setting.cancel)?;
    match read.lost.first() {
        None => Ok(()),
        Some(first) => {
            let more = read.lost_count - 1;
            Err(Error::new(Code::BackupDamaged, "read files of", &component.name).cause(format!(
                "{first}{}",
                if more > 0 { format!(", and {more} more") } else { String::new() }
            )))
        }
    }
}

/// Follows every row: the archive is the backup's own or one that the manifest names, and the
/// place lies inside of it.
fn places(
    setting: &Setting,
    backup: &PublishedBackup,
    component: &Component,
    files: &FilesDetail,
    index: &IndexReader,
    known: &[Damage],
) -> Result<()> {
    let own = backup.manifest().id.as_str();
    let mut opened: BTreeMap<(String, String), Option<FrameReader>> = BTreeMap::new();
    for row in index.rows(Some(&component.name)) {
        setting.check_interrupted("verify index of")?;
        let row = row?;
        let Some(place) = row.place else { continue };
        let key = (row.stored_in.clone(), row.archive.clone());
        if !opened.contains_key(&key) {
            let earlier = files.elsewhere.iter().find(|earlier| {
                earlier.backup.as_str() == row.stored_in && earlier.object == row.archive
            });
            let shown = match earlier {
                Some(earlier) => earlier.shown(),
                None if row.stored_in == own && row.archive == files.object => row.archive.clone(),
                None => {
                    return Err(astray(&row, "lies in an archive that the manifest does not name"));
                }
            };
            let frames = match is_whole(known, &shown) {
                true => Some(FrameReader::open(&backup.locate(&row.stored_in, &row.archive)?)?),
                false => None,
            };
            opened.insert(key.clone(), frames);
        }
        let Some(Some(frames)) = opened.get(&key) else { continue };
        let dense = if place.sparse { 0 } else { row.entry.size };
        let is_inside =
            place.offset.checked_add(dense).is_some_and(|end| end <= frames.table().length());
        let frame = frames.table().frame_at(place.offset).map(|number| number as u64);
        if !is_inside || (row.entry.size > 0 && frame != Some(place.frame)) {
            return Err(astray(&row, "lies at a place that its archive does not have"));
        }
    }
    Ok(())
}

/// Reads the changes of a tree: what they tell of a file is what the index tells.
fn changes(
    setting: &Setting,
    backup: &PublishedBackup,
    component: &Component,
    index: &IndexReader,
) -> Result<()> {
    let changes = IndexReader::open_changes(&backup.open(CHANGES)?)?;
    let mut listed = Base::new(index, &component.name, backup.manifest().started_at);
    for changed in changes.changed(&component.name) {
        setting.check_interrupted("verify changes of")?;
        let (row, gone) = changed?;
        // What was read out of the order of the tree is not found.
        let known = listed.find(&row.entry.path)?;
        if known.is_some_and(|known| !gone && !known.tells_the_same(&row)) {
            let path = row.entry.shown();
            return Err(Error::new(
                Code::BackupDamaged,
                "compare with the index the changes of",
                path,
            )
            .cause("they differ"));
        }
    }
    Ok(())
}

fn astray(row: &Row, cause: &str) -> Error {
    Error::new(Code::BackupDamaged, "follow the index to", row.entry.shown())
        .cause(format!("{}: it {cause}", row.stored_in))
}

fn definition(backup: &PublishedBackup, object: &str) -> Result<()> {
    let text = backup.read(object)?;
    let parsed: std::result::Result<serde_json::Value, _> = serde_json::from_slice(&text);
    parsed.map(drop).map_err(|e| Error::new(Code::BackupDamaged, "read", object).source(e))
}

/// Whether nothing of `object`, a file or a directory, is among the damages.
fn is_whole(known: &[Damage], object: &str) -> bool {
    !known.iter().any(|damage| damage.concerns(object))
}

/// A failure to read as a damage of `object`; what is no fault of the object stays an error.
fn found(object: &str, read: Result<()>) -> Result<Vec<Damage>> {
    match read {
        Ok(()) => Ok(Vec::new()),
        Err(e)
            if matches!(
                e.code(),
                Code::Interrupted
                    | Code::ToolMissing
                    | Code::ToolTooOld
                    | Code::DockerUnreachable
                    | Code::DockerFailed
                    | Code::ContainerNotFound
                    | Code::PermissionDenied
                    | Code::StorageUnreachable
                    | Code::StorageFailed
                    | Code::KeyMissing
                    | Code::KeyWrong
            ) =>
        {
            Err(e)
        }
        Err(e) => Ok(vec![Damage::new(object, &e.to_string())]),
    }
}
