//! The actions that come with backstop: one file a noun.

pub(super) mod backup;
pub(super) mod compose;
pub(super) mod compose_files;
pub(super) mod confirm;
pub(super) mod database;
pub(super) mod disk;
pub(super) mod docker;
pub(super) mod evidence;
pub(super) mod file;
pub(super) mod health;
pub(super) mod host;
pub(super) mod http;
pub(super) mod keep;
mod logged;
pub(super) mod manual;
pub(super) mod missing;
pub(super) mod notify;
pub(super) mod rows;
pub(super) mod secret;
pub(super) mod shell;
pub(super) mod sql;
pub(super) mod staged;
pub(super) mod tcp;
pub(super) mod verify;
pub(super) mod wait;

use super::Outputs;
use serde_json::Value;

/// Outputs of a few names.
fn outputs<const N: usize>(entries: [(&str, Value); N]) -> Outputs {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
