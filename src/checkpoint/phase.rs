//! The name of a step of a bootstrap.

use crate::error::{Code, Error, Result};
use std::fmt;

/// The phase with which a bootstrap ends.
pub const COMPLETE: &str = "bootstrap-complete";

/// Words that follow `backstop checkpoint` and are no phases.
const TAKEN: [&str; 4] = ["auto", "manual", "report", "help"];

/// The longest name, in characters.
const LONGEST: usize = 64;

/// A name such as `pre-ansible`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase(String);

impl Phase {
    /// Up to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
    ///
    /// # Errors
    /// `usage`.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |cause: &str| {
            Err(Error::new(Code::Usage, "use as a phase", format!("`{text}`"))
                .cause(cause)
                .hint("name it such as pre-ansible, pre-dotfiles or post-setup"))
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.is_empty() {
            refused("it is empty")
        } else if text.len() > LONGEST {
            refused("it is longer than 64 characters")
        } else if !text.chars().all(allowed) || text.starts_with(['.', '-', '_']) {
            refused("expected letters, digits, `.`, `_` and `-`, a letter or digit first")
        } else if TAKEN.contains(&text) {
            refused("a command has this name")
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_free_names_that_are_safe_everywhere() {
        for good in ["pre-ansible", "pre-homebrew", COMPLETE, "2.4_a", "x"] {
            assert_eq!(Phase::parse(good).unwrap().to_string(), good);
        }
        let long = "x".repeat(65);
        for bad in ["", "-x", ".x", "a b", "a/b", "ä", "a\n", "auto", "manual", "report", &long] {
            assert_eq!(Phase::parse(bad).unwrap_err().code(), Code::Usage, "{bad}");
        }
    }
}
