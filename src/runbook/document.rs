//! The text of a runbook as a tree that knows where each of its values stands.
//!
//! The tree is read with limits, so that no document can take more memory than its text
//! promises; [`read`] turns a part of it into a type, and names the line of what does not fit.

mod fault;
mod limits;
mod read;
mod tree;

pub(super) use fault::{Fault, Place, meant, quoted_list};
pub(super) use limits::{MAX_BYTES, parse};
pub(super) use read::read;
pub(super) use tree::{Content, Entry, Node};
