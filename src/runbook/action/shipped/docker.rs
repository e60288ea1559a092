//! The actions on containers.
//!
//! What an action finds before it touches anything is noted once, so that a second attempt says
//! the same, and the way back leads to where the first one began.

pub(in crate::runbook) mod assert;
pub(in crate::runbook) mod exec;
pub(in crate::runbook) mod hold;
pub(in crate::runbook) mod images;
pub(in crate::runbook) mod logs;
pub(in crate::runbook) mod recreate;
pub(in crate::runbook) mod release;
mod select;
mod states;

use states::bring_back;
pub(super) use states::{Before, bring_back_made};
