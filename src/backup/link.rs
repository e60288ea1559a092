//! Files of a dump that the parent's dump holds byte for byte become hard links to them, so a
//! dump directory is whole by itself and an unchanged table costs nothing.

use crate::error::{Error, Result};
use crate::repository::manifest::Object;
use crate::repository::{PublishedBackup, hash_blob};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// What `pg_dump` writes in directory format lies in a directory below this one.
const DATABASES: &str = "databases/";

/// Replaces files below `incoming`, which `objects` describes, by hard links into `parent`,
/// and returns the linked objects with their sizes. A parent's file is read first: damage is
/// not passed on. Where the file system makes no link, the file stays as it is.
///
/// # Errors
/// `interrupted`, or when a file cannot be replaced.
pub(super) fn link_unchanged(
    parent: &PublishedBackup,
    incoming: &Path,
    objects: &[Object],
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, u64>> {
    let Some(theirs) = parent.directory() else { return Ok(BTreeMap::new()) };
    let held: HashMap<(u64, &str), &str> = parent
        .manifest()
        .objects
        .iter()
        .filter(|object| is_of_directory(&object.path))
        .map(|object| ((object.size, object.sha256.as_str()), object.path.as_str()))
        .collect();
    let mut linked = BTreeMap::new();
    for object in objects.iter().filter(|object| is_of_directory(&object.path)) {
        let Some(held) = held.get(&(object.size, object.sha256.as_str())) else { continue };
        match parent.stored(held).and_then(|blob| hash_blob(cancel, &blob)) {
            Ok((_, sha256)) if sha256 == object.sha256 => {}
            Err(error) if error.code() == crate::error::Code::Interrupted => return Err(error),
            _ => continue,
        }
        let ours = incoming.join(&object.path);
        let link = ours.with_extension("link");
        if fs::hard_link(theirs.join(held), &link).is_ok() {
            fs::rename(&link, &ours).map_err(|e| Error::io("link", &ours, e))?;
            linked.insert(object.path.clone(), object.size);
        }
    }
    Ok(linked)
}

fn is_of_directory(object: &str) -> bool {
    object.strip_prefix(DATABASES).is_some_and(|rest| rest.contains('/'))
}
