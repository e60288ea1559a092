//! Which backups are kept, and how the others are taken out.
//!
//! [`plan`] says of every backup why it stays or goes, [`prune`] deletes those that go. The
//! steps of the choice, in order: what nobody may delete ([`protect`]), what the rules keep
//! ([`rules`]), what those need ([`selection`]), and what is too much ([`limit`]).

mod bucket;
mod choice;
mod delete;
mod failures;
mod footprint;
mod keep;
mod limit;
mod look;
mod policy;
mod protect;
mod prune;
mod rules;
mod selection;
#[cfg(test)]
mod tests;
mod unreadable;

pub use delete::{delete, dependents, refuse_delete};
pub use keep::{keep, unkeep};
pub use policy::GUARD_LABEL;
pub use prune::{Plan, Verdict, plan, prune};
pub use unreadable::{delete_unreadable, lies_unreadable, refuse_delete_unreadable};

pub(crate) use delete::announce_pause;
pub(crate) use prune::prune_locked;
