//! The integration tests, as one program, so that they are linked once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "panicking is how a test and its helpers fail"
)]

mod database;
mod support;
