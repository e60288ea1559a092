//! Looking into backups: their files and dumps, one by one, and their history.
//!
//! What is listed or searched is asked in SQL of the indexes; what is read is read by seeking,
//! so its cost does not depend on the size of the backup.

mod config;
mod containing;
mod content;
mod diff;
mod dump;
mod find;
mod history;
mod indexes;
mod lineage;
mod list;
mod path;
mod reading;
mod unreadable;

pub use config::{RecordedConfig, recorded_config, recorded_config_file, write_descriptions};
pub use containing::containing;
pub use content::write_content;
pub use diff::{Change, Difference, Stat, diff, stat, uncompared};
pub use dump::write_dump;
pub use find::{Criteria, Found, find};
pub use history::{Event, Version, history};
pub use indexes::indexes;
pub use list::{Listed, list};
pub use path::FilePath;
pub use reading::{Reading, reading};
pub use unreadable::Unreadable;

use crate::backup::{CHANGES, INDEX};

#[cfg(test)]
mod tests;
