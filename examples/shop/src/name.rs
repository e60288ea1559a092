//! The names that uploads may have.

use std::fmt;

/// The ending of files that are still being written.
pub(crate) const UNFINISHED: &str = ".tmp";

/// A name that is safe as a file name and not mistaken for an unfinished file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(String);

impl Name {
    /// Accepts 1 to 200 letters, digits, `.`, `_` and `-`, without a dot in front and
    /// without the ending of unfinished files.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fits = (1..=200).contains(&text.len())
            && text.chars().all(allowed)
            && !text.starts_with('.')
            && !text.ends_with(UNFINISHED);
        fits.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_directory_or_look_unfinished() {
        for refused in ["", "..", ".hidden", "a/b", "a\0b", "ü", "a.tmp", &"x".repeat(201)] {
            assert_eq!(Name::new(refused), None, "{refused:?}");
        }
        assert!(Name::new("photo_1-a.jpg").is_some());
    }
}
