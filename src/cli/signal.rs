//! SIGINT, SIGTERM and SIGHUP: the running operation is cancelled, undoes itself and ends.
//! SIGTSTP, SIGTTIN and SIGTTOU do nothing: a stopped backstop would leave what it holds held.

use crate::error::{Code, Error, Result};
use rustix::process::Signal;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
    // Signals belong to the process, so it listens once.
    static LISTENING: AtomicBool = AtomicBool::new(false);
    if LISTENING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut arriving =
            signal(kind).map_err(|e| Error::new(Code::Io, "listen for", "signals").source(e))?;
        let cancel = cancel.clone();
        tokio::spawn(async move {
            if arriving.recv().await.is_some() {
                cancel.cancel();
            }
        });
    }
    for ignored in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
        // Listening takes the place of the default, which is to stop the process.
        let listening = signal(SignalKind::from_raw(ignored.as_raw()));
        drop(listening.map_err(|e| Error::new(Code::Io, "listen for", "signals").source(e))?);
    }
    Ok(())
}
