//! Sessions in a database: who is there, and their end.

use super::connection::Connection;
use super::maintenance;
use super::target::Target;
use crate::error::{Code, Error, Result};
use std::time::Duration;

const ATTEMPTED: &str = "end the sessions of database";

/// How long an ended session may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether it has gone.
const LOOK: Duration = Duration::from_millis(50);

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its process on the server.
    pub pid: i32,
    /// What the client calls itself.
    pub application: String,
    /// The role.
    pub user: String,
    /// The client's address; none over a Unix socket.
    pub address: Option<String>,
}

impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, application, user, address } = self;
        write!(f, "{application} (pid {pid}, user {user}")?;
        match address {
            Some(address) => write!(f, ", from {address})"),
            None => write!(f, ")"),
        }
    }
}

/// Ends every session of clients in the database `name` on the server of `target`, and waits
/// until they have gone. Returns who was there. New ones may come at once.
///
/// # Errors
/// `database_failed` where one may not be ended, or does not go.
pub async fn end_sessions(target: &Target, name: &str) -> Result<Vec<Session>> {
    let connection = maintenance::connect(target, &[name]).await?;
    let sessions = list(&connection, name).await?;
    for session in &sessions {
        let end = "SELECT pg_terminate_backend($1)";
        connection.rows(ATTEMPTED, end, &[&session.pid]).await?;
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = list(&connection, name).await?;
        let Some(stays) = left.iter().find(|one| sessions.contains(one)) else {
            return Ok(sessions);
        };
        if tokio::time::Instant::now() > deadline {
            return Err(Error::new(Code::DatabaseFailed, ATTEMPTED, target.component())
                .cause(format!("{stays} does not go")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn list(connection: &Connection, name: &str) -> Result<Vec<Session>> {
    let sql = "SELECT pid, coalesce(application_name, ''), coalesce(usename::text, ''), \
                      host(client_addr) \
               FROM pg_stat_activity \
               WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type = 'client backend' \
               ORDER BY pid";
    let session = |row: &tokio_postgres::Row| Session {
        pid: row.get(0),
        application: row.get(1),
        user: row.get(2),
        address: row.get(3),
    };
    Ok(connection.rows(ATTEMPTED, sql, &[&name]).await?.iter().map(session).collect())
}
