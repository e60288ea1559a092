//! What a user may rely on, tested with real parts.

#[cfg(test)]
mod docker;
#[cfg(test)]
mod fence;
#[cfg(test)]
mod support;
