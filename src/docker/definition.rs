//! Recording how a container was made, so that it can be made again.

use super::inspect::Kind;
use super::surroundings::Surroundings;
use super::{Container, Docker, RunState, compose};
use crate::encryption::Recipients;
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use crate::repository::manifest::{ComposeFile, ComposeRole, ContainerDetail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The largest compose or environment file that is recorded.
const LARGEST: u64 = 4 << 20;

/// A container's definition. It holds the container's environment, passwords included,
/// so it is written for the owner's eyes only and never printed.
#[derive(Clone)]
pub struct Definition {
    inspect: Value,
    surroundings: Surroundings,
    compose: Option<Project>,
    detail: ContainerDetail,
}

#[derive(Clone)]
struct Project {
    name: String,
    files: Vec<ProjectFile>,
}

#[derive(Clone)]
struct ProjectFile {
    /// What to read.
    source: PathBuf,
    /// Its name below the project's directory in the backup.
    name: PathBuf,
    role: ComposeRole,
    /// Whether its absence is worth a warning.
    required: bool,
}

impl Project {
    /// The directory of the project's files in the backup.
    fn below(&self) -> PathBuf {
        Path::new("containers/compose").join(&self.name)
    }

    fn details(&self) -> Vec<ComposeFile> {
        let detail = |file: &ProjectFile| ComposeFile {
            object: self.below().join(&file.name).to_string_lossy().into_owned(),
            path: file.source.clone(),
            role: file.role,
        };
        self.files.iter().map(detail).collect()
    }
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Definition").field("detail", &self.detail).finish_non_exhaustive()
    }
}

impl Docker {
    /// The definition of a container: its `inspect`, its image by id and digest, its networks and
    /// volumes, and where its compose project is described. `selected` tells whether the config
    /// selects it as one that writes.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`], [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn definition(&self, container: &Container, selected: bool) -> Result<Definition> {
        let inspect = self.inspect(Kind::Container, &container.id).await?;
        let image_id = inspect.get("Image").and_then(Value::as_str).unwrap_or_default().to_string();
        let image_digests = match self.inspect(Kind::Image, &image_id).await {
            Ok(image) => strings(image.get("RepoDigests")),
            // The image may have been removed while its container lives on.
            Err(e) if e.code() == Code::ContainerNotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        let image = inspect
            .pointer("/Config/Image")
            .and_then(Value::as_str)
            .unwrap_or(&container.image)
            .to_string();
        let project = compose::project(&container.labels)
            .map(|name| Project { name: single_name(name), files: project_files(container) });
        let labels = &container.labels;
        let surroundings = self.surroundings(&inspect).await?;
        Ok(Definition {
            inspect,
            detail: ContainerDetail {
                object: format!("containers/{}.json", single_name(&container.name)),
                image,
                image_id,
                image_digests,
                was_running: container.state != RunState::Stopped,
                selected,
                networks: surroundings.networks(),
                volumes: surroundings.volumes(),
                compose_project: compose::project(labels).map(str::to_string),
                compose_service: compose::service(labels).map(str::to_string),
                compose_dir: compose::working_dir(labels),
                compose_files: project.as_ref().map(Project::details).unwrap_or_default(),
            },
            surroundings,
            compose: project,
        })
    }
}

impl Definition {
    /// What the manifest says about it.
    pub fn detail(&self) -> &ContainerDetail {
        &self.detail
    }

    /// Writes `containers/NAME.json`, `containers/networks/…`, `containers/volumes/…` and `containers/compose/PROJECT/…` below
    /// `backup_dir` (files 0600, directories 0700) for `recipients`, and returns the paths
    /// written, relative to it. Compose and environment files that are gone are a warning. Blocking.
    ///
    /// # Errors
    /// [`Code::Io`] and its kin.
    pub fn write(
        &self,
        backup_dir: &Path,
        recipients: &Recipients,
        progress: &Arc<dyn Progress>,
    ) -> Result<Vec<PathBuf>> {
        let mut written = vec![PathBuf::from(recipients.stored_name(&self.detail.object))];
        let around = self.surroundings.all().map(|(recorded, it)| (&recorded.object, it));
        for (object, definition) in around.chain([(&self.detail.object, &self.inspect)]) {
            let mut text = serde_json::to_vec_pretty(definition)
                .map_err(io::Error::from)
                .map_err(|e| Error::io("write definition", &backup_dir.join(object), e))?;
            text.push(b'\n');
            recipients.write(backup_dir, object, &text)?;
        }

        let Some(project) = &self.compose else { return Ok(written) };
        let below = project.below();
        for ProjectFile { source, name, required, .. } in &project.files {
            match read_small(source) {
                Ok(bytes) => {
                    let object = below.join(name).to_string_lossy().into_owned();
                    recipients.write(backup_dir, &object, &bytes)?;
                    written.push(recipients.stored_name(&object).into());
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound && !required => {}
                Err(e) => {
                    let error = Error::io("record compose file", source, e);
                    progress.warn(error.code(), error.to_string());
                }
            }
        }
        Ok(written)
    }
}

/// The files that describe a container's project, each with a name of its own: its path
/// below the working directory, else its last part. They are the same for every container
/// of the project, which share that directory in the backup.
fn project_files(container: &Container) -> Vec<ProjectFile> {
    let labels = &container.labels;
    let dir = compose::working_dir(labels).unwrap_or_default();
    let compose = compose::config_files(labels).into_iter();
    let mut sources: Vec<(PathBuf, ComposeRole, bool)> =
        compose.map(|source| (source, ComposeRole::Compose, true)).collect();
    for source in compose::environment_files(labels) {
        // Not every project has a `.env`.
        let required = !source.ends_with(".env");
        sources.push((source, ComposeRole::Variables, required));
    }
    let of_services = compose::service_environment_files(labels).into_iter();
    sources.extend(of_services.map(|file| (file.path, ComposeRole::Service, file.required)));
    let mut taken = BTreeSet::new();
    let mut files: Vec<ProjectFile> = Vec::new();
    for (source, role, required) in sources {
        let inside = source.strip_prefix(&dir).ok().filter(|p| is_plain(p));
        let name = inside.map(Path::to_path_buf).or_else(|| source.file_name().map(PathBuf::from));
        let Some(mut name) = name else { continue };
        if files.iter().any(|known| known.source == source) {
            continue;
        }
        if !taken.insert(name.clone()) {
            name = PathBuf::from(format!("{}-{}", taken.len(), name.display()));
            taken.insert(name.clone());
        }
        files.push(ProjectFile { source, name, role, required });
    }
    files
}

fn is_plain(path: &Path) -> bool {
    path.components().next().is_some()
        && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// A text from a label as one file name.
pub(super) fn single_name(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = text.chars().map(|c| if safe(c) { c } else { '_' }).collect();
    if name.trim_matches('.').is_empty() { format!("_{name}") } else { name }
}

fn strings(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_string).collect()
}

fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() || meta.len() > LARGEST {
        return Err(io::Error::other("not a small regular file"));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_labels_stay_single_names() {
        assert_eq!(single_name("shop"), "shop");
        assert_eq!(single_name("../../etc"), ".._.._etc");
        assert_eq!(single_name(".."), "_..");
    }

    #[test]
    fn only_plain_paths_are_kept_below_the_project() {
        assert!(is_plain(Path::new("deploy/compose.yml")));
        assert!(!is_plain(Path::new("../compose.yml")));
        assert!(!is_plain(Path::new("")));
    }
}
