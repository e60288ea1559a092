//! What a store says when it fails, in our words and without secrets.

use crate::error::{Code, Error};
use crate::storage::failure::unreachable;
use opendal::ErrorKind;
use std::error::Error as _;

/// How much of a store's message is passed on; some answer with a whole page.
const LONGEST: usize = 600;

/// Turns a store's failures into ours.
#[derive(Clone)]
pub(super) struct Failures {
    /// Whether what is not classified at all means that the store was not reached, as with
    /// ssh, whose own failures are all alike.
    pub(super) doubtful_means_unreachable: bool,
    /// What must never be shown.
    pub(super) secrets: Vec<String>,
}

impl std::fmt::Debug for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failures")
    }
}

impl Failures {
    /// The failure of `attempted` on `subject`.
    pub(super) fn of(&self, attempted: &str, subject: String, error: &opendal::Error) -> Error {
        let cause = self.said(error);
        let doubtful = self.doubtful_means_unreachable && error.kind() == ErrorKind::Unexpected;
        let passing = error.is_temporary() || error.kind() == ErrorKind::RateLimited || doubtful;
        // Some services call a refusal temporary, since a locked file gives one too.
        if passing && error.kind() != ErrorKind::PermissionDenied {
            unreachable(attempted, subject, cause)
        } else {
            Error::new(Code::StorageFailed, attempted, subject).cause(cause)
        }
    }

    /// The message and those of its sources. The context is left out: it holds request urls,
    /// which some services sign.
    fn said(&self, error: &opendal::Error) -> String {
        let mut text = match error.message().trim() {
            "" => error.kind().to_string(),
            message => message.to_owned(),
        };
        let mut next = error.source();
        while let Some(source) = next {
            let said = source.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            next = source.source();
        }
        for secret in self.secrets.iter().filter(|secret| secret.len() > 3) {
            text = text.replace(secret.as_str(), "***");
        }
        let line: Vec<&str> = text.split_whitespace().collect();
        line.join(" ").chars().take(LONGEST).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_secrets_nor_signed_addresses_are_passed_on() {
        let failures =
            Failures { doubtful_means_unreachable: false, secrets: vec!["hunter2".into()] };
        let error = opendal::Error::new(ErrorKind::Unexpected, "no hunter2\n here")
            .with_context("uri", "https://x/?sig=signature")
            .set_temporary()
            .set_source(std::io::Error::other("of hunter2"));
        let shown = failures.of("read", "s3://b/x".into(), &error);
        assert_eq!(shown.code(), Code::StorageUnreachable);
        assert_eq!(shown.to_string(), "cannot read s3://b/x: no *** here: of ***");
    }

    #[test]
    fn a_refusal_is_never_called_unreachable() {
        let failures = Failures { doubtful_means_unreachable: true, secrets: Vec::new() };
        let error = opendal::Error::new(ErrorKind::PermissionDenied, "no").set_temporary();
        assert_eq!(failures.of("read", "x".into(), &error).code(), Code::StorageFailed);
        let error = opendal::Error::new(ErrorKind::Unexpected, "ssh error");
        assert_eq!(failures.of("read", "x".into(), &error).code(), Code::StorageUnreachable);
    }
}
