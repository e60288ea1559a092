//! The networks and volumes that a container needs: recorded with it, and made again before it.
//!
//! `docker compose down` removes a project's networks, and with `--volumes` its volumes; a
//! container that is made again finds neither.
//!
//! Source: Docker Engine API 1.41, "Create a network", "Create a volume".

use super::Docker;
use super::inspect::Kind;
use crate::error::{Code, Result};
use crate::repository::manifest::RecordedObject;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Networks that are there without anybody having made them.
const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// Definitions of networks and volumes, with the names of their objects in a backup.
#[derive(Clone, Default)]
pub(super) struct Surroundings {
    networks: Vec<(RecordedObject, Value)>,
    volumes: Vec<(RecordedObject, Value)>,
}

impl Surroundings {
    /// The networks, as the manifest names them.
    pub(super) fn networks(&self) -> Vec<RecordedObject> {
        self.networks.iter().map(|(recorded, _)| recorded.clone()).collect()
    }

    /// The volumes, as the manifest names them.
    pub(super) fn volumes(&self) -> Vec<RecordedObject> {
        self.volumes.iter().map(|(recorded, _)| recorded.clone()).collect()
    }

    /// Every definition with the name of its object.
    pub(super) fn all(&self) -> impl Iterator<Item = &(RecordedObject, Value)> {
        self.networks.iter().chain(&self.volumes)
    }
}

impl Docker {
    /// What the container of this `inspect` needs. What is gone already is left out.
    pub(super) async fn surroundings(&self, inspect: &Value) -> Result<Surroundings> {
        let mut found = Surroundings::default();
        for name in network_names(inspect) {
            if let Some(mut network) = self.definition_of(Kind::Network, &name).await? {
                // Who is in it at this moment is no part of it.
                if let Some(network) = network.as_object_mut() {
                    network.remove("Containers");
                }
                found.networks.push((recorded("networks", &name), network));
            }
        }
        for name in volume_names(inspect) {
            if let Some(volume) = self.definition_of(Kind::Volume, &name).await? {
                found.volumes.push((recorded("volumes", &name), volume));
            }
        }
        Ok(found)
    }

    async fn definition_of(&self, kind: Kind, name: &str) -> Result<Option<Value>> {
        match self.inspect(kind, name).await {
            Ok(definition) => Ok(Some(definition)),
            Err(e) if e.code() == Code::ContainerNotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes the network of a recorded definition, unless there is one of its name. Where its
    /// addresses are taken by now it gets others. Returns whether it was made.
    ///
    /// # Errors
    /// [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn make_network(&self, definition: &Value) -> Result<bool> {
        let name = definition["Name"].as_str().unwrap_or_default();
        if self.definition_of(Kind::Network, name).await?.is_some() {
            return Ok(false);
        }
        let mut body = taken_over(
            definition,
            &[
                "Name",
                "Driver",
                "Internal",
                "Attachable",
                "EnableIPv6",
                "IPAM",
                "Options",
                "Labels",
            ],
        );
        body.insert("CheckDuplicate".into(), true.into());
        let made = self.post_new("/networks/create", &body, name).await;
        match made {
            Err(e) if e.code() == Code::DockerFailed && body.remove("IPAM").is_some() => {
                self.post_new("/networks/create", &body, name).await?;
            }
            made => made?,
        }
        Ok(true)
    }

    /// Makes the volume of a recorded definition, empty, unless there is one of its name. Returns
    /// whether it was made.
    ///
    /// # Errors
    /// [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn make_volume(&self, definition: &Value) -> Result<bool> {
        let name = definition["Name"].as_str().unwrap_or_default();
        if self.definition_of(Kind::Volume, name).await?.is_some() {
            return Ok(false);
        }
        let mut body = taken_over(definition, &["Name", "Driver", "Labels"]);
        if let Some(options @ Value::Object(_)) = definition.get("Options") {
            body.insert("DriverOpts".into(), options.clone());
        }
        self.post_new("/volumes/create", &body, name).await.map(|()| true)
    }

    async fn post_new(&self, path: &str, body: &Map<String, Value>, name: &str) -> Result<()> {
        let attempted = if path.starts_with("/networks") { "make network" } else { "make volume" };
        self.post(path, &json!(body), attempted, name).await
    }
}

/// What is there of these keys.
fn taken_over(definition: &Value, keys: &[&str]) -> Map<String, Value> {
    let there = |key: &&&str| definition.get(**key).is_some_and(|value| !value.is_null());
    keys.iter().filter(there).map(|key| ((*key).to_owned(), definition[*key].clone())).collect()
}

fn network_names(inspect: &Value) -> Vec<String> {
    let networks = inspect["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
    let names = networks.map(|(name, _)| name.clone());
    names.filter(|name| !PREDEFINED.contains(&name.as_str())).collect()
}

fn volume_names(inspect: &Value) -> BTreeSet<String> {
    let mounts = inspect["Mounts"].as_array().into_iter().flatten();
    let volumes = mounts.filter(|mount| mount["Type"] == "volume");
    volumes.filter_map(|mount| mount["Name"].as_str().map(str::to_owned)).collect()
}

fn recorded(kind: &str, name: &str) -> RecordedObject {
    let file = super::definition::single_name(name);
    RecordedObject { name: name.to_owned(), object: format!("containers/{kind}/{file}.json") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_has_by_itself_and_directories_of_the_host_are_not_made_again() {
        let inspect = json!({
            "NetworkSettings": { "Networks": { "bridge": {}, "shop_default": {}, "host": {} } },
            "Mounts": [
                { "Type": "bind", "Source": "/srv", "Destination": "/srv" },
                { "Type": "volume", "Name": "shop_uploads", "Destination": "/uploads" },
            ],
        });
        assert_eq!(network_names(&inspect), ["shop_default"]);
        assert_eq!(Vec::from_iter(volume_names(&inspect)), ["shop_uploads"]);
    }

    #[test]
    fn an_object_has_a_single_name() {
        assert_eq!(recorded("networks", "a/b").object, "containers/networks/a_b.json");
    }

    #[test]
    fn nothing_is_said_of_what_a_definition_does_not_say() {
        let body = taken_over(&json!({ "Name": "n", "IPAM": null, "Id": "1" }), &["Name", "IPAM"]);
        assert_eq!(json!(body), json!({ "Name": "n" }));
    }
}
