//! The same question about many tables, on several connections at once.

use super::connection::Connection;
use crate::error::Result;
use std::future::Future;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tables that several connections share out among themselves.
pub(super) struct Queue<'a, T> {
    items: &'a [T],
    next: AtomicUsize,
}

impl<'a, T> Queue<'a, T> {
    pub(super) fn of(items: &'a [T]) -> Self {
        Self { items, next: AtomicUsize::new(0) }
    }

    /// The next one that nobody has taken yet.
    pub(super) fn take(&self) -> Option<&'a T> {
        self.items.get(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// `first` and as many more as are useful for `items` tables, up to `jobs` in all. The server
/// may have no room for them; fewer only take longer.
pub(super) async fn connections<F>(
    first: Connection,
    jobs: NonZeroU16,
    items: usize,
    open: impl Fn() -> F,
) -> Vec<Connection>
where
    F: Future<Output = Result<Connection>>,
{
    let mut connections = vec![first];
    while connections.len() < items.min(usize::from(jobs.get())) {
        match open().await {
            Ok(connection) => connections.push(connection),
            Err(_) => break,
        }
    }
    connections
}
