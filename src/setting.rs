//! What every operation is given: the config, and how it reaches the person and the
//! process around it.

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The surroundings of one operation.
#[derive(Clone)]
pub struct Setting {
    /// The stack.
    pub config: Arc<Config>,
    /// The config file, recorded with the containers so that a new host can use it.
    pub config_file: Option<PathBuf>,
    /// The `backstop` program itself: the guardian and guarded children are started from it.
    pub executable: PathBuf,
    /// How long to wait for another backstop's lock.
    pub lock_wait: Duration,
    /// Who listens.
    pub progress: Arc<dyn Progress>,
    /// Set when the operation must end early and undo itself.
    pub cancel: CancellationToken,
}

impl Setting {
    /// Fails with `interrupted` once the operation was asked to end.
    pub fn check_interrupted(&self, attempted: &str) -> Result<()> {
        if self.cancel.is_cancelled() { Err(self.interrupted(attempted)) } else { Ok(()) }
    }

    fn interrupted(&self, attempted: &str) -> Error {
        Error::new(Code::Interrupted, attempted, &self.config.stack.name)
            .cause("a signal asked backstop to end")
    }

    /// Runs `work` until it ends or the operation is asked to end, whichever is first.
    /// The dropped work undoes itself.
    pub async fn unless_interrupted<T>(
        &self,
        attempted: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.interrupted(attempted)),
            done = work => done,
        }
    }

    /// Runs blocking work on a thread of its own.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(e) => Err(Error::new(Code::Io, "finish", "blocking work").source(e)),
        }
    }
}
