//! SIGINT, SIGTERM and SIGHUP: the running operation is cancelled, undoes itself and ends.
//! SIGTSTP, SIGTTIN and SIGTTOU do nothing: a stopped backstop would leave what it holds held.

use crate::error::{Code, Error, Result};
use crate::storage;
use rustix::process::Signal;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Set once an operation was begun that undoes itself: signals belong to the process, so it
/// listens once.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// As long as no operation listens, SIGINT and SIGTERM end the process at once, but for
/// connections to stores, some of which would outlive it.
pub(super) fn end_connections_first() -> Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut arriving = listener(kind)?;
        tokio::spawn(async move {
            if arriving.recv().await.is_some() && !LISTENING.load(Ordering::Relaxed) {
                storage::close();
                std::process::exit(Code::Interrupted.exit().into());
            }
        });
    }
    Ok(())
}

/// Runs `operation`, which watches `cancel`. A signal sets that, and the operation is then
/// given the time it needs to undo itself.
///
/// From the first call on every signal counts, also between two operations and while a
/// question is asked: the process never gets its deadly defaults back.
pub(super) async fn until_interrupted<T>(
    cancel: &CancellationToken,
    operation: impl Future<Output = Result<T>>,
) -> Result<T> {
    listen(cancel)?;
    operation.await
}

fn listen(cancel: &CancellationToken) -> Result<()> {
    if LISTENING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut arriving = listener(kind)?;
        let cancel = cancel.clone();
        tokio::spawn(async move {
            if arriving.recv().await.is_some() {
                cancel.cancel();
            }
        });
    }
    for ignored in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
        // Listening takes the place of the default, which is to stop the process.
        drop(listener(SignalKind::from_raw(ignored.as_raw()))?);
    }
    Ok(())
}

fn listener(kind: SignalKind) -> Result<Signals> {
    signal(kind).map_err(|e| Error::new(Code::Io, "listen for", "signals").source(e))
}
