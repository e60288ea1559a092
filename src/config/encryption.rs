//! Encryption in the config.

use super::text::written_as_text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Who can read the backups, and with what this host reads them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// Whom new backups are encrypted for; the key of any one of them reads everything. An
    /// empty list leaves new backups as they are, and only reads encrypted ones.
    pub recipients: Vec<Recipient>,
    /// The file with the secret keys, as `backstop key generate` and `age-keygen` write it. A
    /// host that only takes backups needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<PathBuf>,
    /// The environment variable with the passphrase that protects the identity file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_env: Option<String>,
    /// The file whose first line is that passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
}

/// A public key of age: `age1…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient(String);

impl Recipient {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Recipient {
    type Err = String;

    /// The message never repeats the text, which may be a secret key in the wrong place.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            return Err("is a secret key; write its public key here, which begins with `age1`, \
                        and take the secret one out of the config"
                .into());
        }
        match text.parse::<age::x25519::Recipient>() {
            Ok(recipient) => Ok(Self(recipient.to_string())),
            Err(reason) => Err(format!(
                "is no public key of age ({reason}); expected `age1` and 58 more characters, as \
                 `backstop key generate` prints them"
            )),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

written_as_text!(Recipient, "age-recipient", inline: true, ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]);
