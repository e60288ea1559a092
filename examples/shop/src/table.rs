//! The table of the uploads.

use crate::Failure;
use crate::directory::Content;
use crate::name::Name;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS uploads (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL UNIQUE,
    size       bigint      NOT NULL,
    sha256     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
)";

/// How long an upload waits for a database that went away.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a health check waits for an answer.
const PROMPT: Duration = Duration::from_secs(2);

const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);

/// The table `uploads` on a connection that is opened again whenever it breaks.
pub(crate) struct Table {
    config: Config,
    client: Mutex<Option<Arc<Client>>>,
}

impl Table {
    /// Reads the connection string; connects later.
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        let mut config: Config = url.parse()?;
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        config.application_name("shop").connect_timeout(PROMPT);
        Ok(Self { config, client: Mutex::new(None) })
    }

    /// Whether the database answers at once.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        let asked =
            async { self.client().await?.simple_query("SELECT FROM uploads LIMIT 1").await };
        timeout(PROMPT, asked).await.map_err(|_| "the database does not answer")??;
        Ok(())
    }

    /// Inserts a row, waiting for the database if it went away. Safe to repeat: a row
    /// that an unanswered attempt left is taken as this one.
    pub(crate) async fn insert(&self, name: &Name, content: &Content) -> Result<(), Error> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let error = match self.try_insert(name, content).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !passes(&error) || Instant::now() > give_up {
                return Err(error);
            }
            sleep(BETWEEN_ATTEMPTS).await;
        }
    }

    /// Every row: its name with the content that it promises.
    pub(crate) async fn rows(&self) -> Result<BTreeMap<String, Content>, Error> {
        rows(self.client().await?.as_ref()).await
    }

    /// Every row, on a connection of its own that changes nothing.
    pub(crate) async fn read_only(&self) -> Result<BTreeMap<String, Content>, Error> {
        rows(&self.connect().await?).await
    }

    async fn try_insert(&self, name: &Name, content: &Content) -> Result<(), Error> {
        let size = i64::try_from(content.size).unwrap_or(i64::MAX);
        self.client()
            .await?
            .execute(
                "INSERT INTO uploads (name, size, sha256) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET size = excluded.size, sha256 = excluded.sha256",
                &[&name.as_str(), &size, &content.sha256],
            )
            .await?;
        Ok(())
    }

    /// The open connection, or a new one with the table made sure of.
    async fn client(&self) -> Result<Arc<Client>, Error> {
        let mut slot = self.client.lock().await;
        if let Some(client) = slot.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.connect().await?);
        client.batch_execute(CREATE).await?;
        *slot = Some(client.clone());
        Ok(client)
    }

    async fn connect(&self) -> Result<Client, Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        // Its end shows as `is_closed` on the client.
        tokio::spawn(connection);
        Ok(client)
    }
}

async fn rows(client: &Client) -> Result<BTreeMap<String, Content>, Error> {
    let rows = client.query("SELECT name, size, sha256 FROM uploads", &[]).await?;
    rows.iter()
        .map(|row| {
            let size = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
            Ok((row.try_get(0)?, Content { size, sha256: row.try_get(2)? }))
        })
        .collect()
}

/// Whether waiting may help: the connection broke, or the server is starting, stopping
/// or short of connections (classes 08, 53 and 57), or the database is being replaced.
fn passes(error: &Error) -> bool {
    error.code().is_none_or(|state| {
        ["08", "53", "57"].iter().any(|class| state.code().starts_with(class))
            || *state == SqlState::INVALID_CATALOG_NAME
    })
}
