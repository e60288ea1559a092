//! Real parts for the tests: each cleans up after itself.

pub(crate) mod cluster;
pub(crate) mod image;
pub(crate) mod load;
pub(crate) mod mount;
pub(crate) mod need;
pub(crate) mod port;
pub(crate) mod shop;
pub(crate) mod stack;
