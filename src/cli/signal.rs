//! SIGINT and SIGTERM: the running operation is cancelled, undoes itself and ends.

use crate::error::{Code, Error, Result};
use std::future::Future;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs `operation` until it ends or a signal arrives. The signal sets `cancel`, which
/// the operation watches; it is then given the time it needs to undo itself.
pub(super) async fn until_interrupted<T>(
    cancel: &CancellationToken,
    operation: impl Future<Output = Result<T>>,
) -> Result<T> {
    let listen =
        |kind| signal(kind).map_err(|e| Error::new(Code::Io, "listen for", "signals").source(e));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::pin!(operation);
    loop {
        tokio::select! {
            ended = &mut operation => return ended,
            _ = interrupt.recv() => cancel.cancel(),
            _ = terminate.recv() => cancel.cancel(),
            _ = hangup.recv() => cancel.cancel(),
        }
    }
}
