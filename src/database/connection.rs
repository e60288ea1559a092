//! One open connection.

use super::failure;
use super::target::{SslMode, Target};
use super::tls;
use crate::error::{Code, Error, Result};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, SimpleQueryMessage, SimpleQueryRow, config};

/// How long a connection, its TLS handshake and login included, may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// What the server's own lists show as the name of our sessions.
pub(super) const APPLICATION: &str = "backstop";

/// What the server said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The version as people write it, e.g. `15.18`.
    pub version: String,
    /// The major version, e.g. 15.
    pub major: u32,
    /// Whether it is a standby that replays another server's WAL.
    pub standby: bool,
    /// The port it listens on, as it sees it: inside its container, where it has one.
    pub port: u16,
}

/// One open connection. Dropping it ends the session, and with it an open transaction.
pub struct Connection {
    client: Client,
    subject: String,
    pid: i32,
    server: Server,
}

impl Connection {
    /// Connects to `target`: within 10 seconds, with TCP keepalives, without any server-side
    /// time limit for statements, locks or idle transactions.
    pub async fn open(target: &Target) -> Result<Self> {
        let client = match timeout(CONNECT_LIMIT, dial(target, target.ssl_mode)).await {
            Err(_) => return Err(failure::timed_out(target)),
            Ok(Err(Refused::Before(error))) => return Err(error),
            // libpq's `prefer` falls back to a connection without TLS.
            Ok(Err(Refused::ByServer(error)))
                if target.ssl_mode == SslMode::Prefer && may_work_without_tls(&error) =>
            {
                let plain = timeout(CONNECT_LIMIT, dial(target, SslMode::Disable)).await;
                match plain {
                    Ok(Ok(client)) => client,
                    _ => return Err(failure::connection(target, &error)),
                }
            }
            Ok(Err(Refused::ByServer(error))) => {
                return Err(failure::connection(target, &error));
            }
            Ok(Ok(client)) => client,
        };
        Self::greet(client, target.component().to_owned()).await
    }

    async fn greet(client: Client, subject: String) -> Result<Self> {
        const GREETING: &str = "\
            SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ( \
              'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', \
              'idle_session_timeout', 'transaction_timeout')";
        const QUESTIONS: &str = "\
            SELECT current_setting('server_version'), \
                   current_setting('server_version_num')::int4, \
                   pg_is_in_recovery(), pg_backend_pid(), current_setting('port')::int4";
        let said = |error| failure::statement("prepare the session of database", &subject, &error);
        client.batch_execute(GREETING).await.map_err(said)?;
        let row = client.query_one(QUESTIONS, &[]).await.map_err(said)?;
        let number: i32 = row.get(1);
        let version: String = row.get(0);
        let server = Server {
            // Distributions append their own: `15.18 (Debian 15.18-0+deb12u1)`.
            version: version.split(' ').next().unwrap_or_default().to_owned(),
            major: u32::try_from(number / 10_000).unwrap_or_default(),
            standby: row.get(2),
            port: u16::try_from(row.get::<_, i32>(4)).unwrap_or(5432),
        };
        let pid = row.get(3);
        Ok(Self { client, subject, pid, server })
    }

    /// What the server said about itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The process id of the session on the server.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// The session itself, for what has a file of its own.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The component that errors name.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// Runs statements, their results left aside. `attempted` is a verb phrase that ends
    /// before the database's name.
    pub(super) async fn run(&self, attempted: &str, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| self.failed(attempted, &e))
    }

    /// Runs one statement; a refusal is handed on as PostgreSQL made it.
    pub(super) async fn attempt(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await
    }

    /// The rows of one query.
    pub(super) async fn rows(
        &self,
        attempted: &str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        self.client.query(sql, parameters).await.map_err(|e| self.failed(attempted, &e))
    }

    /// The only row of one query.
    pub(super) async fn row(
        &self,
        attempted: &str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row> {
        self.client.query_one(sql, parameters).await.map_err(|e| self.failed(attempted, &e))
    }

    /// The rows of several statements, as text, in one round trip.
    pub(super) async fn texts(&self, attempted: &str, sql: &str) -> Result<Vec<SimpleQueryRow>> {
        let messages =
            self.client.simple_query(sql).await.map_err(|e| self.failed(attempted, &e))?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// Everything that several statements say, as text.
    pub(super) async fn messages(
        &self,
        attempted: &str,
        sql: &str,
    ) -> Result<Vec<SimpleQueryMessage>> {
        self.client.simple_query(sql).await.map_err(|e| self.failed(attempted, &e))
    }

    /// A failure of a statement on this connection.
    pub(super) fn failed(&self, attempted: &str, error: &tokio_postgres::Error) -> Error {
        failure::statement(attempted, &self.subject, error)
    }

    /// An answer that PostgreSQL never gives.
    pub(super) fn unexpected(&self, attempted: &str, what: &str) -> Error {
        Error::new(Code::DatabaseFailed, attempted, &self.subject)
            .cause(format!("unexpected answer: {what}"))
    }
}

enum Refused {
    Before(Error),
    ByServer(tokio_postgres::Error),
}

fn may_work_without_tls(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // "no pg_hba.conf entry for …, SSL on": there may be one without.
        Some(state) => *state == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => failure::text(error).contains("TLS"),
    }
}

async fn dial(target: &Target, mode: SslMode) -> Result<Client, Refused> {
    let connector = tls::connector(target).map_err(Refused::Before)?;
    let mut config = Config::new();
    config
        .host(&target.host)
        .port(target.port)
        .user(&target.user)
        .dbname(&target.database)
        .application_name(APPLICATION)
        .connect_timeout(CONNECT_LIMIT)
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .ssl_mode(match mode {
            // PostgreSQL speaks no TLS on Unix sockets.
            _ if target.is_socket() => config::SslMode::Disable,
            SslMode::Disable => config::SslMode::Disable,
            SslMode::Prefer => config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => config::SslMode::Require,
        });
    if let Some(address) = target.address {
        config.hostaddr(address);
    }
    if let Some(password) = &target.password {
        config.password(password.reveal());
    }
    let (client, connection) = config.connect(connector).await.map_err(Refused::ByServer)?;
    // It ends by itself when the client is dropped; what ended it shows at the next statement.
    tokio::spawn(connection);
    Ok(client)
}
