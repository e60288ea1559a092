//! One execution of a runbook: its journal, what the journal says, and who may write it.
//!
//! The journal is the truth. Everything else (the state in memory, the rows of the catalog, the
//! report) is made of it.

mod entry;
mod journal;
mod record;
mod recorder;
mod state;
mod store;
mod target;

pub use entry::{Created, Entry, Group, Line, Means, StepState, Verdict, Who};
pub use record::{ApprovalRecord, AttemptRecord, UnitRecord, WaitingFor};
pub use state::{Ended, Phase, RunState, State};
pub use store::{Run, Store};

pub(super) use recorder::Recorder;
pub use store::new_id;
pub(super) use store::{RESTORE, log_file};
pub(super) use target::{TargetLock, is_alive, process_start};
