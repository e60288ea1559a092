//! What every operation is given: the config, and how it reaches the person and the
//! process around it.

use crate::config::{Config, Place};
use crate::encryption::{Identities, Recipients};
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The surroundings of one operation.
#[derive(Clone)]
pub struct Setting {
    /// The stack.
    pub config: Arc<Config>,
    /// Whom new backups are encrypted for.
    pub recipients: Recipients,
    /// What encrypted backups are read with.
    pub identities: Identities,
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

/// Waits for a thread whose future is dropped.
struct WaitOnDrop {
    ended: Option<mpsc::Receiver<()>>,
    cancel: CancellationToken,
}

impl WaitOnDrop {
    fn disarm(mut self) {
        self.ended = None;
    }
}

impl Drop for WaitOnDrop {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.cancel.cancel();
            // Nothing is ever sent: the channel closes when the work has ended.
            let _ = ended.recv();
        }
    }
}

impl Setting {
    /// The same with the repository in another place.
    #[must_use]
    pub fn at(&self, place: Place) -> Self {
        let config = Config::clone(&self.config).with_repository(place);
        Self { config: Arc::new(config), ..self.clone() }
    }

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

    /// Runs blocking work on a thread of its own. When this future is dropped, the
    /// operation is asked to end and the thread is waited for: nothing of it goes on
    /// behind the back of whoever cleans up.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (running, ended) = mpsc::channel::<()>();
        let thread = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(running);
            result
        });
        let wait = WaitOnDrop { ended: Some(ended), cancel: self.cancel.clone() };
        let joined = thread.await;
        wait.disarm();
        match joined {
            Ok(result) => result,
            Err(e) => Err(Error::new(Code::Io, "finish", "blocking work").source(e)),
        }
    }

    /// The same surroundings for a part of the operation, which may be asked to end by
    /// itself.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { cancel: self.cancel.child_token(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn setting() -> Setting {
        let environment = crate::config::Environment {
            variables: [("DATABASE_URL", "postgres://a@b/c"), ("BACKUP_DIR", "/r")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            directory: "/".into(),
            system_directory: "/".into(),
        };
        let loaded = Config::load_from(None, &environment).unwrap();
        Setting {
            config: Arc::new(loaded.config),
            recipients: crate::encryption::NOBODY.clone(),
            identities: Identities::default(),
            config_file: None,
            executable: "/proc/self/exe".into(),
            lock_wait: Duration::ZERO,
            progress: Arc::new(Silent),
            cancel: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn work_that_is_dropped_has_ended_before_anybody_goes_on() {
        let setting = setting();
        let part = setting.part();
        let ended = Arc::new(AtomicBool::new(false));
        let (note, cancel) = (ended.clone(), part.cancel.clone());
        let work = part.blocking(move || {
            while !cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            note.store(true, Ordering::SeqCst);
            Ok(())
        });
        let in_time = tokio::time::timeout(Duration::from_millis(20), work).await;
        assert!(in_time.is_err());
        assert!(ended.load(Ordering::SeqCst));
        assert!(!setting.cancel.is_cancelled(), "only the part was asked to end");
    }

    #[tokio::test]
    async fn an_interrupted_operation_says_so() {
        let setting = setting();
        setting.cancel.cancel();
        let result = setting.unless_interrupted("wait for", std::future::pending::<Result<()>>());
        assert_eq!(result.await.unwrap_err().code(), Code::Interrupted);
    }
}
