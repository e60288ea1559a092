//! Streams that count what passes through them, and remember what went wrong.

use crate::progress::{Event, Progress};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes between two reports.
const REPORT_EVERY: u64 = 256 * 1024;

/// Tells the progress of one task in steps that are worth telling.
pub(super) struct Meter {
    progress: Arc<dyn Progress>,
    task: String,
    total: u64,
    told: u64,
}

impl Meter {
    /// Tells that `task` begins.
    pub(super) fn start(progress: &Arc<dyn Progress>, task: String, total: Option<u64>) -> Self {
        progress.report(Event::Started { task: task.clone(), total_bytes: total });
        Self { progress: Arc::clone(progress), task, total: 0, told: 0 }
    }

    /// So many bytes more.
    pub(super) fn add(&mut self, bytes: u64) {
        self.total += bytes;
        if self.total - self.told >= REPORT_EVERY {
            self.tell();
        }
    }

    /// So many bytes by now.
    pub(super) fn set(&mut self, total: u64) {
        self.add(total.saturating_sub(self.total));
    }

    fn tell(&mut self) {
        let bytes = self.total - self.told;
        if bytes > 0 {
            self.progress.report(Event::Advanced { task: self.task.clone(), bytes });
            self.told = self.total;
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.tell();
        self.progress.report(Event::Finished { task: self.task.clone() });
    }
}

/// A reader that counts its bytes and remembers why reading failed, which tells a damaged
/// source from a program that did not want its input.
pub(super) struct Noted<'a, S> {
    stream: S,
    meter: Option<&'a mut Meter>,
    failure: Option<String>,
}

impl<'a, S> Noted<'a, S> {
    pub(super) fn new(stream: S, meter: Option<&'a mut Meter>) -> Self {
        Self { stream, meter, failure: None }
    }

    /// Why reading failed, if it did.
    pub(super) fn failure(self) -> Option<String> {
        self.failure
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if let Err(error) = &read {
            self.failure = Some(error.to_string());
        }
        let bytes = (buffer.filled().len() - before) as u64;
        if let Some(meter) = &mut self.meter {
            meter.add(bytes);
        }
        Poll::Ready(read)
    }
}

/// Swallows bytes and counts them.
#[derive(Default)]
pub(super) struct Count(pub(super) u64);

impl AsyncWrite for Count {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0 += bytes.len() as u64;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A writer whose bytes a [`Meter`] counts.
pub(super) struct Metered<'a, S> {
    stream: S,
    meter: &'a mut Meter,
}

impl<'a, S> Metered<'a, S> {
    pub(super) fn new(stream: S, meter: &'a mut Meter) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.meter.add(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
