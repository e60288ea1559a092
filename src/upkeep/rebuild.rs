//! The catalog, built anew from what it is an index of.

use crate::backup::{lock, open_repository};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::progress::Warnings;
use crate::repository::LockMode;
use crate::setting::Setting;
use serde::Serialize;
use std::path::PathBuf;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Where the catalog of before lies; none where there was none.
    pub aside: Option<PathBuf>,
    /// Backups that lie in the repository.
    pub published: usize,
    /// Failed backups that the journal remembers.
    pub failed: usize,
    /// Events that the journal remembers.
    pub events: usize,
    /// What could not be read, as people read it.
    pub unreadable: Vec<String>,
}

/// Moves the catalog aside and builds a new one from the repository and the event journal.
/// Cut off at any point, the next command does the rest.
///
/// # Errors
/// `locked` while another backstop works.
pub async fn rebuild_catalog(setting: &Setting) -> Result<Rebuilt> {
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Exclusive).await?;
    let warnings = Warnings::before(setting.progress.clone());
    let progress: std::sync::Arc<dyn crate::progress::Progress> = warnings.clone();
    let catalog = Catalog::of(&setting.config);
    let (mut session, aside) = catalog.anew(&progress)?;
    session.reconcile(&repository, &progress)?;
    session.checkpoint()?;
    let records = session.list()?;
    let published = records.iter().filter(|record| record.is_published()).count();
    let unreadable = warnings.seen().into_iter().map(|warning| warning.message).collect();
    Ok(Rebuilt {
        aside,
        published,
        failed: records.len() - published,
        events: session.count_events()?,
        unreadable,
    })
}
