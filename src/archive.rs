//! One file tree as a tar of many independent zstd frames, and back.
//!
//! [`frame`] is the container, [`entry`] what is known about one file, [`scan`] the walk
//! through a tree.

pub mod base;
mod check;
pub mod contents;
pub mod entry;
pub mod extract;
pub mod fault;
pub mod frame;
pub mod index;
mod lists;
mod proof;
#[cfg(test)]
mod sample;
pub mod scan;
pub mod source;
mod splice;
pub mod tar;
pub mod write;

pub use base::Base;
pub use contents::Contents;
pub use entry::{Entry, Kind};
pub use extract::{Extracted, Extraction, extract, salvage, verify};
pub use fault::{Fault, Trouble};
pub use frame::StoredArchive;
pub use lists::Lists;
pub use proof::settle_mappings;
pub use splice::splice_tree;
pub use write::{Tree, WrittenTree, write_tree};
