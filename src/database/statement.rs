//! Statements that a person wrote, and whether a transaction took effect.

use super::connection::Connection;
use crate::error::{Code, Result};
use std::time::Duration;
use tokio_postgres::SimpleQueryMessage;

/// A session by its process and when that was started.
const SESSION: &str = "concat(pid, ' ', extract(epoch FROM backend_start))";
/// How many rows are kept of an answer.
const MAX_ROWS: usize = 10_000;

/// What the last statement returned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Its rows as text, at most 10000; none for NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows it returned or changed.
    pub count: u64,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Committed,
    /// It did not and never will.
    RolledBack,
    /// It has not ended.
    Running,
    /// It is too old for the server to know.
    Forgotten,
}

/// An open transaction whose id is known. Dropping its connection rolls it back.
pub struct Transaction<'a> {
    connection: &'a Connection,
    id: String,
}

impl Connection {
    /// Runs statements; returns what the last one did.
    pub async fn ask(&self, sql: &str) -> Result<Answer> {
        let messages = self.messages("run statements in database", sql).await?;
        let mut answer = Answer::default();
        let mut rows = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    answer.columns = columns.iter().map(|it| it.name().to_owned()).collect();
                    rows.clear();
                }
                SimpleQueryMessage::Row(row) if rows.len() < MAX_ROWS => {
                    let cells = (0..row.len()).map(|cell| row.get(cell).map(str::to_owned));
                    rows.push(cells.collect());
                }
                SimpleQueryMessage::CommandComplete(count) => {
                    answer.count = count;
                    answer.rows = std::mem::take(&mut rows);
                }
                _ => {}
            }
        }
        Ok(answer)
    }

    /// As [`ask`](Self::ask), in a transaction that may change nothing.
    pub async fn ask_read_only(&self, sql: &str) -> Result<Answer> {
        const ATTEMPTED: &str = "ask database";
        self.run(ATTEMPTED, "BEGIN READ ONLY").await?;
        let answer = self.ask(sql).await;
        self.run(ATTEMPTED, "ROLLBACK").await?;
        answer
    }

    /// Begins a transaction whose id is known before its first statement.
    pub async fn begin(&self) -> Result<Transaction<'_>> {
        self.run("begin a transaction in database", "BEGIN").await?;
        let id = self.transaction_id().await?;
        Ok(Transaction { connection: self, id })
    }

    async fn transaction_id(&self) -> Result<String> {
        let row = self.row("begin a transaction in database", "SELECT txid_current()::text", &[]);
        Ok(row.await?.get(0))
    }

    /// What became of the transaction of this id, also of one of a dead session.
    ///
    /// Source: PostgreSQL manual, "Transaction ID and Snapshot Information Functions".
    pub async fn outcome(&self, id: &str) -> Result<Outcome> {
        const ASK: &str = "SELECT txid_status($1::text::bigint)";
        let row = self.row("ask for the outcome of a transaction in database", ASK, &[&id]).await?;
        Ok(match row.get::<_, Option<&str>>(0) {
            Some("committed") => Outcome::Committed,
            Some("aborted") => Outcome::RolledBack,
            Some(_) => Outcome::Running,
            None => Outcome::Forgotten,
        })
    }

    /// What this session is called on the server, and no other ever.
    pub async fn session(&self) -> Result<String> {
        let ask = format!("SELECT {SESSION} FROM pg_stat_activity WHERE pid = pg_backend_pid()");
        Ok(self.row("look at the session of database", &ask, &[]).await?.get(0))
    }

    /// Lets the server end this session's statements soon after their client has died, which it
    /// would only notice when they are done.
    ///
    /// Source: PostgreSQL manual, `client_connection_check_interval`, since version 14.
    pub async fn end_with_its_client(&self) -> Result<()> {
        const SET: &str = "SELECT set_config(name, '1s', false) FROM pg_settings \
            WHERE name = 'client_connection_check_interval'";
        match self.run("prepare the session of database", SET).await {
            // A server on a system that cannot tell refuses it.
            Err(e) if e.code() == Code::DatabaseFailed => Ok(()),
            done => done,
        }
    }

    /// Ends another session, and returns when it is gone.
    ///
    /// # Errors
    /// `database_failed` where it does not end within ten seconds.
    pub async fn end_session(&self, session: &str) -> Result<()> {
        const ATTEMPTED: &str = "end a session of database";
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE {SESSION} = $1 AND pid <> pg_backend_pid()"
        );
        for _ in 0..200 {
            if self.rows(ATTEMPTED, &end, &[&session]).await?.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(self.unexpected(ATTEMPTED, "it does not end"))
    }
}

impl Transaction<'_> {
    /// Its id, with the epoch.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Runs statements in it.
    ///
    /// # Errors
    /// `database_failed`, also where they end the transaction themselves.
    pub async fn ask(&self, sql: &str) -> Result<Answer> {
        let answer = self.connection.ask(sql).await?;
        match self.connection.transaction_id().await? == self.id {
            true => Ok(answer),
            false => {
                let what = "the statements end the transaction themselves";
                Err(self.connection.unexpected("run statements in database", what))
            }
        }
    }

    /// Makes it take effect.
    pub async fn commit(self) -> Result<()> {
        self.connection.run("commit a transaction in database", "COMMIT").await
    }
}
