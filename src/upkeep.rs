//! The repository as a whole: looked over, described anew, its chains put together, and moved.

mod check;
mod consolidate;
mod copy;
mod rebuild;
mod relocate;

pub use check::{Irregularity, Kind, check};
pub use consolidate::{Consolidated, consolidate};
pub use rebuild::{Rebuilt, rebuild_catalog};
pub use relocate::{Moved, relocate};
