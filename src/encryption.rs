//! Objects that only the holder of a key can read: [age](https://age-encryption.org/v1) files.
//!
//! What is written is sealed for the [`Recipients`] of the config, as it is written; what is
//! read is opened with its [`Identities`]. Sizes and hashes that a manifest lists are those of
//! the stored bytes, so that verifying needs no key. age encrypts chunks of 64 KiB each by
//! itself, so any part of an object is read without the rest.

mod identities;
mod key_file;
mod opened;
mod passphrase;
mod recipients;
mod sealing;
mod stored;
mod stream;
#[cfg(test)]
mod tests;

pub use identities::Identities;
pub use key_file::{GeneratedKey, generate};
pub use recipients::{NOBODY, Recipients};
pub use sealing::Sealing;
pub use stored::{Hashing, NewObject, StoredBytes};
pub use stream::SealingStream;

/// How the names of encrypted objects end.
pub const EXTENSION: &str = ".age";

/// The name under which the object of this name is stored when it is encrypted.
pub fn sealed_name(object: &str) -> String {
    format!("{object}{EXTENSION}")
}
