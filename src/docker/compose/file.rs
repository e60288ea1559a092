//! A compose file, as far as backstop reads it.

use super::EnvFile;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The largest compose file that is read.
const LARGEST: u64 = 4 << 20;

/// What is read of a compose file; the rest is compose's business.
#[derive(Deserialize, Default)]
pub(super) struct ComposeFile {
    #[serde(default)]
    pub(super) services: BTreeMap<String, Service>,
}

/// One service of the file.
#[derive(Deserialize)]
pub(super) struct Service {
    #[serde(default)]
    pub(super) depends_on: DependsOn,
    #[serde(default)]
    pub(super) env_file: EnvFiles,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

/// `depends_on:` in its two forms.
#[derive(Deserialize, Default)]
#[serde(untagged)]
pub(super) enum DependsOn {
    #[default]
    None,
    Names(Vec<String>),
    Conditions(BTreeMap<String, Condition>),
}

#[derive(Deserialize)]
pub(super) struct Condition {
    #[serde(default)]
    pub(super) condition: String,
}

/// `env_file:` in its three forms.
#[derive(Deserialize, Default)]
#[serde(untagged)]
pub(super) enum EnvFiles {
    #[default]
    None,
    One(PathBuf),
    Several(Vec<NamedEnvFile>),
    /// A form of a later compose tells nothing.
    Unknown(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum NamedEnvFile {
    Path(PathBuf),
    Detailed {
        path: PathBuf,
        #[serde(default = "NamedEnvFile::is_required")]
        required: bool,
    },
}

impl NamedEnvFile {
    fn is_required() -> bool {
        true
    }
}

impl EnvFiles {
    pub(super) fn named(self) -> Vec<EnvFile> {
        match self {
            Self::None | Self::Unknown(_) => Vec::new(),
            Self::One(path) => vec![EnvFile { path, required: true }],
            Self::Several(several) => several
                .into_iter()
                .map(|one| match one {
                    NamedEnvFile::Path(path) => EnvFile { path, required: true },
                    NamedEnvFile::Detailed { path, required } => EnvFile { path, required },
                })
                .collect(),
        }
    }
}

/// A file that is gone or unreadable tells nothing.
pub(super) fn read(file: &Path) -> ComposeFile {
    let small = |meta: std::fs::Metadata| meta.is_file() && meta.len() <= LARGEST;
    if !std::fs::metadata(file).is_ok_and(small) {
        return ComposeFile::default();
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    serde_saphyr::from_str(&text).unwrap_or_default()
}
