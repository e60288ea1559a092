//! How the library tells what it is doing, without knowing who listens.
//!
//! A terminal, a stream of JSON lines and a test each implement [`Progress`].

mod json;
mod terminal;

pub use json::JsonLines;
pub use terminal::Terminal;

use crate::error::Code;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};

/// Something that happened during long work.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step of the operation begins, e.g. `quiesce`.
    Step {
        /// The step's stable name.
        step: &'static str,
    },
    /// A piece of work with a measurable size begins.
    Started {
        /// What is worked on, e.g. `files uploads`.
        task: String,
        /// Its size in bytes, where it is known beforehand.
        total_bytes: Option<u64>,
    },
    /// Some of a task's bytes are done.
    Advanced {
        /// The task, as in `Started`.
        task: String,
        /// How many more bytes are done, not the sum.
        bytes: u64,
    },
    /// A task has ended.
    Finished {
        /// The task, as in `Started`.
        task: String,
    },
    /// Something a person should know, without reading a log.
    Note {
        /// The sentence.
        message: String,
    },
    /// Something went wrong that does not end the operation.
    Warned(Warning),
}

/// A fault that was survived: it is shown, counted and recorded in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Warning {
    /// The stable code.
    pub code: Code,
    /// What happened, to what.
    pub message: String,
}

/// A listener for [`Event`]s. Called from many threads; must not block for long.
pub trait Progress: Send + Sync {
    /// Takes note of one event.
    fn report(&self, event: Event);
}

impl std::fmt::Debug for dyn Progress + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

impl dyn Progress + '_ {
    /// Reports that `step` begins.
    pub fn step(&self, step: &'static str) {
        self.report(Event::Step { step });
    }

    /// Reports a sentence for people.
    pub fn note(&self, message: impl Into<String>) {
        self.report(Event::Note { message: message.into() });
    }

    /// Reports a fault that was survived.
    pub fn warn(&self, code: Code, message: impl Into<String>) {
        self.report(Event::Warned(Warning { code, message: message.into() }));
    }
}

/// Listens to nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _event: Event) {}
}

/// Passes every event on and keeps the warnings, so that they reach the manifest.
pub struct Warnings {
    next: Arc<dyn Progress>,
    seen: Mutex<Vec<Warning>>,
}

impl Warnings {
    /// Listens in front of `next`.
    pub fn before(next: Arc<dyn Progress>) -> Arc<Self> {
        Arc::new(Self { next, seen: Mutex::new(Vec::new()) })
    }

    /// The warnings so far, in order.
    pub fn seen(&self) -> Vec<Warning> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Progress for Warnings {
    fn report(&self, event: Event) {
        if let Event::Warned(warning) = &event {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(warning.clone());
        }
        self.next.report(event);
    }
}
