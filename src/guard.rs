//! Upgrades that undo themselves: back up, run a command, see whether the application works, or
//! go back.
//!
//! A guard is up to three kinds of runs of three runbooks that come with it (`runbooks/guard/`):
//! [`Phase::Protect`], [`Phase::Upgrade`] and, where that fails, [`Phase::Rollback`]. They are
//! runs like any others, with the same engine and journals; what belongs together carries the
//! guard's id as a label, and where a guard stands is read from its runs alone. So whoever
//! resumes one that was killed knows as much as the one who began it.

mod by_hand;
mod command;
mod drive;
mod order;
mod phase;
mod record;
mod view;

pub use by_hand::by_hand;
pub use command::{Desk, GuardCommand};
pub use drive::{Driver, Finished};
pub use order::{Health, Order};
pub use phase::Phase;
pub use record::{Guard, Standing};
pub use view::{GuardView, view};
