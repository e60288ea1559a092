//! Which containers a backup would hold, and which selections name none.

use super::Finding;
use crate::backup::writers::Selected;
use crate::config::{Config, ContainerSelection};
use crate::docker::Docker;
use crate::error::{Error, Result};
use crate::setting::Setting;
use std::slice::from_ref;
use std::sync::Arc;

/// One finding for each selection that names nothing or cannot be held, and one for what
/// the others would hold. A selection that fits nothing is a fault here: a backup would go
/// on without it, and the application would write while it is taken.
pub(super) async fn examine(setting: &Setting, docker: &Docker) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fitting = Vec::new();
    for selection in &setting.config.containers {
        match look(docker, selection).await {
            Ok(()) => fitting.push(selection.clone()),
            Err(e) => {
                let subject = format!("containers {}", selection.select);
                findings.push(Finding::new(subject, Err(e)));
            }
        }
    }
    let config = Config { containers: fitting, ..setting.config.as_ref().clone() };
    let fitting = Setting { config: Arc::new(config), ..setting.clone() };
    findings.push(Finding::new("containers", held(&fitting, docker).await));
    findings
}

async fn look(docker: &Docker, selection: &ContainerSelection) -> Result<(), Error> {
    match docker.select(from_ref(selection)).await?.unfit.pop() {
        None => Ok(()),
        Some(unfit) => Err(unfit),
    }
}

async fn held(setting: &Setting, docker: &Docker) -> Result<String> {
    let selected = Selected::find(setting, Some(docker)).await?;
    let names: Vec<String> = selected
        .writers
        .into_iter()
        .map(|container| {
            let quiet = if container.is_running() { "" } else { " (does not run)" };
            format!("{}{quiet}", container.name)
        })
        .collect();
    if names.is_empty() {
        return Ok("none would be held".into());
    }
    Ok(format!("would be held: {}", names.join(", ")))
}
