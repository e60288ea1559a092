//! How large a backup would be.

use super::plan::Plan;
use super::{Request, Selection, space};
use crate::error::Result;
use crate::repository::manifest::Kind;
use crate::setting::Setting;
use serde::Serialize;

/// How large a backup would be, and how much is free.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// The components.
    pub components: Vec<EstimatedPart>,
    /// Bytes of all sources.
    pub source_bytes: u64,
    /// Bytes that are expected to be stored.
    pub stored_bytes: u64,
    /// Why so many.
    pub because: String,
    /// Bytes free in the repository's file system.
    pub free_bytes: u64,
}

/// One component's size at its source.
#[derive(Debug, Clone, Serialize)]
pub struct EstimatedPart {
    /// Its name.
    pub name: String,
    /// Bytes of its contents.
    pub source_bytes: u64,
    /// Files and directories; 0 for a database.
    pub file_count: u64,
}

/// Measures the sources that `only` concerns. Touches nothing.
pub async fn estimate(setting: &Setting, only: &Selection) -> Result<Estimate> {
    let request = Request { only: only.clone(), ..Request::default() };
    let plan = Plan::prepare(setting, &request).await?;
    let expected = plan.expectation(setting, Kind::Full)?;
    let databases = plan.databases.iter().map(|planned| EstimatedPart {
        name: planned.reach.config.name.clone(),
        source_bytes: planned.description.size,
        file_count: 0,
    });
    let files = plan.sources.iter().map(|planned| EstimatedPart {
        name: planned.source.tree.name.clone(),
        source_bytes: planned.source_bytes,
        file_count: planned.file_count,
    });
    Ok(Estimate {
        components: databases.chain(files).collect(),
        source_bytes: plan.source_bytes(),
        stored_bytes: expected.stored_bytes,
        because: expected.because,
        free_bytes: space::free_bytes(space::workspace(&setting.config))?,
    })
}
