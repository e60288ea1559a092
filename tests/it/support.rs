//! Real parts for the tests: each cleans up after itself.

pub(crate) mod image;
