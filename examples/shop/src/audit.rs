//! The comparison of rows and files.

use crate::directory::Content;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether every row has its file and every file its row.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Audit {
    rows: usize,
    files: usize,
    rows_without_file: Vec<String>,
    files_without_row: Vec<String>,
    /// Both are there, but size or SHA-256 differ.
    mismatched: Vec<String>,
}

impl Audit {
    /// Compares what the rows promise with what the files hold.
    pub(crate) fn new(rows: &BTreeMap<String, Content>, files: &BTreeMap<String, Content>) -> Self {
        let names = |keep: &dyn Fn(&String) -> bool, of: &BTreeMap<String, Content>| {
            of.keys().filter(|name| keep(name)).cloned().collect()
        };
        Self {
            rows: rows.len(),
            files: files.len(),
            rows_without_file: names(&|name| !files.contains_key(name), rows),
            files_without_row: names(&|name| !rows.contains_key(name), files),
            mismatched: names(&|name| files.get(name).is_some_and(|f| *f != rows[name]), rows),
        }
    }

    /// Whether rows and files agree.
    pub(crate) fn clean(&self) -> bool {
        self.rows_without_file.is_empty()
            && self.files_without_row.is_empty()
            && self.mismatched.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(of: &[(&str, u64)]) -> BTreeMap<String, Content> {
        let content = |size| Content { size, sha256: format!("{size:x}") };
        of.iter().map(|(name, size)| ((*name).to_owned(), content(*size))).collect()
    }

    #[test]
    fn equal_sets_are_clean() {
        let both = contents(&[("a", 1), ("b", 2)]);
        let audit = Audit::new(&both, &both);
        assert!(audit.clean());
        assert_eq!((audit.rows, audit.files), (2, 2));
    }

    #[test]
    fn each_difference_is_named() {
        let rows = contents(&[("both", 1), ("differs", 2), ("row", 3)]);
        let files = contents(&[("both", 1), ("differs", 9), ("file", 4)]);
        let audit = Audit::new(&rows, &files);
        assert!(!audit.clean());
        assert_eq!(audit.rows_without_file, ["row"]);
        assert_eq!(audit.files_without_row, ["file"]);
        assert_eq!(audit.mismatched, ["differs"]);
    }
}
