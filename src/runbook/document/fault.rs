//! What is wrong with a runbook, and where.

use crate::error::{Code, Error};
use std::fmt;

/// A line and a column, both from 1; line 0 where the text has no such place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::runbook) struct Place {
    pub(in crate::runbook) line: u64,
    pub(in crate::runbook) column: u64,
}

/// One thing that is wrong: where, what, and what to write instead.
#[derive(Debug, Clone)]
pub(in crate::runbook) struct Fault {
    pub(in crate::runbook) place: Option<Place>,
    pub(in crate::runbook) message: String,
    pub(in crate::runbook) hint: Option<String>,
}

impl Fault {
    pub(in crate::runbook) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into(), hint: None }
    }

    #[must_use]
    pub(in crate::runbook) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says where it is, unless a part of that place is known already.
    #[must_use]
    pub(in crate::runbook) fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    /// Says which key it is about, where only the value was looked at.
    #[must_use]
    pub(in crate::runbook) fn about(mut self, key: &str) -> Self {
        if self.message.starts_with("expected ") {
            self.message = format!("`{key}`: {}", self.message);
        }
        self
    }

    /// The failure of a command that was given the runbook `file`.
    pub(in crate::runbook) fn of(self, file: &str) -> Error {
        let cause = match self.place.filter(|place| place.line > 0) {
            Some(Place { line, column }) => {
                format!("line {line}, column {column}: {}", self.message)
            }
            None => self.message,
        };
        let error = Error::new(Code::RunbookInvalid, "accept runbook", file).cause(cause);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// What serde says, in the words of a person who writes YAML.
impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { place: None, message: message.to_string(), hint: None }
    }

    fn invalid_type(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        let expected = expected.to_string();
        let wanted = in_words(&expected);
        Self::custom(format!("expected {wanted}, found {}", shown(found)))
    }

    fn invalid_value(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let fault = Self::custom(format!("unknown key `{field}`"));
        fault.hint(choose(field, expected, "the keys here are"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let fault = Self::custom(format!("`{variant}` is not known here"));
        fault.hint(choose(variant, expected, "write one of"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("the key `{field}` is missing")).hint(format!("add `{field}: …` here"))
    }
}

/// What serde expects, as people call it.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "u8" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "text",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "keys with values",
        struct_of_ours if struct_of_ours.starts_with("struct ") => "keys with values",
        other => other,
    }
}

/// A value in an error message. Texts are not repeated: one may be a secret.
fn shown(found: serde::de::Unexpected<'_>) -> String {
    use serde::de::Unexpected as U;
    match found {
        U::Str(_) => "text".into(),
        U::Map => "keys with values".into(),
        U::Seq => "a list".into(),
        U::Unit | U::Option => "nothing".into(),
        U::Bool(flag) => format!("`{flag}`"),
        U::Unsigned(number) => format!("`{number}`"),
        U::Signed(number) => format!("`{number}`"),
        U::Float(number) => format!("`{number}`"),
        other => other.to_string(),
    }
}

/// A hint towards the word that was meant, and all that there are.
fn choose(written: &str, words: &[&str], lead: &str) -> String {
    let all = quoted_list(words.iter().copied());
    match meant(written, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`? {lead} {all}"),
        None => format!("{lead} {all}"),
    }
}

/// `a`, `b`, `c`.
pub(in crate::runbook) fn quoted_list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// The word that was probably meant by `written`.
pub(in crate::runbook) fn meant<'a>(
    written: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = |word: &str| {
        // In a short word two letters that changed places weigh too much.
        let slip = word.len() > 2 && strsim::osa_distance(written, word) == 1;
        strsim::jaro_winkler(written, word).max(if slip { 0.9 } else { 0.0 })
    };
    words
        .into_iter()
        .map(|word| (likeness(word), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, word)| word)
}
