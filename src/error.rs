//! Every failure backstop reports.
//!
//! An [`Error`] answers four questions: what was attempted, on what, what went wrong,
//! and what to do next. Its [`Code`] is stable: scripts match on it, `docs/errors.md`
//! explains it, and it decides the exit code.
//!
//! Rules for writing one:
//! - `attempted` is a verb phrase without subject: `"connect to database"`.
//! - the cause is what the lower layer said, without passwords or connection strings;
//! - the hint names a command, a key of the config file or a permission, never "try again".

mod code;

pub use code::Code;

use std::fmt;
use std::io;
use std::path::Path;

/// `Result` with backstop's own [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// One failure: a code, what was attempted, on what, the cause and a hint.
#[derive(Debug)]
pub struct Error(Box<Report>);

#[derive(Debug)]
struct Report {
    code: Code,
    attempted: String,
    subject: String,
    cause: Option<String>,
    hint: Option<String>,
    source: Option<Source>,
}

impl Error {
    /// A failure of `attempted` (a verb phrase) on `subject`.
    pub fn new(code: Code, attempted: impl Into<String>, subject: impl fmt::Display) -> Self {
        Self(Box::new(Report {
            code,
            attempted: attempted.into(),
            subject: subject.to_string(),
            cause: None,
            hint: None,
            source: None,
        }))
    }

    /// A failure of the operating system on `path`; the code follows from the kind of
    /// error (full disk, missing permission, read-only file system).
    ///
    /// An `io::Error` that was made of one of ours is that one: readers and writers of the
    /// standard library can only hand it on so.
    pub fn io(attempted: impl Into<String>, path: &Path, error: io::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        let code = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
            io::ErrorKind::PermissionDenied => Code::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem => Code::ReadOnly,
            _ => Code::Io,
        };
        Self::new(code, attempted, path.display()).source(error)
    }

    /// Says what went wrong.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Keeps the lower layer's error; its text and the texts of its own sources become
    /// the cause where none was given.
    #[must_use]
    pub fn source(mut self, source: impl Into<Source>) -> Self {
        let source = source.into();
        if self.0.cause.is_none() {
            self.0.cause = Some(chain(source.as_ref()));
        }
        self.0.source = Some(source);
        self
    }

    /// Says what the reader can do about it; replaces the code's general hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What to do about it: the specific hint, else the code's general one.
    pub fn hint_text(&self) -> &str {
        self.0.hint.as_deref().unwrap_or(self.0.code.hint())
    }

    /// The hint that was given for this failure, without the code's general one.
    pub fn own_hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The failure as the JSON object that `--json` prints and records keep:
    /// `code`, `message`, `attempted`, `subject`, `cause`, `hint`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "code": self.0.code.as_str(),
            "message": self.to_string(),
            "attempted": self.0.attempted,
            "subject": self.0.subject,
            "cause": self.0.cause,
            "hint": self.hint_text(),
        })
    }
}

/// The texts of an error and its sources, joined by colons, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = inner.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.0.attempted, self.0.subject)?;
        match &self.0.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_attempt_subject_and_cause() {
        let error = Error::new(Code::DatabaseUnreachable, "connect to database", "shop")
            .cause("connection refused");
        assert_eq!(error.to_string(), "cannot connect to database shop: connection refused");
    }

    #[test]
    fn io_errors_map_to_their_code() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Error::io("write", Path::new("/x"), full).code(), Code::DiskFull);
    }

    #[test]
    fn the_general_hint_stands_in_for_a_missing_one() {
        let error = Error::new(Code::DiskFull, "write", "/x");
        assert_eq!(error.hint_text(), Code::DiskFull.hint());
        assert_eq!(error.hint("free some").hint_text(), "free some");
    }
}
