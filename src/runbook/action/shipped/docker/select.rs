//! Which containers a step is about.

use crate::config::{ContainerSelection, Selector, Timeout};
use crate::docker::{Container, Docker};
use crate::error::{Code, Error, Result};
use crate::runbook::action::Scope;
use std::str::FromStr;
use std::time::Duration;

/// What a step says about its containers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    /// Names or selectors; none for those that the config holds.
    pub(super) containers: Option<&'a [String]>,
    /// In the place of what the config says.
    pub(super) stop_timeout: Option<Timeout>,
    /// Whether it is well that there is none.
    pub(super) missing_ok: bool,
}

impl Wanted<'_> {
    /// What is wrong with how they are written.
    pub(super) fn check(self) -> Result<(), String> {
        self.containers.into_iter().flatten().try_for_each(|text| selector(text).map(drop))
    }

    /// As people read it.
    pub(super) fn shown(self) -> String {
        match self.containers {
            None => "the containers of the config".into(),
            Some([]) => "no container".into(),
            Some(containers) => containers.join(", "),
        }
    }

    /// The containers, running or not.
    ///
    /// # Errors
    /// `container_not_found`, unless that is well; what Docker says.
    pub(super) async fn find(self, docker: &Docker, scope: &Scope) -> Result<Vec<Container>> {
        let mut found: Vec<Container> = Vec::new();
        for selection in self.selections(scope)? {
            let selected = match docker.select(std::slice::from_ref(&selection)).await {
                Err(e) if e.code() == Code::ContainerNotFound && self.missing_ok => continue,
                selected => selected?,
            };
            if let Some(missing) = selected.unfit.into_iter().next()
                && !self.missing_ok
            {
                return Err(missing);
            }
            let new = |it: &Container| found.iter().all(|known| known.id != it.id);
            let new: Vec<_> = selected.containers.into_iter().filter(new).collect();
            found.extend(new);
        }
        related(docker, found).await
    }

    fn selections(self, scope: &Scope) -> Result<Vec<ContainerSelection>> {
        let config = &scope.setting.config;
        let mut selections = match self.containers {
            None => config.containers.clone(),
            Some(containers) => containers
                .iter()
                .map(|text| {
                    let select = selector(text).map_err(|cause| {
                        Error::new(Code::RunbookInvalid, "find the containers of", &scope.step)
                            .cause(cause)
                    })?;
                    // What the config says of these very ones holds for the step too.
                    let known = config.containers.iter().find(|it| it.select == select).cloned();
                    Ok(known.unwrap_or_else(|| ContainerSelection::of(select)))
                })
                .collect::<Result<_>>()?,
        };
        if let Some(timeout) = self.stop_timeout {
            selections.iter_mut().for_each(|selection| selection.stop_timeout = timeout);
        }
        Ok(selections)
    }
}

/// They were found one by one; what needs what is known of all of them together.
async fn related(docker: &Docker, found: Vec<Container>) -> Result<Vec<Container>> {
    let names = found.iter().map(|it| ContainerSelection::of(Selector::Name(it.name.clone())));
    let together = docker.select(&names.collect::<Vec<_>>()).await?;
    Ok(found
        .into_iter()
        .map(|mut container| {
            let known = together.containers.iter().find(|it| it.id == container.id);
            container.depends_on = known.map(|it| it.depends_on.clone()).unwrap_or_default();
            container
        })
        .collect())
}

/// A name alone is a selector too.
fn selector(text: &str) -> Result<Selector, String> {
    match text.contains('=') {
        true => Selector::from_str(text),
        false if text.trim().is_empty() => Err("a container has a name".into()),
        false => Ok(Selector::Name(text.to_owned())),
    }
}

/// How long a container may take to become healthy.
pub(super) fn patience(within: Option<Timeout>, container: &Container) -> Duration {
    within.map_or(container.health_timeout, Timeout::duration)
}
