//! Where backups lie: a directory of open formats.
//!
//! `docs/repository-format.md` specifies it to the byte.

mod id;
pub mod manifest;

pub use id::BackupId;
pub use manifest::Manifest;
