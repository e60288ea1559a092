//! Real parts for the tests: each cleans up after itself.

pub(crate) mod cluster;
pub(crate) mod image;
