//! Encrypts what is written through it.

use age::stream::StreamWriter;
use std::io::{self, Write};

/// An output whose bytes are encrypted, or left as they are where there is no recipient. It
/// must be finished: what is only dropped cannot be read again.
pub struct Sealing<W: Write>(Form<W>);

enum Form<W: Write> {
    Plain(W),
    Sealed(Box<StreamWriter<W>>),
}

impl<W: Write> Sealing<W> {
    pub(super) fn plain(output: W) -> Self {
        Self(Form::Plain(output))
    }

    pub(super) fn sealed(output: StreamWriter<W>) -> Self {
        Self(Form::Sealed(Box::new(output)))
    }

    /// Writes what ends the encryption, and gives the output back.
    ///
    /// # Errors
    /// Of writing the last chunk.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Form::Plain(output) => Ok(output),
            Form::Sealed(output) => output.finish(),
        }
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Form::Plain(output) => output.write(bytes),
            Form::Sealed(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Form::Plain(output) => output.flush(),
            Form::Sealed(output) => output.flush(),
        }
    }
}
