//! Connections to a database that is not the one being worked on.
//!
//! PostgreSQL finishes a statement whose client died: the `CREATE DATABASE` of a killed
//! backstop may take effect after its successor has looked, and so may the renames of a swap,
//! which wait for other sessions. So whoever creates, renames or drops a database does it
//! in a session that holds an advisory lock of that database's name (manual, "Advisory
//! Locks"), by which a successor finds that session, ends it, and then sees what is true.

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

/// "bkst", the first half of the advisory locks; the second is the hash of a name.
const LOCKS: i32 = 0x626b_7374;

/// The sessions that hold the advisory lock of a name, except this one.
const HOLDERS: &str = "SELECT pid FROM pg_locks \
    WHERE locktype = 'advisory' AND objsubid = 2 AND pid <> pg_backend_pid() \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    AND classid = $1::int4::oid AND objid = hashtext($2)::oid";

/// Connects as [`connect`] does and becomes the only session of backstop's that works on the
/// database `name`. The names are those of one restore, which has one process at a time: a
/// session that is found at work belongs to a dead one, or to work that was given up.
pub(super) async fn take_over(target: &Target, busy: &[&str], name: &str) -> Result<Connection> {
    const ATTEMPTED: &str = "take over the work on database";
    let connection = connect(target, busy).await?;
    for row in connection.rows(ATTEMPTED, HOLDERS, &[&LOCKS, &name]).await? {
        let pid: i32 = row.get(0);
        let end = "SELECT pg_terminate_backend($1)";
        connection.rows(ATTEMPTED, end, &[&pid]).await?;
    }
    // A session that was asked to end does so at its next chance.
    connection.run(ATTEMPTED, "SET lock_timeout = '30s'").await?;
    let lock = "SELECT pg_advisory_lock($1, hashtext($2))";
    connection.rows(ATTEMPTED, lock, &[&LOCKS, &name]).await?;
    connection.run(ATTEMPTED, "SET lock_timeout = 0").await?;
    Ok(connection)
}
