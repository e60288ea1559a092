//! How a container was made, read out of its recorded definition, and making it again.
//!
//! The body of `POST /containers/create` is what `inspect` gives as `Config` and `HostConfig`,
//! word for word, so that nothing is lost that this program does not know.
//!
//! Source: Docker Engine API 1.41, "Create a container", "Connect a container to a network".

use super::inspect::Kind;
use super::{Docker, failed};
use crate::error::{Code, Error, Result};
use bollard::query_parameters::{
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How many characters of an id Docker uses as the host name and as an alias.
const SHORT_ID: usize = 12;

/// How a container was made.
#[derive(Clone, PartialEq)]
pub struct Blueprint {
    name: String,
    image: String,
    /// `Config`, without what Docker made of the id.
    config: Map<String, Value>,
    host: Map<String, Value>,
    /// The networks by name, with what is said of the container in each.
    networks: BTreeMap<String, Value>,
    /// Volumes that the image asked for, `NAME:PLACE`: they are mounted again, not made anew.
    anonymous: Vec<String>,
}

impl std::fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blueprint").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Blueprint {
    /// Reads what `inspect` says of a container; none where that is no such thing.
    pub fn read(inspect: &Value) -> Option<Self> {
        let id = inspect["Id"].as_str()?;
        let short = id.get(..SHORT_ID)?;
        let mut config = inspect["Config"].as_object()?.clone();
        let host = inspect["HostConfig"].as_object()?.clone();
        // It is another container now, with another id.
        if config.get("Hostname").and_then(Value::as_str) == Some(short) {
            config.remove("Hostname");
        }
        // Such a container has the name of the other one's host, and none of its own.
        let mode = host.get("NetworkMode").and_then(Value::as_str).unwrap_or_default();
        if mode.starts_with("container:") {
            config.remove("Hostname");
            config.remove("Domainname");
            config.remove("ExposedPorts");
        }
        let networks = inspect["NetworkSettings"]["Networks"].as_object();
        let networks = networks.into_iter().flatten();
        Some(Self {
            name: inspect["Name"].as_str()?.trim_start_matches('/').to_owned(),
            image: inspect["Image"].as_str()?.to_owned(),
            anonymous: anonymous(inspect, &host),
            networks: networks.map(|(name, it)| (name.clone(), endpoint(it, short))).collect(),
            config,
            host,
        })
    }

    /// The container's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of its image.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// What the daemon is given, with the first of the networks: it takes one here.
    fn body(&self) -> Value {
        let mut body = self.config.clone();
        body.insert("Image".into(), self.image.as_str().into());
        let mut host = self.host_without_binds();
        host.insert("Binds".into(), self.binds().into_iter().collect());
        body.insert("HostConfig".into(), host.into());
        if let Some((name, endpoint)) = self.first_network() {
            body.insert(
                "NetworkingConfig".into(),
                json!({ "EndpointsConfig": { name: endpoint } }),
            );
        }
        body.into()
    }

    /// What is mounted by `Binds`, or would be: what the image asked for too.
    fn binds(&self) -> BTreeSet<&str> {
        let binds = self.host.get("Binds").and_then(Value::as_array).into_iter().flatten();
        binds.filter_map(Value::as_str).chain(self.anonymous.iter().map(String::as_str)).collect()
    }

    fn host_without_binds(&self) -> Map<String, Value> {
        let mut host = self.host.clone();
        host.remove("Binds");
        host
    }

    /// The network that the container is made in: that of its network mode.
    fn first_network(&self) -> Option<(&String, &Value)> {
        let mode = self.host.get("NetworkMode").and_then(Value::as_str).unwrap_or_default();
        self.networks.get_key_value(mode).or_else(|| self.networks.first_key_value())
    }

    /// The networks that it is connected to afterwards.
    fn other_networks(&self) -> impl Iterator<Item = (&String, &Value)> {
        let first = self.first_network().map(|(name, _)| name);
        self.networks.iter().filter(move |(name, _)| Some(*name) != first)
    }

    /// What is different about the container that has the name now; none where nothing is.
    fn difference(&self, now: &Self) -> Option<&'static str> {
        let without_image = |config: &Map<String, Value>| {
            let mut config = config.clone();
            // The same image may be called by its name or by its id.
            config.remove("Image");
            config
        };
        if self.image != now.image {
            Some("it has another image")
        } else if without_image(&self.config) != without_image(&now.config) {
            Some("it is configured otherwise")
        } else if self.host_without_binds() != now.host_without_binds()
            || self.binds() != now.binds()
        {
            Some("its resources, volumes or ports are others")
        } else if self.networks.keys().ne(now.networks.keys()) {
            Some("it is in other networks")
        } else {
            None
        }
    }
}

/// What is said of the container in a network, without what the daemon gave it by itself.
fn endpoint(inspect: &Value, short: &str) -> Value {
    let aliases = inspect["Aliases"].as_array().into_iter().flatten();
    let aliases: Vec<&Value> = aliases.filter(|alias| alias.as_str() != Some(short)).collect();
    json!({
        "Aliases": aliases,
        "IPAMConfig": inspect["IPAMConfig"],
        "Links": inspect["Links"],
        "DriverOpts": inspect["DriverOpts"],
    })
}

/// The volumes of a container that its definition does not name.
fn anonymous(inspect: &Value, host: &Map<String, Value>) -> Vec<String> {
    let binds = host.get("Binds").and_then(Value::as_array).into_iter().flatten();
    let bound = binds.filter_map(|bind| bind.as_str()?.split(':').nth(1));
    let mounts = host.get("Mounts").and_then(Value::as_array).into_iter().flatten();
    let named: Vec<&str> = bound.chain(mounts.filter_map(|it| it["Target"].as_str())).collect();
    let all = inspect["Mounts"].as_array().into_iter().flatten();
    let volumes = all
        .filter(|mount| mount["Type"] == "volume")
        .filter_map(|mount| Some((mount["Name"].as_str()?, mount["Destination"].as_str()?)));
    volumes
        .filter(|(_, place)| !named.contains(place))
        .map(|(name, place)| format!("{name}:{place}"))
        .collect()
}

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
        match self.blueprint(&blueprint.name).await? {
            None => Ok(Some("it is gone")),
            Some(now) => Ok(blueprint.difference(&now)),
        }
    }

    /// Whether an image of this id or name is in the local store.
    ///
    /// # Errors
    /// [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn has_image(&self, image: &str) -> Result<bool> {
        match self.inspect(Kind::Image, image).await {
            Ok(_) => Ok(true),
            Err(e) if e.code() == Code::ContainerNotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Gives an image one more name, so that no `docker image prune` takes it.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`] where it is not there; [`Code::DockerFailed`],
    /// [`Code::DockerUnreachable`].
    pub async fn tag_image(&self, image: &str, repository: &str, tag: &str) -> Result<()> {
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.client.tag_image(image, Some(options)).await.map_err(|e| failed("tag image", image, e))
    }

    /// Takes a name of an image away again; well where it is gone. An image that has no other name
    /// and no container stays.
    ///
    /// # Errors
    /// [`Code::DockerFailed`], [`Code::DockerUnreachable`].
    pub async fn untag_image(&self, name: &str) -> Result<()> {
        let options = RemoveImageOptionsBuilder::default().noprune(true).build();
        match self.client.remove_image(name, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(e) => match failed("take the tag off image", name, e) {
                e if e.code() == Code::ContainerNotFound => Ok(()),
                e => Err(e),
            },
        }
    }

    /// Makes the container of a blueprint, without starting it, in the place of one that has its
    /// name and is different. Returns its id. Doing it again does no more than what is missing.
    ///
    /// # Errors
    /// [`Code::DockerFailed`] where its image is not in the local store, before anything is
    /// removed, and where the daemon refuses; [`Code::DockerUnreachable`].
    pub async fn make_again(&self, blueprint: &Blueprint) -> Result<String> {
        let name = &blueprint.name;
        if !self.has_image(&blueprint.image).await? {
            return Err(Error::new(Code::DockerFailed, "make container", name)
                .cause(format!("its image {} is not in the local store", blueprint.image))
                .hint("load the image again, with `docker pull` or `docker load`"));
        }
        if self.blueprint(name).await?.is_some_and(|now| blueprint.difference(&now).is_some()) {
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            match self.client.remove_container(name, Some(options)).await {
                Ok(()) => {}
                Err(e) => match failed("remove container", name, e) {
                    e if e.code() == Code::ContainerNotFound => {}
                    e => return Err(e),
                },
            }
        }
        if self.blueprint(name).await?.is_none() {
            self.make(blueprint).await?;
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

    async fn make(&self, blueprint: &Blueprint) -> Result<()> {
        let path = format!("/containers/create?name={}", escaped(&blueprint.name));
        self.post(&path, &blueprint.body(), "make container", &blueprint.name).await
    }
}

fn escaped(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
