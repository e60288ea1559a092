//! What the tests stand on: real servers, started for them and gone after them.

pub(crate) mod cluster;
