//! Real parts for tests to stand on.

pub(crate) mod load;
pub(crate) mod need;
pub(crate) mod port;
pub(crate) mod shop;
pub(crate) mod stack;
