//! How the containers were made: written into the backup before they are held.

use super::plan::Plan;
use crate::config::without_passwords;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{Component, Detail};
use crate::setting::Setting;
use std::path::Path;

/// Writes the definition of every selected container, and of those that belong to them, and the
/// config itself, and returns the components they make up.
pub(super) async fn write(plan: &Plan, dir: &Path, setting: &Setting) -> Result<Vec<Component>> {
    write_config(dir, setting)?;
    let mut components = Vec::new();
    let Some(docker) = &plan.docker else { return Ok(components) };
    let selected = &plan.containers.all;
    let databases = setting.config.databases.iter();
    let servers: Vec<&str> = databases.filter_map(|it| it.container.as_deref()).collect();
    let neighbours = docker.neighbours(selected, &servers).await?;
    let all = selected.iter().map(|it| (it, true)).chain(neighbours.iter().map(|it| (it, false)));
    for (container, selected) in all {
        let definition = match docker.definition(container, selected).await {
            // It went meanwhile, and nothing depends on it.
            Err(e) if !selected && e.code() == Code::ContainerNotFound => continue,
            definition => definition?,
        };
        let written = definition.write(dir, &setting.recipients, &setting.progress)?;
        let mut stored_bytes = 0;
        for path in &written {
            let path = dir.join(path);
            let metadata = std::fs::metadata(&path).map_err(|e| Error::io("look at", &path, e))?;
            stored_bytes += metadata.len();
        }
        components.push(Component {
            name: container.name.clone(),
            source_bytes: stored_bytes,
            stored_bytes,
            file_count: written.len() as u64,
            detail: Detail::Container(definition.detail().clone()),
        });
    }
    Ok(components)
}

/// Copies the config file into the backup, so that an empty host can begin with it. It
/// holds references to secrets only: passwords inside of urls are left out. Where that
/// cannot be done for certain the whole copy is, with a warning.
fn write_config(dir: &Path, setting: &Setting) -> Result<()> {
    let Some(file) = &setting.config_file else { return Ok(()) };
    let extension = file.extension().and_then(|text| text.to_str()).unwrap_or("toml");
    let text = std::fs::read_to_string(file).map_err(|e| Error::io("read", file, e))?;
    let Some(text) = without_passwords(file, &text) else {
        let message = "the backup holds no copy of the config: a password in a url is written so \
                       that it cannot be left out; give it by password_env or password_file";
        setting.progress.warn(Code::ConfigInvalid, message);
        return Ok(());
    };
    let object = format!("config/backstop.{extension}");
    setting.recipients.write(dir, &object, text.as_bytes())
}
