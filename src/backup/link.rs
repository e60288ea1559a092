//! Files of a dump that the parent's dump holds byte for byte become hard links to them, so a
//! dump directory is whole by itself and an unchanged table costs nothing.

use super::plain::PlainFile;
use crate::encryption::EXTENSION;
use crate::error::{Error, Result};
use crate::repository::manifest::Object;
use crate::repository::{PublishedBackup, hash_blob};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// What `pg_dump` writes in directory format lies in a directory below this one.
const DATABASES: &str = "databases/";

/// What is known of the files of two dumps before they were encrypted, by object: ours, and
/// the parent's.
pub(super) type PlainFiles<'a> = (&'a BTreeMap<String, PlainFile>, &'a BTreeMap<String, PlainFile>);

/// Replaces files below `incoming`, which `objects` describes, by hard links into `parent`,
/// and returns the linked objects with their sizes. A parent's file is read first: damage is
/// not passed on. Where the file system makes no link, the file stays as it is. Encrypted
/// files never are the same, so they are compared by what they were before; `objects` is then
/// put right. On a store there are no links, and every file is sent as it is.
///
/// # Errors
/// `interrupted`, or when a file cannot be replaced.
pub(super) fn link_unchanged(
    parent: &PublishedBackup,
    incoming: &Path,
    objects: &mut [Object],
    plain: Option<PlainFiles<'_>>,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, u64>> {
    let Some(directory) = parent.directory() else { return Ok(BTreeMap::new()) };
    let content = |object: &Object, known: Option<&BTreeMap<String, PlainFile>>| match known {
        Some(known) => {
            object.path.strip_suffix(EXTENSION).and_then(|name| known.get(name)).cloned()
        }
        None => Some(PlainFile { size: object.size, sha256: object.sha256.clone() }),
    };
    let held: HashMap<PlainFile, &Object> = parent
        .manifest()
        .objects
        .iter()
        .filter(|object| is_of_directory(&object.path))
        .filter_map(|object| Some((content(object, plain.map(|(_, theirs)| theirs))?, object)))
        .collect();
    let mut linked = BTreeMap::new();
    for object in objects.iter_mut().filter(|object| is_of_directory(&object.path)) {
        let Some(ours) = content(object, plain.map(|(ours, _)| ours)) else { continue };
        let Some(held) = held.get(&ours) else { continue };
        let path = incoming.join(&object.path);
        match parent.stored(&held.path).and_then(|blob| hash_blob(cancel, &blob)) {
            Ok((_, sha256)) if sha256 == held.sha256 => {}
            Err(error) if error.code() == crate::error::Code::Interrupted => return Err(error),
            _ => continue,
        }
        let link = path.with_extension("link");
        if fs::hard_link(directory.join(&held.path), &link).is_ok() {
            fs::rename(&link, &path).map_err(|e| Error::io("link", &path, e))?;
            (object.size, object.sha256) = (held.size, held.sha256.clone());
            linked.insert(object.path.clone(), object.size);
        }
    }
    Ok(linked)
}

fn is_of_directory(object: &str) -> bool {
    object.strip_prefix(DATABASES).is_some_and(|rest| rest.contains('/'))
}
