//! Asking again when a store does not answer.
//!
//! Every operation of [`Storage`] may be repeated: objects are written whole, removing twice is
//! no error. So one whose answer was lost after it took place does no harm.

use super::failure::is_passing;
use super::{Blob, Created, Listed, ReadAt, Storage};
use crate::error::{Code, Error, Result};
use jiff::Timestamp;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often and how long is asked again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts of one request, the first included.
    pub attempts: u32,
    /// The pause after the first failure; each one is twice as long as the one before.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// After this time no further attempt begins.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(10),
            total: Duration::from_secs(120),
        }
    }
}

impl Patience {
    /// The pause after attempt number `attempt`, from 1: between half of and the whole of what
    /// doubling gives, so that many who failed together do not come back together.
    fn pause(&self, attempt: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << (attempt - 1).min(16));
        doubled.min(self.longest_pause).mul_f64(0.5 + random() / 2.0)
    }

    /// Repeats `work` while `passing` says of its failure that asking again may help.
    fn repeat<T, E>(
        &self,
        cancel: Option<&CancellationToken>,
        passing: impl Fn(&E) -> bool,
        mut work: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            match work() {
                Err(e) if passing(&e) && attempt < self.attempts => {
                    let pause = self.pause(attempt);
                    let too_late = begun.elapsed() + pause > self.total;
                    if too_late || !sleep(pause, cancel) {
                        return Err(e);
                    }
                    attempt += 1;
                }
                done => return done,
            }
        }
    }
}

/// From 0 to 1. Only for pauses, so failing does no harm.
fn random() -> f64 {
    let mut bits = [0u8; 4];
    let _ = rustix::rand::getrandom(&mut bits, rustix::rand::GetRandomFlags::empty());
    f64::from(u32::from_ne_bytes(bits)) / f64::from(u32::MAX)
}

/// Sleeps; false where `cancel` was set meanwhile.
fn sleep(pause: Duration, cancel: Option<&CancellationToken>) -> bool {
    const SLICE: Duration = Duration::from_millis(50);
    let until = Instant::now() + pause;
    loop {
        if cancel.is_some_and(CancellationToken::is_cancelled) {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(SLICE));
    }
}

/// A storage whose requests are repeated when it does not answer.
#[derive(Debug)]
pub struct Retrying<S> {
    inner: S,
    patience: Patience,
}

impl<S: Storage> Retrying<S> {
    /// `inner`, asked again as `patience` says.
    pub fn new(inner: S, patience: Patience) -> Self {
        Self { inner, patience }
    }

    fn repeat<T>(&self, work: impl FnMut() -> Result<T>) -> Result<T> {
        self.patience.repeat(None, is_unreachable, work)
    }
}

fn is_unreachable(error: &Error) -> bool {
    error.code() == Code::StorageUnreachable
}

/// An object whose reads are repeated.
#[derive(Debug)]
struct RetryingReads {
    inner: Blob,
    patience: Patience,
}

impl ReadAt for RetryingReads {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.patience.repeat(None, is_passing, || self.inner.read_at(into, offset))
    }
}

impl<S: Storage> Storage for Retrying<S> {
    fn shown(&self, name: &str) -> String {
        self.inner.shown(name)
    }

    fn directory(&self) -> Option<&Path> {
        self.inner.directory()
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.repeat(|| self.inner.size(name))
    }

    fn open(&self, name: &str) -> Result<Option<Blob>> {
        let Some(inner) = self.repeat(|| self.inner.open(name))? else { return Ok(None) };
        let (size, shown) = (inner.size(), inner.name().to_owned());
        let reads = RetryingReads { inner, patience: self.patience };
        Ok(Some(Blob::new(Arc::new(reads), size, &shown)))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.repeat(|| self.inner.read(name))
    }

    fn names(&self, dir: &str) -> Result<Vec<String>> {
        self.repeat(|| self.inner.names(dir))
    }

    fn list(&self, dir: &str) -> Result<Vec<Listed>> {
        self.repeat(|| self.inner.list(dir))
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        self.repeat(|| self.inner.write(name, content))
    }

    fn upload(
        &self,
        name: &str,
        content: &Blob,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let mut told = 0;
        self.patience.repeat(Some(cancel), is_unreachable, || {
            // What is sent once more is told only from where it is new.
            let mut again = 0;
            self.inner.upload(name, content, cancel, &mut |bytes| {
                again += bytes;
                if again > told {
                    sent(again - told);
                    told = again;
                }
            })
        })
    }

    fn create(&self, name: &str, content: &[u8]) -> Result<Created> {
        self.repeat(|| self.inner.create(name, content))
    }

    fn copy(&self, from: &str, to: &str) -> Result<bool> {
        self.repeat(|| self.inner.copy(from, to))
    }

    fn modified(&self, name: &str) -> Result<Option<Timestamp>> {
        self.repeat(|| self.inner.modified(name))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.repeat(|| self.inner.remove(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_never_alike() {
        let patience = Patience {
            attempts: 9,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(1),
            total: Duration::from_secs(60),
        };
        for (attempt, whole) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (40, 1000)] {
            let whole = Duration::from_millis(whole);
            let pauses: BTreeSet<Duration> = (0..50).map(|_| patience.pause(attempt)).collect();
            assert!(
                pauses.iter().all(|it| *it >= whole / 2 && *it <= whole),
                "{attempt}: {pauses:?}"
            );
            assert!(pauses.len() > 10, "{attempt}: {pauses:?}");
        }
    }
}
