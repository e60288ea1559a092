//! How failures of a storage travel through readers, which speak of `io::Error` alone.

use crate::error::{Code, Error};
use std::io;

/// A store that does not answer; asking again may help.
pub(super) fn unreachable(
    attempted: &str,
    subject: impl std::fmt::Display,
    cause: impl std::fmt::Display,
) -> Error {
    Error::new(Code::StorageUnreachable, attempted, subject).cause(cause)
}

/// Our failure inside of an `io::Error`; [`Error::io`] finds its code again.
pub(super) fn to_io(error: Error) -> io::Error {
    io::Error::other(error)
}

/// Whether asking again may help.
pub(super) fn is_passing(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    inner.is_some_and(|inner| inner.code() == Code::StorageUnreachable)
}
