//! The threads on which requests to stores run.
//!
//! A runtime of our own, so that storage can be used from any blocking thread, those of
//! tokio's pool included, whatever runtime the operation around it has, or none.
//!
//! A store behind SSH has one for itself. Each of its connections is a process that `ssh` puts
//! into the background, where it stays until it is told to end; the task that belongs to a
//! connection tells it so when it is dropped, and ending the runtime drops all of them.

use crate::error::{Code, Error, Result};
use std::sync::{Condvar, LazyLock, Mutex, Once, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(2).thread_name("backstop-store").enable_all().build()
});

/// Installs what all requests share: TLS by ring, and HTTP by reqwest.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Fails where the process has a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        opendal_http_transport_reqwest::install_default();
    });
}

/// How long a request may take that moves `bytes`: a minute, and what a line of 2 Mbit/s needs.
pub(super) fn patience(bytes: usize) -> Duration {
    const SLOWEST: u64 = 256 << 10;
    Duration::from_secs(60 + bytes as u64 / SLOWEST)
}

/// Begins `work` on the threads of the stores.
pub(super) fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<JoinHandle<T>> {
    Ok(runtime()?.spawn(work))
}

/// Waits for `work` on this thread; none where it takes longer than `patience`.
///
/// Also where a value is dropped on an async thread, and what it had sent has to be removed.
pub(super) fn wait<T: Send>(
    patience: Duration,
    work: impl Future<Output = T> + Send,
) -> Result<Option<T>> {
    wait_on(runtime()?, patience, work)
}

fn wait_on<T: Send>(
    runtime: &Runtime,
    patience: Duration,
    work: impl Future<Output = T> + Send,
) -> Result<Option<T>> {
    let work = async { tokio::time::timeout(patience, work).await.ok() };
    if Handle::try_current().is_err() {
        return Ok(runtime.block_on(work));
    }
    // A thread of another runtime may not wait for ours by itself.
    let waited = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join());
    waited
        .map_err(|_| Error::new(Code::Io, "wait for", "a request to a store").cause("it panicked"))
}

fn runtime() -> Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(not_started)
}

fn not_started(cause: impl ToString) -> Error {
    Error::new(Code::Io, "start", "the threads that speak to stores").cause(cause.to_string())
}

/// Where the requests to one store run.
#[derive(Debug)]
pub(super) enum Threads {
    /// With those to all others.
    Shared,
    /// By themselves, since what runs there has to end with the store.
    Own(Own),
}

impl Threads {
    /// As [`wait`].
    pub(super) fn wait<T: Send>(
        &self,
        patience: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Result<Option<T>> {
        let Self::Own(Own { runtime: Some(runtime) }) = self else { return wait(patience, work) };
        let until_closed = async {
            tokio::select! {
                () = CLOSING.cancelled() => None,
                done = work => Some(done),
            }
        };
        match wait_on(runtime, patience, until_closed)? {
            Some(None) => Err(Error::new(Code::Interrupted, "speak to", "a store")),
            done => Ok(done.flatten()),
        }
    }
}

/// How many runtimes of single stores there are, and a word when there is one less.
static OPEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Set when the process is about to end.
static CLOSING: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

/// How long is waited for connections to end.
const ENDING: Duration = Duration::from_secs(10);

/// The runtime of a single store; dropped, it ends what runs there, connections included.
#[derive(Debug)]
pub(super) struct Own {
    runtime: Option<Runtime>,
}

impl Own {
    pub(super) fn start() -> Result<Self> {
        // One thread only: when it sees that it has to end, nothing goes on beside it.
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(1).thread_name("backstop-ssh").enable_all();
        let runtime = builder.build().map_err(not_started)?;
        *OPEN.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Ok(Self { runtime: Some(runtime) })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // An async thread may not wait for that by itself.
            std::thread::scope(|scope| {
                scope.spawn(|| runtime.shutdown_timeout(ENDING));
            });
        }
        *OPEN.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        OPEN.1.notify_all();
    }
}

/// Ends the connections of stores that are still used somewhere, for a process that ends: their
/// requests fail from now on.
pub(in crate::storage) fn close() {
    CLOSING.cancel();
    let open = OPEN.0.lock().unwrap_or_else(PoisonError::into_inner);
    drop(OPEN.1.wait_timeout_while(open, ENDING, |open| *open > 0));
}
