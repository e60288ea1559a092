//! What a user may rely on, tested on real parts.

mod stack;
#[cfg(test)]
mod support;
