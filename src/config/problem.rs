//! What is wrong with a config, all of it in one report.

use super::origin::Origin;
use crate::error::{Code, Error, Result};
use std::path::Path;

/// One thing that is wrong: where, which key, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    origin: Origin,
    key: String,
    message: String,
}

/// Everything that is wrong with one config.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, origin: &Origin, key: &str, message: impl Into<String>) {
        self.0.push(Problem {
            origin: origin.clone(),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Refuses the config if anything is wrong with it.
    pub(super) fn refuse(mut self, file: Option<&Path>) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort();
        self.0.dedup();
        let subject =
            file.map_or_else(|| "from the environment".into(), |file| file.display().to_string());
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        let cause = match lines.as_slice() {
            [only] => only.clone(),
            several => format!("{} problems\n  {}", several.len(), several.join("\n  ")),
        };
        Err(Error::new(Code::ConfigInvalid, "accept config", subject).cause(cause))
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.origin {
            Origin::File { line: Some(line), .. } => write!(f, "line {line}: ")?,
            Origin::Environment { variable } => write!(f, "${variable}: ")?,
            Origin::File { line: None, .. } | Origin::Default => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// `a, b, c`, each in backticks.
pub(super) fn quoted_list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// The word that was probably meant by `written`, as the end of a message.
pub(super) fn did_you_mean<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    words
        .into_iter()
        .map(|word| (strsim::jaro_winkler(written, word), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, word)| format!("; did you mean `{word}`?"))
        .unwrap_or_default()
}
