//! Lists of files that turned out to be unreadable while they were read.

use super::indexes::COPIES;
use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Those that are known to be unreadable, as files of this host. Their ends were whole: nothing
/// tells beforehand what lies before that.
#[derive(Debug, Default)]
pub struct Unreadable {
    faults: BTreeMap<PathBuf, String>,
    /// Copies that were removed, to be brought here once more.
    again: BTreeSet<PathBuf>,
}

impl Unreadable {
    /// Takes note of one, and why. A copy in the state directory says nothing of what it was
    /// made of, so it is removed the first time.
    pub fn add(&mut self, setting: &Setting, file: &Path, why: &str) {
        let is_copy = file.starts_with(setting.config.state.dir.join(COPIES));
        let is_new = is_copy && self.again.insert(file.to_path_buf());
        if !is_new || std::fs::remove_file(file).is_err() {
            self.faults.insert(file.to_path_buf(), why.to_owned());
        }
    }

    /// # Errors
    /// `backup_damaged` where `file`, which is this object of the backup `name`, is one of them.
    pub(super) fn check(&self, file: &Path, name: &str, object: &str) -> Result<()> {
        match self.faults.get(file) {
            None => Ok(()),
            Some(why) => {
                let subject = format!("{object} of {name}");
                Err(Error::new(Code::BackupDamaged, "read", subject).cause(why))
            }
        }
    }
}
