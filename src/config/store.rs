//! An object store in the config: where it is, and what it asks to be told.

use super::{StoreUrl, real_path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where objects lie: a directory, or a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory of this host.
    Directory(PathBuf),
    /// An object store.
    Store(Box<Store>),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Store(store) => store.url.fmt(f),
        }
    }
}

impl Place {
    /// Under what the place is remembered: its path, or the url of the store.
    pub fn key(&self) -> PathBuf {
        match self {
            Self::Directory(path) => path.clone(),
            Self::Store(store) => PathBuf::from(store.url.to_string()),
        }
    }

    /// Whether one of the two lies in the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Store(one), Self::Store(other)) => {
                one.url.overlaps(&other.url) && one.options.endpoint == other.options.endpoint
            }
            (Self::Directory(one), Self::Directory(other)) => {
                let unset = one.as_os_str().is_empty() || other.as_os_str().is_empty();
                let (one, other) = (real_path(one), real_path(other));
                !unset && (one.starts_with(&other) || other.starts_with(&one))
            }
            _ => false,
        }
    }
}

/// An object store with what is needed to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Its address.
    pub url: StoreUrl,
    /// What the address does not say.
    pub options: StoreOptions,
    /// Where the secrets are found.
    pub credentials: Credentials,
}

/// What a store's address does not say. Which of it a store understands is told in
/// `docs/configuration.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreOptions {
    /// The address of the service itself, such as `https://s3.example.com` (s3, gcs, azblob).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region of the bucket (s3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket stands in the host's name, not in the path (s3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_host: Option<bool>,
    /// The class in which objects are stored (s3, gcs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// How the store itself encrypts, `AES256` or `aws:kms` (s3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_encryption: Option<String>,
    /// The key with which it does (s3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// The profile in `~/.aws` whose credentials are used (s3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The account (azblob) or user (webdav) by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What happens with a host that ssh does not know (sftp).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<KnownHosts>,
}

/// What happens with a host that ssh does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KnownHosts {
    /// It is refused; the default.
    Strict,
    /// It is trusted this once and remembered; a changed key is refused.
    Add,
    /// It is trusted, whatever its key.
    Accept,
}

/// Where the secrets of a store are found. Without any of these, in the standard places of
/// the service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The environment variable that holds the name of the key or user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id_env: Option<String>,
    /// The file whose first line is the name of the key or user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id_file: Option<PathBuf>,
    /// The environment variable that holds the secret key or password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
    /// The file that holds the secret key or password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The environment variable that holds a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// The file whose first line is a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// One more place where every backup of the repository lies.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// What commands and messages call it.
    pub name: String,
    /// A directory; either this or `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// An object store; either this or `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<StoreUrl>,
    /// What the store's address does not say.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: StoreOptions,
    /// Where the store's secrets are found.
    #[serde(default, skip_serializing_if = "is_default")]
    pub credentials: Credentials,
}

impl Copy {
    /// Where it lies. The config was checked, so it is one of the two.
    pub fn place(&self) -> Place {
        place(self.path.as_ref(), self.url.as_ref(), &self.options, &self.credentials)
    }
}

/// What `path` or `url` say; the latter counts where both are there.
pub(super) fn place(
    path: Option<&PathBuf>,
    url: Option<&StoreUrl>,
    options: &StoreOptions,
    credentials: &Credentials,
) -> Place {
    match url {
        Some(url) => Place::Store(Box::new(Store {
            url: url.clone(),
            options: options.clone(),
            credentials: credentials.clone(),
        })),
        None => Place::Directory(path.cloned().unwrap_or_default()),
    }
}

/// Whether a section says nothing, and need not be written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
