//! Making containers again from their blueprints.
//!
//! Source: Docker Engine API 1.41, "Create a container", "Connect a container to a network".

use super::inspect::Kind;
use super::{Blueprint, Docker, failed};
use crate::config::Quiesce;
use crate::error::{Code, Error, Result};
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use std::time::Duration;

impl Docker {
    /// The blueprint of the container that has this name or id now; none where there is none.
    ///
    /// # Errors
    /// [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn blueprint(&self, name: &str) -> Result<Option<Blueprint>> {
        match self.inspect(Kind::Container, name).await {
            Ok(inspect) => Ok(Blueprint::read(&inspect)),
            Err(e) if e.code() == Code::ContainerNotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Why the container of this blueprint has to be made again; none where it is as it was.
    ///
    /// # Errors
    /// As [`blueprint`](Self::blueprint).
    pub async fn difference(&self, blueprint: &Blueprint) -> Result<Option<&'static str>> {
        match self.blueprint(blueprint.name()).await? {
            None => Ok(Some("it is gone")),
            Some(now) => Ok(blueprint.difference(&now)),
        }
    }

    /// Makes the container of a blueprint, without starting it, in the place of one that has its
    /// name and is different; that one is given the time to end by itself. Returns its id. Doing
    /// it again does no more than what is missing.
    ///
    /// # Errors
    /// [`Code::DockerFailed`] where its image is not in the local store, before anything is
    /// removed, and where the daemon refuses; [`Code::DockerUnreachable`].
    pub async fn make_again(
        &self,
        blueprint: &Blueprint,
        stop_timeout: Duration,
    ) -> Result<String> {
        let name = &blueprint.name();
        if !self.has_image(blueprint.image()).await? {
            return Err(Error::new(Code::DockerFailed, "make container", name)
                .cause(format!("its image {} is not in the local store", blueprint.image()))
                .hint("load the image again, with `docker pull` or `docker load`"));
        }
        if self.blueprint(name).await?.is_some_and(|now| blueprint.difference(&now).is_some()) {
            self.remove(name, stop_timeout).await?;
        }
        if let Some(name) = blueprint.image_name() {
            self.give_name_back(blueprint.image(), name).await?;
        }
        if self.blueprint(name).await?.is_none() {
            let path = format!("/containers/create?name={}", escaped(name));
            self.post(&path, &blueprint.body(), "make container", name).await?;
        }
        let made = self.inspect(Kind::Container, name).await?;
        let id = made["Id"].as_str().unwrap_or_default().to_owned();
        for (network, endpoint) in blueprint.other_networks() {
            if made["NetworkSettings"]["Networks"].get(network).is_none() {
                let path = format!("/networks/{}/connect", escaped(network));
                let body = json!({ "Container": id, "EndpointConfig": endpoint });
                self.post(&path, &body, "connect container", name).await?;
            }
        }
        Ok(id)
    }

    /// Removes a container, whose volumes stay; well where there is none.
    async fn remove(&self, name: &str, stop_timeout: Duration) -> Result<()> {
        let stopped = self.hold(name, Quiesce::Stop, stop_timeout).await;
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        // One that cannot be stopped, as it is restarting, may well be removed.
        let removed = match self.client.remove_container(name, Some(options)).await {
            Ok(()) => Ok(()),
            Err(e) => Err(failed("remove container", name, e)),
        };
        match (stopped, removed) {
            (_, Err(e)) if e.code() == Code::ContainerNotFound => Ok(()),
            (_, removed) => removed,
        }
    }
}

fn escaped(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
