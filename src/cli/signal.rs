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
    until_interrupted_or(cancel, |_| false, operation).await
}

/// The same, but for signals that `taken` takes for itself, as for a program that runs.
pub(super) async fn until_interrupted_or<T>(
    cancel: &CancellationToken,
    taken: impl Fn(Signal) -> bool + Clone + Send + 'static,
    operation: impl Future<Output = Result<T>>,
) -> Result<T> {
    listen(cancel, taken)?;
    operation.await
}

fn listen(
    cancel: &CancellationToken,
    taken: impl Fn(Signal) -> bool + Clone + Send + 'static,
) -> Result<()> {
    if LISTENING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut arriving = listener(SignalKind::from_raw(signal.as_raw()))?;
        let (cancel, taken) = (cancel.clone(), taken.clone());
        tokio::spawn(async move {
            while arriving.recv().await.is_some() {
                if !taken(signal) {
                    cancel.cancel();
                }
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
