//! The fence: holding the containers that write, capturing files at the instant, and
//! making sure that every held container runs again whatever happens to backstop.
//!
//! In the order of a backup: [`Plan`](capture::Plan) how each file tree is captured, start
//! the [`Guardian`], write the [`Journal`], [`quiesce`], take the captures,
//! [`resume`](HeldContainers::resume), read and remove the captures,
//! [`finish`](Guardian::finish). Whoever dies in between, the guardian or the next
//! command's [`recover`] does the rest from the journal.

pub mod capture;
pub mod guardian;
mod hold;
pub mod journal;
mod quiesce;
mod recover;
mod resume;

pub use guardian::Guardian;
pub use hold::Hold;
pub use journal::{Journal, JournalCapture, LiveJournal};
pub use quiesce::{HeldContainers, quiesce, sound, wait_healthy};
pub use recover::{Recovered, recover};
pub use resume::{Outcome, ResumedContainer, resume_all};
