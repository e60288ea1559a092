//! What is wrong with a config, all of it in one report.

use super::origin::Origin;
use crate::error::{Code, Error, Result};
use std::path::Path;

/// How many remedies a hint names. The message names every problem.
const REMEDIES: usize = 3;

/// One thing that is wrong: where, which key, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    origin: Origin,
    key: String,
    message: String,
    /// What to write instead, where the message alone does not say it as an instruction.
    remedy: Option<String>,
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
            remedy: None,
        });
    }

    /// As [`add`](Self::add), with what to write instead.
    pub(super) fn add_with_remedy(
        &mut self,
        origin: &Origin,
        key: &str,
        message: impl Into<String>,
        remedy: String,
    ) {
        self.0.push(Problem {
            origin: origin.clone(),
            key: key.to_owned(),
            message: message.into(),
            remedy: Some(remedy),
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
        let mut remedies: Vec<&str> =
            self.0.iter().filter_map(|problem| problem.remedy.as_deref()).collect();
        remedies.truncate(REMEDIES);
        let error = Error::new(Code::ConfigInvalid, "accept config", subject).cause(cause);
        Err(if remedies.is_empty() { error } else { error.hint(remedies.join("; ")) })
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
    meant(written, words).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
}

/// The word that was probably meant by `written`.
pub(super) fn meant<'a>(
    written: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    words
        .into_iter()
        .map(|word| (strsim::jaro_winkler(written, word), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, word)| word)
}
