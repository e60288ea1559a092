//! Where client programs run: on this host, or inside the server's container.

use super::command::ToolCommand;
use crate::error::Result;
use std::future::Future;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};

/// How many bytes of a program's standard error are kept: the last ones.
pub(super) const STDERR_TAIL: usize = 8 * 1024;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exited {
    /// The exit code; 128 plus the signal's number for one that was killed.
    pub code: i32,
    /// The end of what it wrote on standard error, at most 8 KiB.
    pub stderr: String,
}

/// A program that is being run.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Exited>> + Send + 'a>>;

/// Runs client programs.
pub trait Exec: Send + Sync {
    /// Runs `command` to its end: feeds it `stdin` (nothing where there is none) and writes
    /// its standard output to `stdout`, which is neither flushed nor shut down.
    ///
    /// A program that fails is no error here, its exit code tells; an error is a program
    /// that could not be run, an input that could not be read or an output that could not
    /// be written. Dropping the future ends the program.
    fn run<'a>(
        &'a self,
        command: &'a ToolCommand,
        stdin: Option<&'a mut (dyn AsyncRead + Send + Unpin)>,
        stdout: &'a mut (dyn AsyncWrite + Send + Unpin),
    ) -> Running<'a>;
}
