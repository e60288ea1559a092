//! A restored database and the live one change places by rename.
//!
//! Both renames are one transaction, so the name under which the replaced database is kept
//! exists exactly when the swap has happened.

use crate::database::{Target, database_exists, swap};
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// One database that changes places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSwap {
    /// The component's name: the `[[databases]]` entry that says how to connect.
    pub component: String,
    /// The name that the application connects to.
    pub database: String,
    /// The name under which the restored database is built.
    pub new: String,
    /// The name under which the replaced database is kept.
    pub kept: String,
    /// Whether there was a live database when the restore began.
    pub live_existed: bool,
    /// The patterns of tables that the backup does not hold: if there are such, what is kept
    /// has the only copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl DatabaseSwap {
    /// Looks again whether there is a live database: the application may have made one while
    /// the new one was built. Must be recorded durably before [`Self::swap`].
    pub(super) async fn look_again(&mut self, target: &Target) -> Result<()> {
        self.live_existed = database_exists(target, &self.database).await?;
        Ok(())
    }

    /// Makes the restored database live. Does nothing where it is.
    pub(super) async fn swap(&self, target: &Target) -> Result<()> {
        if self.is_swapped(target).await? {
            return Ok(());
        }
        swap::swap(target, &self.database, &self.new, &self.kept).await.map(drop)
    }

    /// Makes the replaced database live again; the restored one gets back the name under
    /// which it was built. Does nothing where nothing was swapped.
    pub(super) async fn swap_back(&self, target: &Target) -> Result<()> {
        if !self.is_swapped(target).await? {
            return Ok(());
        }
        let aside = self.live_existed.then(|| self.kept.clone());
        let swapped = swap::Swapped { live: self.database.clone(), aside };
        swap::swap_back(target, &swapped, &self.new).await
    }

    /// Where a database was replaced, its new name tells; where none was, the name under
    /// which the restored one was built is gone.
    async fn is_swapped(&self, target: &Target) -> Result<bool> {
        swap::settle(target, &self.database, &self.new, &self.kept).await?;
        if self.live_existed {
            database_exists(target, &self.kept).await
        } else {
            Ok(!database_exists(target, &self.new).await?
                && database_exists(target, &self.database).await?)
        }
    }
}
