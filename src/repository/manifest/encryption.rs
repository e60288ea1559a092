//! Whom a backup is encrypted for, and what that does to the names of its objects.

use super::{Manifest, Object};
use crate::encryption::EXTENSION;
use serde::{Deserialize, Serialize};

/// How the objects of a backup are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionDetail {
    /// `age`: each object is a file of that format.
    pub format: String,
    /// The public keys whose secret keys read it, sorted.
    pub recipients: Vec<String>,
}

impl EncryptionDetail {
    /// age files for these public keys; none where there are no keys.
    pub fn age(recipients: Vec<String>) -> Option<Self> {
        (!recipients.is_empty()).then(|| Self { format: "age".into(), recipients })
    }
}

impl Manifest {
    /// The name under which `object` is stored, which components and the index name without
    /// what encryption adds to it. A directory is stored under its own name.
    pub fn stored_name(&self, object: &str) -> String {
        let is_it = |stored: &&Object| {
            stored.path.strip_suffix(EXTENSION).is_some_and(|name| name == object)
        };
        match self.encryption.is_some().then(|| self.objects.iter().find(is_it)).flatten() {
            Some(stored) => stored.path.clone(),
            None => object.to_owned(),
        }
    }

    /// The name that components and the index give to what is stored as `stored`.
    pub fn logical_name<'a>(&self, stored: &'a str) -> &'a str {
        match self.encryption {
            Some(_) => stored.strip_suffix(EXTENSION).unwrap_or(stored),
            None => stored,
        }
    }
}
