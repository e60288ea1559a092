//! `file.assert`: a file is there, is not there, or holds what it should.

use super::outputs;
use crate::error::{Error, Result};
use crate::repository::hash_file;
use crate::runbook::action::{Action, Outputs, Scope, not_held};
use schemars::JsonSchema;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

pub(in crate::runbook) struct FileAssert;

/// What has to be there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The file or directory.
    path: PathBuf,
    /// Whether it has to exist.
    #[serde(default = "yes")]
    exists: bool,
    /// What it has to be.
    kind: Option<Kind>,
    /// A text that one of its lines has to contain.
    contains: Option<String>,
    /// The SHA-256 that its content has to have.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"), example = &"0000000000000000000000000000000000000000000000000000000000000000")]
    sha256: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

fn yes() -> bool {
    true
}

impl Action for FileAssert {
    type With = With;
    const NAME: &'static str = "file.assert";
    const ABOUT: &'static str = "Fails unless a file is there, is gone, or holds what it should.";
    const OUTPUTS: &'static [&'static str] = &["size", "sha256"];
    const READS_ONLY: bool = true;

    fn check(with: &With) -> Result<(), String> {
        let asks = with.kind.is_some() || with.contains.is_some() || with.sha256.is_some();
        if !with.exists && asks {
            return Err("what does not exist has no kind and no content".into());
        }
        match &with.sha256 {
            Some(hash) if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Err("`sha256` is 64 hex digits".into())
            }
            _ => Ok(()),
        }
    }

    fn plan(&self, with: &With) -> String {
        let state = if with.exists { "is as expected" } else { "does not exist" };
        format!("check that {} {state}", with.path.display())
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let (with, cancel) = (with.clone(), scope.cancel().clone());
        scope.setting.blocking(move || look(&with, &cancel)).await
    }
}

fn look(with: &With, cancel: &CancellationToken) -> Result<Outputs> {
    let path = &with.path;
    let failed = |e| Error::io("look at", path, e);
    let meta = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return match with.exists {
                false => Ok(Outputs::new()),
                true => Err(not_held(format!("{} exists", path.display()), "it does not")),
            };
        }
        meta => meta.map_err(failed)?,
    };
    if !with.exists {
        return Err(not_held(format!("{} does not exist", path.display()), "it does"));
    }
    let kind = match meta.file_type() {
        kind if kind.is_dir() => Some(Kind::Directory),
        kind if kind.is_file() => Some(Kind::File),
        kind if kind.is_symlink() => Some(Kind::Symlink),
        _ => None,
    };
    if with.kind.is_some() && with.kind != kind {
        let found = kind.map_or("it is something else".into(), |kind| format!("it is {kind:?}"));
        return Err(not_held(format!("{} is of its kind", path.display()), found));
    }
    if let Some(text) = &with.contains
        && !contains(path, text)?
    {
        return Err(not_held(format!("{} contains `{text}`", path.display()), "no line does"));
    }
    let mut found = outputs([("size", meta.len().into())]);
    if let Some(wanted) = &with.sha256 {
        let (_, hash) = hash_file(cancel, path)?;
        if !hash.eq_ignore_ascii_case(wanted) {
            return Err(not_held(format!("{} has its SHA-256", path.display()), hash));
        }
        found.insert("sha256".into(), hash.into());
    }
    Ok(found)
}

fn contains(path: &Path, text: &str) -> Result<bool> {
    let mut reader = BufReader::new(File::open(path).map_err(|e| Error::io("read", path, e))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|e| Error::io("read", path, e))?;
        if read == 0 {
            return Ok(false);
        }
        if String::from_utf8_lossy(&line).contains(text) {
            return Ok(true);
        }
    }
}
