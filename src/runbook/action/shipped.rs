//! The actions that come with backstop.

pub(super) mod compose;
pub(super) mod disk;
pub(super) mod docker;
pub(super) mod file;
pub(super) mod host;
pub(super) mod http;
pub(super) mod manual;
pub(super) mod notify;
pub(super) mod secret;
pub(super) mod shell;
pub(super) mod sql;
pub(super) mod tcp;
pub(super) mod wait;

use super::Outputs;
use serde_json::Value;

/// Outputs of a few names.
fn outputs<const N: usize>(entries: [(&str, Value); N]) -> Outputs {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
