//! What is left out of a tree.

use crate::error::{Code, Error, Result};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::path::Path;

/// Patterns as in a `.gitignore` at the top of the tree, a later one overruling an earlier
/// one. What lies in an excluded directory is left out with it.
#[derive(Debug, Clone)]
pub struct Excludes(Gitignore);

impl Excludes {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] with the pattern that is not one.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self> {
        let failed = |pattern: &str, error: ignore::Error| {
            Error::new(Code::ConfigInvalid, "use exclude pattern", pattern).source(error)
        };
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns.iter().map(AsRef::as_ref) {
            builder.add_line(None, pattern).map_err(|e| failed(pattern, e))?;
        }
        builder.build().map(Self).map_err(|e| failed("", e))
    }

    /// Leaves nothing out.
    pub fn none() -> Self {
        Self(Gitignore::empty())
    }

    /// Whether the patterns cover `path`, relative to the tree. Its parents are taken to be
    /// not covered.
    pub fn covers(&self, path: &Path, is_directory: bool) -> bool {
        self.0.matched(path, is_directory).is_ignore()
    }

    /// Whether the patterns cover `path` or a directory above it.
    pub(crate) fn covers_below(&self, path: &Path, is_directory: bool) -> bool {
        self.0.matched_path_or_any_parents(path, is_directory).is_ignore()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_a_gitignore() {
        let excludes = Excludes::new(&["*.tmp", "cache/", "/top", "logs/**/x", "!keep.tmp"]);
        let excludes = excludes.unwrap();
        let covers = |path: &str| excludes.covers(Path::new(path), path.ends_with("cache"));
        assert!(covers("a.tmp") && covers("deep/in/a.tmp") && !covers("a.tmpl"));
        assert!(covers("cache") && covers("a/cache") && !covers("a/cache.txt"));
        assert!(!excludes.covers(Path::new("cache"), false));
        assert!(covers("top") && !covers("a/top"));
        assert!(covers("logs/a/b/x") && !covers("keep.tmp"));
    }

    #[test]
    fn a_broken_pattern_is_a_config_error() {
        let error = Excludes::new(&["a[z-a]"]).unwrap_err();
        assert_eq!(error.code(), Code::ConfigInvalid);
        assert!(error.to_string().contains("a[z-a]"));
    }
}
