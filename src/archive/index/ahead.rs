//! Rows that a thread of its own reads ahead of whoever asks for them.

use super::{IndexReader, Row};
use crate::error::Result;
use std::sync::mpsc;
use std::thread;

/// How many rows go over at once: one by one, most of the time would go into waking up.
const AT_ONCE: usize = 512;

/// How often that many are read ahead.
const WAITING: usize = 4;

impl IndexReader {
    /// As [`rows`](Self::rows) of one component, read by a thread that ends with them, or when
    /// they are dropped.
    pub fn rows_ahead(&self, component: &str) -> Box<dyn Iterator<Item = Result<Row>> + Send> {
        let mut rows = self.rows(Some(component));
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let read = move || {
            loop {
                let batch: Vec<Result<Row>> = rows.by_ref().take(AT_ONCE).collect();
                if batch.is_empty() || sender.send(batch).is_err() {
                    return;
                }
            }
        };
        match thread::Builder::new().name("base".into()).spawn(read) {
            Ok(_) => Box::new(receiver.into_iter().flatten()),
            // Without a thread it only takes longer.
            Err(_) => Box::new(self.rows(Some(component))),
        }
    }
}
