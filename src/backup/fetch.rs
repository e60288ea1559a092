//! Stored objects as files, for programs that read nothing else.

use crate::error::Result;
use crate::repository::{Fetched, PublishedBackup};
use crate::setting::Setting;

/// The content of an object, or of all objects of a directory, as files of this host. They
/// are gone when the result is dropped, unless they lie in the repository itself.
pub(crate) async fn fetch(
    setting: &Setting,
    backup: &PublishedBackup,
    object: &str,
) -> Result<Fetched> {
    let (backup, object) = (backup.clone(), object.to_owned());
    let (state_dir, cancel) = (setting.config.state.dir.clone(), setting.cancel.clone());
    setting.blocking(move || backup.fetch(&object, &state_dir, &cancel)).await
}
