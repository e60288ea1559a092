//! Several repositories at once: all that lie below one place, such as those of a fleet of hosts
//! in one bucket.

use super::context::Context;
use crate::browse;
use crate::catalog::{Query, Source};
use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use crate::storage;
use std::sync::Arc;

/// What stands behind a place to mean all repositories right below it.
const ALL: &str = "/*";

/// The place whose repositories are meant; none where `place` means one repository.
pub(super) fn parent(place: &str) -> Option<&str> {
    place.strip_suffix(ALL)
}

/// The catalogs and indexes of all of them, for questions. What is no repository, or none any more, is passed over.
///
/// # Errors
/// `repository_not_found` where there is none at all.
pub(super) fn query(context: &Context, parent: &str) -> Result<Query> {
    let setting = context.setting()?;
    let config = &setting.config;
    let mut sources = Vec::new();
    for name in storage::open(&config.place(parent)?)?.names("")? {
        let place = config.place(&format!("{parent}/{name}"))?;
        let config = Arc::new(setting.config.as_ref().clone().with_repository(place));
        let setting = Setting { config, ..setting.clone() };
        let (session, repository) = match context.catalog_of(&setting) {
            Ok((session, Some(repository))) => (session, repository),
            Ok((_, None)) => continue,
            // One that has gone is found where it is now, if that is below the same place.
            Err(e) if matches!(e.code(), Code::RepositoryNotFound | Code::RepositoryMoved) => {
                continue;
            }
            Err(e) => return Err(e),
        };
        let indexes = browse::indexes(&setting, &repository, &session.list()?, None)?;
        let (repository, changes) = (Some(repository.id().to_owned()), Vec::new());
        sources.push(Source { session, repository, indexes, changes });
    }
    if sources.is_empty() {
        return Err(Error::new(Code::RepositoryNotFound, "find a repository below", parent));
    }
    Query::over(sources, &setting.progress)
}
