//! `docker.logs`: what containers said and became, kept as evidence.

use super::select::Wanted;
use crate::docker::{Container, Docker};
use crate::error::{Error, Result};
use crate::repository::{create_dir, hash_file, sync_dir, write_new, write_replacing};
use crate::runbook::action::shipped::outputs;
use crate::runbook::action::{Action, Outputs, Point, Scope};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(in crate::runbook) struct DockerLogs;

/// Whose, and where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// Names, `label=KEY[=VALUE]` or `compose=PROJECT`; without it the containers of the config.
    containers: Option<Vec<String>>,
    /// The directory, which is made.
    to: PathBuf,
    /// Whether the whole file system of each is kept too, as a tar archive.
    #[serde(default)]
    filesystem: bool,
    /// Whether it is well that there is none of them.
    #[serde(default)]
    missing_ok: bool,
}

impl With {
    fn wanted(&self) -> Wanted<'_> {
        let containers = self.containers.as_deref();
        Wanted { containers, missing_ok: self.missing_ok, stop_timeout: None }
    }
}

/// A new empty file for what becomes `path`: that is whole, or not there.
fn partial(path: &Path) -> Result<PathBuf> {
    let mut partial = path.to_path_buf().into_os_string();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    match std::fs::remove_file(&partial) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &partial, e)),
        _ => write_new(&partial, b"").map(|()| partial),
    }
}

/// Makes what was written the file, and says what it is.
fn finish(partial: &Path, path: &Path, scope: &Scope) -> Result<Value> {
    std::fs::rename(partial, path).map_err(|e| Error::io("rename to", path, e))?;
    described(path, scope)
}

fn described(path: &Path, scope: &Scope) -> Result<Value> {
    let (bytes, sha256) = hash_file(scope.cancel(), path)?;
    scope.log.line(&format!("{sha256}  {}", path.display()));
    Ok(json!({ "file": path, "bytes": bytes, "sha256": sha256 }))
}

async fn keep(
    docker: &Docker,
    container: &Container,
    with: &With,
    scope: &Scope,
) -> Result<Vec<Value>> {
    let place = |ending: &str| with.to.join(format!("{}.{ending}", container.name));
    let path = place("log");
    let part = partial(&path)?;
    scope.unless_cancelled(docker.save_log(&container.id, &part)).await?;
    let mut files = vec![finish(&part, &path, scope)?];
    let texts = [
        ("json", docker.definition_text(&container.id).await?),
        ("changes", docker.changes(&container.id).await?),
    ];
    for (ending, text) in texts {
        let path = place(ending);
        write_replacing(&path, text.as_bytes())?;
        files.push(described(&path, scope)?);
    }
    if with.filesystem {
        let path = place("tar");
        let part = partial(&path)?;
        scope.unless_cancelled(docker.export(&container.id, &part)).await?;
        files.push(finish(&part, &path, scope)?);
    }
    Ok(files)
}

impl Action for DockerLogs {
    type With = With;
    const NAME: &'static str = "docker.logs";
    const ABOUT: &'static str = "Keeps the logs of containers, their definitions, and which of \
                                 their files differ from the image's.";
    const OUTPUTS: &'static [&'static str] = &["files", "evidence"];
    const IDEMPOTENT: bool = true;

    fn check(with: &With) -> Result<(), String> {
        with.wanted().check()
    }

    fn plan(&self, with: &With) -> String {
        format!("keep the logs of {} in {}", with.wanted().shown(), with.to.display())
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let docker = Docker::connect().await?;
        let containers = with.wanted().find(&docker, scope).await?;
        create_dir(&with.to)?;
        let mut files = Vec::new();
        for container in &containers {
            files.extend(keep(&docker, container, with, scope).await?);
            scope.reach(Point::MidEffect);
        }
        sync_dir(&with.to)?;
        Ok(outputs([("files", json!(files)), ("evidence", json!(files))]))
    }
}
