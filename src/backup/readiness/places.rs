//! Where backups lie, and what backstop keeps for itself.

use super::NETWORK_LIMIT;
use crate::backup::known::Known;
use crate::config::{Copy, Place};
use crate::deadline;
use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use std::io::Write;
use std::path::Path;

/// Whether the state directory is there, or can be made, and written to.
pub(super) async fn state(setting: &Setting) -> Result<()> {
    let dir = setting.config.state.dir.clone();
    let place = Place::Directory(dir.clone());
    asked(&place, move || writable(&dir)).await
}

/// Whether the repository is there and can be written to, or can be made.
pub(super) async fn repository(setting: &Setting) -> Result<()> {
    let (place, part) = (setting.config.repository.place(), setting.clone());
    asked(&place, move || open(&Known::of(&part)?, &part.config.repository.place())).await
}

/// The same of a copy.
pub(super) async fn copy(setting: &Setting, copy: &Copy) -> Result<()> {
    let (part, one) = (setting.clone(), copy.clone());
    asked(&copy.place(), move || open(&Known::of_copy(&part, &one)?, &one.place())).await
}

fn open(known: &Known, place: &Place) -> Result<()> {
    match known.open() {
        Ok(_) => {}
        Err(e) if e.code() == Code::RepositoryNotFound && !known.is_known() => {}
        Err(e) => return Err(e),
    }
    match place {
        Place::Directory(path) => writable(path),
        // That is found out when something is written there.
        Place::Store(_) => Ok(()),
    }
}

/// What `look` says of `place`, within its deadline.
async fn asked(place: &Place, look: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    match place {
        Place::Directory(path) => {
            let asked = path.clone();
            let look = move || deadline::answers(&asked).and_then(|()| look());
            // What answers is looked at in milliseconds; a hanging part of it hangs here.
            let found = deadline::within_async(deadline::LIMIT * 2, look).await;
            found.unwrap_or_else(|| Err(deadline::unreachable(path)))
        }
        Place::Store(store) => {
            let found = deadline::within_async(NETWORK_LIMIT, look).await;
            found.unwrap_or_else(|| Err(late(Code::StorageUnreachable, "reach", &store.url)))
        }
    }
}

/// That something did not answer within [`NETWORK_LIMIT`].
pub(super) fn late(code: Code, attempted: &str, subject: impl std::fmt::Display) -> Error {
    Error::new(code, attempted, subject)
        .cause(format!("it does not answer within {} s", NETWORK_LIMIT.as_secs()))
}

/// Fails where nothing can be written to `path`, or where it would be: a file without a name is,
/// which a full disk refuses.
fn writable(path: &Path) -> Result<()> {
    let existing = path.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let write = || tempfile::tempfile_in(existing)?.write_all(&[0; 4096]);
    write().map_err(|e| Error::io("write to", existing, e))
}
