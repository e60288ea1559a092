//! What a failure of the server means: its SQLSTATE or socket error as one of our codes.

use super::target::Target;
use crate::error::{Code, Error};
use std::error::Error as _;
use std::fmt;
use std::io;
use tokio_postgres::error::SqlState;

/// A statement that failed: `attempted` a verb phrase, on `subject`.
pub(super) fn statement(
    attempted: &str,
    subject: impl fmt::Display,
    error: &tokio_postgres::Error,
) -> Error {
    Error::new(code(error), attempted, subject).cause(text(error))
}

/// A connection that failed.
pub(super) fn connection(target: &Target, error: &tokio_postgres::Error) -> Error {
    let code = code(error);
    let subject = match code {
        Code::DatabaseNotFound => {
            format!("{} ({} on {})", target.component(), target.database(), target.server())
        }
        _ => format!("{} at {} as {}", target.component(), target.server(), target.user()),
    };
    let said = text(error);
    let said = target.password.as_ref().map_or_else(|| said.clone(), |p| p.mask(&said));
    let tls = said.contains("TLS");
    let error = Error::new(code, "connect to database", subject).cause(said);
    if tls { error.hint("check sslmode and sslrootcert in the database's url") } else { error }
}

/// A connection that took too long.
pub(super) fn timed_out(target: &Target) -> Error {
    let subject = format!("{} at {}", target.component(), target.server());
    Error::new(Code::DatabaseUnreachable, "connect to database", subject)
        .cause("no answer within 10 seconds")
}

/// The code of a failure.
pub(super) fn code(error: &tokio_postgres::Error) -> Code {
    if let Some(state) = error.code() {
        return match *state {
            SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                Code::DatabaseAuthentication
            }
            SqlState::INVALID_CATALOG_NAME => Code::DatabaseNotFound,
            SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
                Code::DatabaseUnreachable
            }
            SqlState::DISK_FULL => Code::DiskFull,
            _ => Code::DatabaseFailed,
        };
    }
    let said = text(error);
    if said.contains("password missing") || said.contains("authentication") {
        return Code::DatabaseAuthentication;
    }
    let io = error.source().is_some_and(|source| source.is::<io::Error>());
    if error.is_closed() || io || said.contains("does not support TLS") {
        Code::DatabaseUnreachable
    } else {
        Code::DatabaseFailed
    }
}

/// Whether the server refused for want of a right.
pub(super) fn is_permission(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}

/// The server's own words, with detail and hint; else those of the failed layers.
pub(super) fn text(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let mut text = said.message().to_owned();
        for more in [said.detail(), said.hint()].into_iter().flatten() {
            text.push_str("; ");
            text.push_str(more);
        }
        return text;
    }
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
