//! Encrypts a stream, such as what `pg_dump` writes.

use super::Recipients;
use age::stream::StreamWriter;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// How much is encrypted at a time.
const PIECE: usize = 64 << 10;

/// A stream whose bytes are encrypted, or left as they are where there is no recipient.
/// Shutting it down ends the encryption; what is only dropped cannot be read again.
pub struct SealingStream<W> {
    output: W,
    form: Form,
    /// Encrypted bytes that `output` has not taken yet.
    waiting: Drain,
    taken: usize,
}

enum Form {
    Plain,
    Sealed(Box<StreamWriter<Drain>>),
    Ended,
}

impl<W: AsyncWrite + Unpin> SealingStream<W> {
    pub(super) fn new(recipients: &Recipients, output: W) -> io::Result<Self> {
        let waiting = Drain::default();
        let form = match recipients.are_there() {
            true => Form::Sealed(Box::new(recipients.encrypt(waiting.clone())?)),
            false => Form::Plain,
        };
        Ok(Self { output, form, waiting, taken: 0 })
    }

    /// Hands over what is encrypted already.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waiting = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        while self.taken < waiting.len() {
            let output = Pin::new(&mut self.output);
            match ready!(output.poll_write(context, &waiting[self.taken..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.taken += count,
            }
        }
        waiting.clear();
        self.taken = 0;
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for SealingStream<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        let this = &mut *self;
        match &mut this.form {
            Form::Sealed(sealing) => Poll::Ready(sealing.write(&bytes[..bytes.len().min(PIECE)])),
            Form::Plain => Pin::new(&mut this.output).poll_write(context, bytes),
            Form::Ended => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.output).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Form::Sealed(sealing) = std::mem::replace(&mut self.form, Form::Ended) {
            sealing.finish()?;
        }
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.output).poll_shutdown(context)
    }
}

/// Where encrypted bytes wait.
#[derive(Clone, Default)]
struct Drain(Arc<Mutex<Vec<u8>>>);

impl Write for Drain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
