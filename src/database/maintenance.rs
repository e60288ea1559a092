//! A connection to a database that is not the one being worked on.

use super::connection::Connection;
use super::target::Target;
use crate::error::{Code, Error, Result};

/// Databases that every server has unless somebody removed them.
const CANDIDATES: [&str; 2] = ["postgres", "template1"];

/// Connects to the server of `target` through a database that is none of `busy`: databases
/// cannot be created, renamed or dropped from within.
pub(super) async fn connect(target: &Target, busy: &[&str]) -> Result<Connection> {
    let mut refused = None;
    for name in CANDIDATES.into_iter().filter(|name| !busy.contains(name)) {
        match Connection::open(&target.with_database(name)).await {
            Ok(connection) => return Ok(connection),
            // The other one may be there, or may be entered.
            Err(error) if matches!(error.code(), Code::DatabaseNotFound | Code::DatabaseFailed) => {
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| {
        Error::new(Code::DatabaseFailed, "find a maintenance database for", target.component())
            .cause("both postgres and template1 are being worked on")
    }))
}
