//! What would be lost if the live databases and file trees were put back to a backup, counted
//! before anybody agrees to it. Nothing is changed.
//!
//! Databases are compared by the numbers of rows that were recorded at the fence, trees by the
//! index, as an incremental backup does. What has the same number and another content is not
//! seen: rows that were changed in place, or deleted and made up for by as many new ones.

mod change;
mod tables;
mod text;
mod trees;
mod walk;

pub use tables::{DatabaseLosses, TableCount, TableLosses};
pub use trees::{FileLosses, Tally};

use crate::backup::Selection;
use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;
use crate::setting::Setting;
use serde::Serialize;

/// How the live state differs from a backup that would replace it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// The databases of the backup.
    pub databases: Vec<DatabaseLosses>,
    /// The file trees of the backup.
    pub files: Vec<FileLosses>,
}

impl Losses {
    /// Whether everything could be looked at, and nothing that is counted differs: neither would
    /// anything newer go, nor anything come back that was deleted since. Estimates that agree are
    /// taken for true.
    pub fn is_nothing(&self) -> bool {
        self.databases.iter().all(DatabaseLosses::is_nothing)
            && self.files.iter().all(FileLosses::is_nothing)
    }
}

/// Counts what would be lost of the parts in `selection` if they were put back to `backup`. What
/// the config leaves out of backups is not counted.
///
/// # Errors
/// `interrupted`. What cannot be looked at says why in its `unknown`.
pub async fn losses(
    setting: &Setting,
    backup: &PublishedBackup,
    selection: &Selection,
) -> Result<Losses> {
    let setting = &setting.part();
    let count = async {
        let (databases, files) = tokio::try_join!(
            tables::count(setting, backup, selection),
            trees::count(setting, backup, selection),
        )?;
        Ok(Losses { databases, files })
    };
    setting.unless_interrupted("compare what is live with", count).await
}

/// Why something could not be looked at, for the list of losses.
///
/// # Errors
/// `interrupted`, which says nothing of what was looked at.
fn reason(error: Error) -> Result<String> {
    match error.code() {
        Code::Interrupted => Err(error),
        _ => Ok(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
