//! The HTTP service.

use crate::audit::Audit;
use crate::directory::{Content, Directory};
use crate::name::Name;
use crate::table::Table;
use crate::termination::Termination;
use crate::{Failure, explained};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// The largest upload, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

/// How long the body of an upload may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The table, the directory and how far apart an upload reaches them.
pub(crate) struct Service {
    pub(crate) table: Table,
    pub(crate) directory: Directory,
    /// The pause between an upload's file and its row.
    pub(crate) pause: Duration,
}

/// What the handlers share. Each upload holds a copy of `running` until it has ended.
#[derive(Clone)]
struct Shared {
    service: Arc<Service>,
    running: mpsc::Sender<()>,
}

impl Service {
    /// Answers requests until SIGTERM or SIGINT, then stops accepting and returns when
    /// every upload that began has ended.
    pub(crate) async fn run(self, address: SocketAddr) -> Result<(), Failure> {
        let mut termination = Termination::listen()?;
        let (running, mut ended) = mpsc::channel(1);
        let shared = Shared { service: Arc::new(self), running };
        let router = Router::new()
            .route("/health", get(health))
            .route("/audit", get(audit))
            .route("/uploads/{name}", post(upload).get(download))
            .layer(DefaultBodyLimit::max(LARGEST))
            .with_state(shared);
        let listener = TcpListener::bind(address).await?;
        eprintln!("shop: listening on {}", listener.local_addr()?);
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { termination.requested().await })
            .await?;
        // The router and with it the last idle sender are gone by now. An upload whose
        // client hung up has no connection any more, but may still be under way.
        while ended.recv().await.is_some() {}
        eprintln!("shop: stopped, nothing left under way");
        Ok(())
    }

    /// The two effects of an upload, one after the other.
    async fn store(self: Arc<Self>, name: Name, bytes: Bytes) -> Response {
        let stored = {
            let (directory, name) = (self.directory.clone(), name.clone());
            blocking(move || directory.store(&name, &bytes)).await
        };
        let content = match stored {
            Ok(content) => content,
            Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {
                return (StatusCode::CONFLICT, "the name is taken").into_response();
            }
            Err(error) => return unavailable(error),
        };
        sleep(self.pause).await;
        match self.table.insert(&name, &content).await {
            Ok(()) => created(&name, &content),
            Err(error) => {
                let directory = self.directory.clone();
                if let Err(left) = blocking(move || directory.remove(&name)).await {
                    eprintln!("shop: a file without row is left: {left}");
                }
                unavailable(error)
            }
        }
    }
}

async fn upload(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: axum::body::Body,
) -> Response {
    let Some(name) = Name::new(&name) else {
        return (StatusCode::BAD_REQUEST, "use letters, digits, dot, dash, underscore")
            .into_response();
    };
    let bytes = match timeout(BODY_DEADLINE, axum::body::to_bytes(body, LARGEST)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    // A task of its own: when the client hangs up, this handler is dropped half-way, and
    // the upload must not be.
    let task = tokio::spawn(async move {
        let response = shared.service.store(name, bytes).await;
        drop(shared.running);
        response
    });
    task.await.unwrap_or_else(unavailable)
}

async fn download(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let Some(name) = Name::new(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let directory = shared.service.directory.clone();
    match blocking(move || directory.read(&name)).await {
        Ok(bytes) => bytes.into_response(),
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
            StatusCode::NOT_FOUND.into_response()
        }
        Err(error) => unavailable(error),
    }
}

async fn health(State(shared): State<Shared>) -> Response {
    let directory = shared.service.directory.clone();
    let (table, files) =
        tokio::join!(shared.service.table.check(), blocking(move || directory.check()));
    let works = table.is_ok() && files.is_ok();
    let says = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".into());
    let body = Json(json!({
        "database": says(table.map_err(|e| explained(e.as_ref()))),
        "uploads": says(files.map_err(|e| e.to_string())),
    }));
    let status = if works { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, body).into_response()
}

/// An upload that is under way meanwhile shows as a file without row.
async fn audit(State(shared): State<Shared>) -> Response {
    let directory = shared.service.directory.clone();
    let rows = match shared.service.table.rows().await {
        Ok(rows) => rows,
        Err(error) => return unavailable(error),
    };
    match blocking(move || directory.files()).await {
        Ok(files) => Json(Audit::new(&rows, &files)).into_response(),
        Err(error) => unavailable(error),
    }
}

fn created(name: &Name, content: &Content) -> Response {
    let body = json!({ "name": name.as_str(), "size": content.size, "sha256": content.sha256 });
    (StatusCode::CREATED, Json(body)).into_response()
}

fn unavailable(error: impl std::error::Error) -> Response {
    let text = explained(&error);
    eprintln!("shop: {text}");
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await?
}
