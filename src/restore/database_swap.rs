//! A restored database and the live one change places by rename.

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
}
