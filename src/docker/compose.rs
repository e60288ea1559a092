//! What compose says about the containers it made.
//!
//! Compose v2 writes dependencies into a label. Compose v1 (still shipped by Debian 12)
//! does not, so they are read from the compose file that its labels name.

mod file;

use file::{DependsOn, read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Labels = BTreeMap<String, String>;

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const ONE_OFF: &str = "com.docker.compose.oneoff";
const DEPENDS_ON: &str = "com.docker.compose.depends_on";
const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
const ENVIRONMENT_FILES: &str = "com.docker.compose.project.environment_file";
const WORKING_DIR: &str = "com.docker.compose.project.working_dir";

/// The project a container belongs to.
pub(super) fn project(labels: &Labels) -> Option<&str> {
    labels.get(PROJECT).map(String::as_str)
}

/// The service a container is an instance of.
pub(super) fn service(labels: &Labels) -> Option<&str> {
    labels.get(SERVICE).map(String::as_str)
}

/// Whether `docker compose run` made it, which is no part of the project's state.
pub(super) fn is_run_once(labels: &Labels) -> bool {
    labels.get(ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Where the project was brought up.
pub(super) fn working_dir(labels: &Labels) -> Option<PathBuf> {
    labels.get(WORKING_DIR).filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// The compose files of the project, as absolute paths where that is known.
pub(super) fn config_files(labels: &Labels) -> Vec<PathBuf> {
    paths(labels, CONFIG_FILES)
}

/// The files that fill in the compose file's variables: those named, else `.env`.
pub(super) fn environment_files(labels: &Labels) -> Vec<PathBuf> {
    let named = paths(labels, ENVIRONMENT_FILES);
    match working_dir(labels) {
        Some(dir) if named.is_empty() => vec![dir.join(".env")],
        _ => named,
    }
}

/// A file whose variables a service gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnvFile {
    pub(super) path: PathBuf,
    /// Whether compose refuses to start the service without it.
    pub(super) required: bool,
}

/// The files that `env_file:` names, of every service: the project cannot be brought up
/// without any of them. Relative to the project's directory, as compose reads them.
pub(super) fn service_environment_files(labels: &Labels) -> Vec<EnvFile> {
    let mut found = Vec::new();
    for file in config_files(labels) {
        let base = working_dir(labels).or_else(|| file.parent().map(Path::to_path_buf));
        let base = base.unwrap_or_default();
        for service in read(&file).services.into_values() {
            let named = service.env_file.named().into_iter();
            found.extend(
                named.map(|EnvFile { path, required }| EnvFile { path: base.join(path), required }),
            );
        }
    }
    found
}

fn paths(labels: &Labels, label: &str) -> Vec<PathBuf> {
    let dir = working_dir(labels).unwrap_or_default();
    let list = labels.get(label).map(String::as_str).unwrap_or_default();
    list.split(',').filter(|p| !p.is_empty()).map(|p| dir.join(p)).collect()
}

/// A service that must run before another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) service: String,
    pub(super) healthy: bool,
}

/// The services that a container's service needs.
pub(super) fn needs(labels: &Labels) -> Vec<Need> {
    match (labels.get(DEPENDS_ON), service(labels)) {
        (Some(label), _) => from_label(label),
        (None, Some(service)) => {
            config_files(labels).iter().flat_map(|file| from_file(file, service)).collect()
        }
        (None, None) => Vec::new(),
    }
}

/// Compose v2: `db:service_healthy:false,cache:service_started:true`. Early versions
/// wrote the service's name alone.
fn from_label(label: &str) -> Vec<Need> {
    let entries = label.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let mut parts = entry.split(':');
            Need {
                service: parts.next().unwrap_or_default().to_string(),
                healthy: parts.next() == Some("service_healthy"),
            }
        })
        .collect()
}

/// Where the file tells nothing, the order is Docker's own.
fn from_file(file: &Path, service: &str) -> Vec<Need> {
    match read(file).services.remove(service).map(|s| s.depends_on) {
        Some(DependsOn::Names(names)) => {
            names.into_iter().map(|service| Need { service, healthy: false }).collect()
        }
        Some(DependsOn::Conditions(conditions)) => conditions
            .into_iter()
            .map(|(service, c)| Need { service, healthy: c.condition == "service_healthy" })
            .collect(),
        Some(DependsOn::None) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
    }

    #[test]
    fn the_label_of_compose_v2_names_services_and_conditions() {
        let needs = needs(&labels(&[
            (SERVICE, "web"),
            (DEPENDS_ON, "db:service_healthy:false,cache:service_started:true,old"),
        ]));
        let said: Vec<_> = needs.iter().map(|n| (n.service.as_str(), n.healthy)).collect();
        assert_eq!(said, [("db", true), ("cache", false), ("old", false)]);
    }

    #[test]
    fn without_the_label_the_compose_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let text = "version: '2.4'\nservices:\n  web:\n    image: a\n    depends_on: [api]\n  \
                    api:\n    image: b\n    depends_on:\n      db: {condition: service_healthy}\n  \
                    db: {image: c, ports: ['1:1']}\n";
        std::fs::write(dir.path().join("docker-compose.yml"), text).unwrap();
        let of = |service: &str| {
            needs(&labels(&[
                (SERVICE, service),
                (CONFIG_FILES, "docker-compose.yml,gone.yml"),
                (WORKING_DIR, dir.path().to_str().unwrap()),
            ]))
        };
        assert_eq!(of("web"), [Need { service: "api".into(), healthy: false }]);
        assert_eq!(of("api"), [Need { service: "db".into(), healthy: true }]);
        assert_eq!(of("db"), []);
    }

    #[test]
    fn the_environment_files_of_all_services_are_known_in_every_form() {
        let dir = tempfile::tempdir().unwrap();
        let text = "services:\n  api:\n    env_file: api.env\n  db:\n    image: c\n  \
                    web:\n    env_file:\n      - /etc/shop/web.env\n      \
                    - {path: local.env, required: false}\n";
        std::fs::write(dir.path().join("compose.yml"), text).unwrap();
        let found = service_environment_files(&labels(&[
            (CONFIG_FILES, "compose.yml,gone.yml"),
            (WORKING_DIR, dir.path().to_str().unwrap()),
        ]));
        let file = |path: PathBuf, required| EnvFile { path, required };
        assert_eq!(
            found,
            [
                file(dir.path().join("api.env"), true),
                file("/etc/shop/web.env".into(), true),
                file(dir.path().join("local.env"), false),
            ]
        );
    }

    #[test]
    fn the_environment_is_dot_env_unless_another_file_is_named() {
        let default = labels(&[(WORKING_DIR, "/srv/shop")]);
        assert_eq!(environment_files(&default), [PathBuf::from("/srv/shop/.env")]);
        let named = labels(&[(WORKING_DIR, "/srv/shop"), (ENVIRONMENT_FILES, "/etc/shop.env,b")]);
        assert_eq!(
            environment_files(&named),
            [PathBuf::from("/etc/shop.env"), PathBuf::from("/srv/shop/b")]
        );
    }
}
