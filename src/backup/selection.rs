//! `--only`: which parts of the stack a backup or a restore concerns.

use crate::config::Config;
use crate::error::{Code, Error, Result};
use std::collections::BTreeSet;

/// The parts that are wanted; everything without a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection(Vec<String>);

impl Selection {
    /// `databases`, `files` or the names of components; everything where it is empty.
    pub fn new(only: Vec<String>) -> Self {
        Self(only)
    }

    /// The databases and file trees of the config that are not wanted.
    pub fn omitted(&self, config: &Config) -> Vec<String> {
        let databases = config.databases.iter().map(|database| &database.name);
        let files = config.files.iter().map(|tree| &tree.name);
        let databases = databases.filter(|name| !self.wants_database(name));
        databases.chain(files.filter(|name| !self.wants_files(name))).cloned().collect()
    }

    /// Whether everything is wanted.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the database `name` is wanted.
    pub fn wants_database(&self, name: &str) -> bool {
        self.is_everything() || self.0.iter().any(|only| only == "databases" || only == name)
    }

    /// Whether the file tree `name` is wanted.
    pub fn wants_files(&self, name: &str) -> bool {
        self.is_everything() || self.0.iter().any(|only| only == "files" || only == name)
    }

    /// The components of the config that are wanted.
    pub(super) fn components<'a>(&self, config: &'a Config) -> Vec<&'a str> {
        let databases = config.databases.iter().map(|database| database.name.as_str());
        let files = config.files.iter().map(|tree| tree.name.as_str());
        let databases = databases.filter(|name| self.wants_database(name));
        databases.chain(files.filter(|name| self.wants_files(name))).collect()
    }

    /// Refuses names that are not among `known`.
    ///
    /// # Errors
    /// `component_not_found`, naming what there is.
    pub fn check<'a>(&self, known: impl Iterator<Item = &'a str>) -> Result<()> {
        let known: BTreeSet<&str> = known.chain(["databases", "files"]).collect();
        match self.0.iter().find(|only| !known.contains(only.as_str())) {
            None => Ok(()),
            Some(unknown) => Err(Error::new(Code::ComponentNotFound, "select", unknown)
                .cause("there is no such component")
                .hint(format!(
                    "--only takes {}",
                    known.into_iter().collect::<Vec<_>>().join(", ")
                ))),
        }
    }

    /// Refuses names that the config does not have, and kinds of which it has none.
    ///
    /// # Errors
    /// `component_not_found`.
    pub fn check_config(&self, config: &Config) -> Result<()> {
        let databases = config.databases.iter().map(|database| database.name.as_str());
        let files = config.files.iter().map(|tree| tree.name.as_str());
        self.check(databases.chain(files))?;
        let kinds =
            [("databases", config.databases.is_empty()), ("files", config.files.is_empty())];
        match kinds.iter().find(|(kind, is_empty)| *is_empty && self.0.iter().any(|it| it == kind))
        {
            None => Ok(()),
            Some((kind, _)) => Err(Error::new(Code::ComponentNotFound, "select", kind)
                .cause(format!("the config has no [[{kind}]]"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_named_means_everything() {
        let all = Selection::default();
        assert!(all.wants_database("shop") && all.wants_files("uploads"));
    }

    #[test]
    fn kinds_and_names_select() {
        let only = Selection::new(vec!["files".into(), "shop".into()]);
        assert!(only.wants_files("uploads") && only.wants_database("shop"));
        assert!(!only.wants_database("billing"));
        assert!(only.check(["shop", "uploads"].into_iter()).is_ok());
        let error = only.check(["uploads"].into_iter()).unwrap_err();
        assert_eq!(error.code(), Code::ComponentNotFound);
    }

    #[test]
    fn a_kind_of_which_there_is_none_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("backstop.toml");
        let text = "[stack]\nname = 's'\n[repository]\npath = 'r'\n[state]\ndir = 's'\n\
                    [[files]]\nname = 'uploads'\npath = 'u'\n";
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file)).unwrap().config;
        let check = |only: &str| Selection::new(vec![only.into()]).check_config(&config);
        assert!(check("files").is_ok() && check("uploads").is_ok());
        assert_eq!(check("databases").unwrap_err().code(), Code::ComponentNotFound);
    }
}
