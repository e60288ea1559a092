//! The threads on which requests to stores run.
//!
//! A runtime of our own, so that storage can be used from any blocking thread, those of
//! tokio's pool included, whatever runtime the operation around it has, or none.

use crate::error::{Code, Error, Result};
use std::sync::{LazyLock, Once};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

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
    let runtime = runtime()?;
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
    let failed = |e| Error::new(Code::Io, "start", "the threads that speak to stores").cause(e);
    RUNTIME.as_ref().map_err(failed)
}
