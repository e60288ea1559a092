//! How a container was made, read out of its recorded definition.
//!
//! The body of `POST /containers/create` is what `inspect` gives as `Config` and `HostConfig`,
//! word for word, so that nothing is lost that this program does not know.
//!
//! Source: Docker Engine API 1.41, "Create a container".

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

    /// The name of its image as the container was made with it; none where that was an id.
    pub fn image_name(&self) -> Option<&str> {
        let name = self.config.get("Image").and_then(Value::as_str)?;
        let is_id = |name: &str| {
            self.image.split_once(':').is_some_and(|(_, digits)| digits.starts_with(name))
        };
        (!name.starts_with("sha256:") && !name.contains('@') && !is_id(name)).then_some(name)
    }

    /// The id of its image.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// What the daemon is given, with the first of the networks: it takes one here.
    pub(super) fn body(&self) -> Value {
        let mut body = self.config.clone();
        // By its name, which is given back to it before.
        body.insert("Image".into(), self.image_name().unwrap_or(&self.image).into());
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
    pub(super) fn other_networks(&self) -> impl Iterator<Item = (&String, &Value)> {
        let first = self.first_network().map(|(name, _)| name);
        self.networks.iter().filter(move |(name, _)| Some(*name) != first)
    }

    /// What is different about the container that has the name now; none where nothing is.
    pub(super) fn difference(&self, now: &Self) -> Option<&'static str> {
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
