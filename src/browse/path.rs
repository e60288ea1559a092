//! How commands name a file of a backup: `COMPONENT/relative/path`.

use crate::repository::manifest::{Component, Detail};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A file or directory of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath {
    /// The file tree's name.
    pub component: String,
    /// Relative to the tree; empty for its own directory.
    pub path: PathBuf,
}

impl FilePath {
    /// Reads `COMPONENT/relative/path`; slashes too many do not matter.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let mut parts = text.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        let component = parts.next().and_then(|part| std::str::from_utf8(part).ok());
        let component = component.ok_or("a path is written COMPONENT/relative/path")?.to_owned();
        let mut path = PathBuf::new();
        for part in parts {
            if [&b"."[..], b".."].contains(&part) {
                return Err("`.` and `..` lead nowhere in a backup".into());
            }
            path.push(OsString::from_vec(part.to_vec()));
        }
        Ok(Self { component, path })
    }

    /// The path as the index writes it.
    pub(super) fn indexed(&self) -> String {
        crate::archive::index::indexed_path(&self.path)
    }

    /// Whether its component is one of the file trees among a backup's `components`.
    pub fn has_tree(&self, components: &[Component]) -> bool {
        components
            .iter()
            .any(|it| it.name == self.component && matches!(it.detail, Detail::Files(_)))
    }

    /// Why the backup `name` with these `components`, taken without the `omitted` ones, does not
    /// have it.
    pub fn absence(&self, name: &str, components: &[Component], omitted: &[String]) -> String {
        let tree = &self.component;
        match (self.has_tree(components), omitted.contains(tree)) {
            (true, _) => format!("{name} has no such file"),
            (false, true) => format!("{name} was taken with --only, which left {tree} out"),
            (false, false) => format!("{name} has no file tree {tree}"),
        }
    }

    /// Whether `path` is this one, or lies below it.
    pub fn covers(&self, path: &Path) -> bool {
        path.starts_with(&self.path)
    }
}

impl std::fmt::Display for FilePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_os_str().is_empty() {
            true => f.write_str(&self.component),
            false => write!(f, "{}/{}", self.component, self.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, String), String> {
        let path = FilePath::parse(OsStr::new(text))?;
        Ok((path.component, path.path.display().to_string()))
    }

    #[test]
    fn the_first_part_is_the_component() {
        let expected = |component: &str, path: &str| Ok((component.into(), path.into()));
        assert_eq!(parse("uploads/2024/a.jpg"), expected("uploads", "2024/a.jpg"));
        assert_eq!(parse("/uploads//2024/"), expected("uploads", "2024"));
        assert_eq!(parse("uploads"), expected("uploads", ""));
        for wrong in ["", "/", "uploads/../etc", "uploads/./a"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_directory_covers_what_lies_below() {
        let directory = FilePath::parse(OsStr::new("uploads/a")).unwrap();
        assert!(directory.covers(Path::new("a")) && directory.covers(Path::new("a/b/c")));
        assert!(!directory.covers(Path::new("ab")) && !directory.covers(Path::new("")));
    }
}
