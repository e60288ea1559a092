//! Putting a restored database in the place of the live one, and back.
//!
//! All renames happen in one transaction, so that at any moment, also after a crash, either
//! the old or the new database bears the live name. Sessions are ended while the rename waits
//! for them: it holds the lock that keeps new ones out, and nothing has to be set back if
//! backstop dies there.

use super::connection::Connection;
use super::maintenance;
use super::quote::quote_identifier;
use super::target::Target;
use crate::error::{Code, Error, Result};
use std::time::Duration;

const ATTEMPTED: &str = "swap database";

/// How often the rename is tried. PostgreSQL itself waits 5 seconds for sessions each time.
const TRIES: u32 = 2;

/// How long a rename waits for a lock that somebody else holds, such as a transaction that
/// comments on the database from another one. The application is held meanwhile.
const LOCK_TIMEOUT: &str = "10s";

/// How often sessions that are still there are ended again.
const END_EVERY: Duration = Duration::from_millis(100);

/// What a swap did, for the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// The live name.
    pub live: String,
    /// The name of the database that was live before; none where there was none.
    pub aside: Option<String>,
}

/// Renames the database `live` to `aside` and `scratch` to `live`. Where there is no `live`,
/// since it was destroyed, only the second rename happens. Running sessions in all of them
/// are ended.
pub async fn swap(target: &Target, live: &str, scratch: &str, aside: &str) -> Result<Swapped> {
    let connection = maintenance::take_over(target, &[live, scratch, aside], scratch).await?;
    let was_there = exists(&connection, live).await?;
    let mut renames = vec![(scratch, live)];
    if was_there {
        renames.insert(0, (live, aside));
    }
    rename(target, &connection, &renames).await?;
    Ok(Swapped { live: live.to_owned(), aside: was_there.then(|| aside.to_owned()) })
}

/// Undoes a swap: the live database gets the name `discarded`, and the one that was set
/// aside, if any, is live again.
pub async fn swap_back(target: &Target, swapped: &Swapped, discarded: &str) -> Result<()> {
    let live = swapped.live.as_str();
    let aside = swapped.aside.as_deref();
    let busy = [live, discarded, aside.unwrap_or(live)];
    let connection = maintenance::take_over(target, &busy, discarded).await?;
    let mut renames = Vec::new();
    if exists(&connection, live).await? {
        renames.push((live, discarded));
    }
    renames.extend(aside.map(|aside| (aside, live)));
    rename(target, &connection, &renames).await
}

/// Makes sure that no swap of `live` and `scratch` whose backstop died is still under way: it
/// has happened, or it has not.
pub async fn settle(target: &Target, live: &str, scratch: &str, aside: &str) -> Result<()> {
    maintenance::take_over(target, &[live, scratch, aside], scratch).await.map(drop)
}

async fn exists(connection: &Connection, name: &str) -> Result<bool> {
    let sql = "SELECT FROM pg_database WHERE datname = $1";
    Ok(!connection.rows("look for database", sql, &[&name]).await?.is_empty())
}

async fn rename(target: &Target, connection: &Connection, renames: &[(&str, &str)]) -> Result<()> {
    let busy: Vec<&str> = renames.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let names: Vec<&str> = renames.iter().map(|(from, _)| *from).collect();
    let other = maintenance::connect(target, &busy).await?;
    let statements: Vec<String> = renames
        .iter()
        .map(|(from, to)| {
            let (from, to) = (quote_identifier(from), quote_identifier(to));
            format!("ALTER DATABASE {from} RENAME TO {to};")
        })
        .collect();
    let transaction = format!(
        "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; {} COMMIT",
        statements.join(" ")
    );
    let mut tries = 1;
    loop {
        end_sessions(&other, &names).await?;
        let attempt = connection.attempt(&transaction);
        tokio::pin!(attempt);
        let done = loop {
            tokio::select! {
                done = &mut attempt => break done,
                () = tokio::time::sleep(END_EVERY) => end_sessions(&other, &names).await?,
            }
        };
        let Err(error) = done else { return Ok(()) };
        connection.run(ATTEMPTED, "ROLLBACK").await?;
        if error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) {
            let failed = Error::new(Code::DatabaseFailed, ATTEMPTED, connection.subject());
            return Err(failed
                .cause(format!("another transaction has locked it: {}", lockers(&other).await?))
                .hint("end that transaction, then try again"));
        }
        let in_use = error.code() == Some(&tokio_postgres::error::SqlState::OBJECT_IN_USE);
        if !in_use {
            return Err(connection.failed(ATTEMPTED, &error));
        }
        if tries == TRIES {
            let failed = Error::new(Code::DatabaseFailed, ATTEMPTED, connection.subject());
            return Err(failed
                .cause(format!("still in use by {}", sessions(&other, &names).await?))
                .hint(
                    "stop the programs that are connected, or name their container in the config",
                ));
        }
        tries += 1;
    }
}

/// Ends every session in these databases that this user may end.
async fn end_sessions(connection: &Connection, names: &[&str]) -> Result<()> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = ANY($1)";
    for row in connection.rows(ATTEMPTED, sql, &[&names]).await? {
        let pid: i32 = row.get(0);
        match connection.attempt(&format!("SELECT pg_terminate_backend({pid})")).await {
            Ok(()) => {}
            // Those that may not be ended make the rename fail, which then names them.
            Err(error) if error.code().is_some() => {}
            Err(error) => return Err(connection.failed(ATTEMPTED, &error)),
        }
    }
    Ok(())
}

/// Whose transactions hold locks on databases as such, for people.
async fn lockers(connection: &Connection) -> Result<String> {
    let sql = "SELECT DISTINCT format('%s (pid %s, user %s)', a.application_name, a.pid, a.usename) \
               FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
               WHERE l.classid = 'pg_database'::regclass AND l.granted AND l.pid <> pg_backend_pid()";
    let rows = connection.rows(ATTEMPTED, sql, &[]).await?;
    let who: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(if who.is_empty() { "it has ended by now".to_owned() } else { who.join(", ") })
}

/// Who is connected, for people.
async fn sessions(connection: &Connection, names: &[&str]) -> Result<String> {
    let sql = "SELECT format('%s (pid %s, user %s)', application_name, pid, usename) \
               FROM pg_stat_activity WHERE datname = ANY($1)";
    let rows = connection.rows(ATTEMPTED, sql, &[&names]).await?;
    let who: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(if who.is_empty() { "a prepared transaction".to_owned() } else { who.join(", ") })
}
