//! Several repositories at once: all that lie below one place, such as those of a fleet of hosts
//! in one bucket.

use super::ask::Prepared;
use super::context::Context;
use crate::browse::Reading;
use crate::catalog::BackupRecord;
use crate::error::{Code, Error, Result};
use crate::repository::Repository;
use crate::setting::Setting;
use crate::storage;

/// What stands behind a place to mean all repositories right below it.
const ALL: &str = "/*";

/// The place whose repositories are meant; none where `place` means one repository.
pub(super) fn parent(place: &str) -> Option<&str> {
    place.strip_suffix(ALL)
}

/// What is read of some backups of a repository.
pub(super) type ReadAll<'a> =
    dyn Fn(&Setting, &Repository, &[BackupRecord]) -> Result<Reading> + 'a;

/// The catalogs of all of them, and what `read` reads for each. What is no repository, or none
/// any more, is passed over.
///
/// # Errors
/// `repository_not_found` where there is none at all.
pub(super) fn prepare(context: &Context, parent: &str, read: &ReadAll<'_>) -> Result<Prepared<()>> {
    let setting = context.setting()?;
    let config = &setting.config;
    let mut prepared = Prepared::new(());
    for name in storage::open(&config.place(parent)?)?.names("")? {
        let place = config.place(&format!("{parent}/{name}"))?;
        let setting = setting.at(place);
        let (session, repository) = match context.catalog_of(&setting) {
            Ok((session, Some(repository))) => (session, repository),
            Ok((_, None)) => continue,
            // One that has gone is found where it is now, if that is below the same place.
            Err(e) if matches!(e.code(), Code::RepositoryNotFound | Code::RepositoryMoved) => {
                continue;
            }
            Err(e) => return Err(e),
        };
        let reading = read(&setting, &repository, &session.list()?)?;
        prepared.add(session, Some(repository.id().to_owned()), reading);
    }
    if prepared.is_empty() {
        return Err(Error::new(Code::RepositoryNotFound, "find a repository below", parent));
    }
    Ok(prepared)
}
