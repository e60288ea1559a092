//! What was seen to lie in a copy, for whoever does not ask it. `sync` does.

use crate::error::{Error, Result};
use crate::repository::{create_dir, write_replacing};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const FILE: &str = "sent.json";

/// The names of backups that were seen whole in a copy. It may have changed since.
pub(crate) struct Sent {
    file: PathBuf,
    names: BTreeSet<String>,
}

impl Sent {
    /// As the directory of a copy remembers it.
    pub(crate) fn read(dir: &Path) -> Self {
        let file = dir.join(FILE);
        let text = std::fs::read(&file).unwrap_or_default();
        Self { file, names: serde_json::from_slice(&text).unwrap_or_default() }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Remembers one more.
    pub(crate) fn add(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// Forgets what is not `there` any more, and writes the rest down.
    pub(crate) fn keep(&mut self, there: &BTreeSet<String>) -> Result<()> {
        self.names.retain(|name| there.contains(name));
        if let Some(dir) = self.file.parent() {
            create_dir(dir)?;
        }
        let text = serde_json::to_vec(&self.names)
            .map_err(|e| Error::io("write", &self.file, std::io::Error::other(e)))?;
        write_replacing(&self.file, &text)
    }
}
