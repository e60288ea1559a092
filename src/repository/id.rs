//! Backup ids: 128 random bits, written as 32 hex digits, shortened to any unique prefix.

use crate::error::{Code, Error, Result};
use crate::hex::hex;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The id of one backup, unique by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// Hex digits of a whole id.
    pub const LENGTH: usize = 32;

    /// A new id from the operating system's random source.
    pub fn random() -> Result<Self> {
        let mut bytes = [0u8; Self::LENGTH / 2];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(
            |e| Error::io("read random bytes from", Path::new("getrandom(2)"), e.into()),
        )?;
        Ok(Self(hex(&bytes)))
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits: how people see it.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }

    /// The first four digits: how the backup's name ends.
    pub fn suffix(&self) -> &str {
        &self.0[..4]
    }
}

impl TryFrom<String> for BackupId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() == Self::LENGTH && digits {
            Ok(Self(text))
        } else {
            Err(Error::new(Code::RepositoryFormat, "read backup id", &text)
                .cause("not 32 lower-case hex digits"))
        }
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_whole_and_differ() {
        let (one, two) = (BackupId::random().unwrap(), BackupId::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(BackupId::try_from(one.to_string()).unwrap(), one);
        assert!(one.as_str().starts_with(one.short()));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "latest", "4f2a", "../../etc/passwd", &"G".repeat(32)] {
            assert!(BackupId::try_from(text.to_string()).is_err(), "{text}");
        }
    }
}
